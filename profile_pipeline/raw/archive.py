"""The archive: every delivered file, kept by the sha256 of its bytes, with a sidecar that says what it was.

Everything can be rebuilt from it. Not here: reading what is in a file, or the table of files.
"""

import datetime as dt
import fcntl
import hashlib
import json
import os
import stat
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from profile_pipeline.disk import sha256_of, sync
from profile_pipeline.errors import ExpectedError

BLOCK_BYTES = 1 << 20
STORED_AHEAD = 8
INCOMING = ".incoming-"


class DamagedArchiveError(ExpectedError):
    """An archived file is not what was delivered; nothing of it is read."""


class NotReadableError(Exception):
    """A file can't be taken now: it changed while it was copied, is gone, may not be read, or is no plain file any more."""


@dataclass(frozen=True)
class FileState:
    """Which file it is and in what state: a file of the same name with another one is another delivery."""

    device: int
    inode: int
    size_bytes: int
    modified_ns: int

    @staticmethod
    def of(status: os.stat_result) -> "FileState":
        return FileState(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


@dataclass(frozen=True)
class Archived:
    """A file in the archive, and the state in which it was found where it was delivered."""

    file_id: str
    path: Path
    size_bytes: int
    state: FileState

    @staticmethod
    def standing(file_id: str, path: Path) -> "Archived":
        """Return a file of which only the archive is left."""
        state = FileState.of(path.stat())
        return Archived(file_id, path, state.size_bytes, state)


@dataclass(frozen=True)
class Delivery:
    """Under which name, and when first (UTC), bytes were delivered."""

    file_id: str
    path: str
    arrived_at: dt.datetime


def archived_path(archive: Path, file_id: str) -> Path:
    """Return where the bytes of a file lie."""
    return archive / file_id[:2] / file_id


def sidecar_of(path: Path) -> Path:
    """Return where it is said under which names archived bytes were delivered."""
    return path.with_suffix(".json")


def verified_path(archive: Path, file_id: str) -> Path:
    """Return where the bytes of a file lie, once they are seen to be those that were delivered.

    Raises
    ------
    DamagedArchiveError
        If they are not there, or others.
    """
    path = archived_path(archive, file_id)
    if not path.is_file():
        raise DamagedArchiveError(f"{path} is not there. Deliver the file again.")
    found = sha256_of(path)
    if found != file_id:
        raise DamagedArchiveError(
            f"{path} is not what was delivered: found the sha256 {found}, expected its name. Restore it from a backup, or remove it and deliver the file again."
        )
    return path


def sweep(archive: Path) -> None:
    """Remove the copies that killed processes have left unfinished; one that is being written is locked."""
    for unfinished in archive.glob(f"{INCOMING}*"):
        with unfinished.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            unfinished.unlink(missing_ok=True)


def store(path: Path, *, archive: Path) -> Archived:
    """Copy a file into the archive under the sha256 of its bytes; a sound copy that is there already stays.

    Raises
    ------
    NotReadableError
        If it can't be read, is no plain file, or is another file or in another state afterwards.
    OSError
        If the archive can't be written.
    """
    archive.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    descriptor, name = tempfile.mkstemp(dir=archive, prefix=INCOMING)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as target, _plain_file(path) as source:
            fcntl.flock(target, fcntl.LOCK_EX)
            before = FileState.of(os.fstat(source.fileno()))
            while block := _block_of(source):
                digest.update(block)
                target.write(block)
            target.flush()
            os.fsync(target.fileno())
            if FileState.of(os.fstat(source.fileno())) != before or state_of(path) != before:
                raise NotReadableError("changed while it was read; it is taken when it is complete")
        file_id = digest.hexdigest()
        kept = archived_path(archive, file_id)
        # Bits rot: a copy that is no longer what was delivered gives way to the one that has just come.
        if not kept.exists() or sha256_of(kept) != file_id:
            kept.parent.mkdir(exist_ok=True)
            temporary.replace(kept)
            sync(kept.parent)
        return Archived(file_id=file_id, path=kept, size_bytes=before.size_bytes, state=before)
    finally:
        temporary.unlink(missing_ok=True)


def stored_ahead(paths: Iterable[Path], *, archive: Path) -> Iterator[Future[Archived]]:
    """Store files in their order, some ahead of who asks: of a small one most is waiting for the disk."""
    pool = ThreadPoolExecutor(STORED_AHEAD)
    ahead: deque[Future[Archived]] = deque()
    try:
        for path in paths:
            ahead.append(pool.submit(store, path, archive=archive))
            if len(ahead) > STORED_AHEAD:
                yield ahead.popleft()
        yield from ahead
    finally:
        pool.shutdown(cancel_futures=True)


def state_of(path: Path) -> FileState | None:
    """Return the state of what has this name now, not following a link; None: nothing that can be looked at."""
    try:
        return FileState.of(path.lstat())
    except OSError:
        return None


@contextmanager
def _plain_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading, and only a plain one: a link is not followed, and a pipe is not waited for."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise NotReadableError(error.strerror or str(error)) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotReadableError("is no plain file")
    with os.fdopen(descriptor, "rb") as source:
        yield source


def why_unreadable(path: Path) -> str | None:
    """Say why a file can't be read; None where it can."""
    try:
        with _plain_file(path):
            return None
    except NotReadableError as error:
        return str(error)


def _block_of(source: BinaryIO) -> bytes:
    try:
        return source.read(BLOCK_BYTES)
    except OSError as error:
        raise NotReadableError(error.strerror or str(error)) from None


def ids_of(archive: Path) -> set[str]:
    """Return the ids of all files that were delivered."""
    return {sidecar.stem for sidecar in archive.glob("??/*.json")}


def deliveries(archive: Path) -> list[Delivery]:
    """Return what the sidecars say: every name under which bytes were delivered, once, as of its first time.

    Raises
    ------
    DamagedArchiveError
        With every sidecar that can't be read.
    """
    found, damaged = told_by_sidecars(archive)
    if damaged:
        raise DamagedArchiveError("\n".join(damaged.values()))
    return found


def told_by_sidecars(archive: Path) -> tuple[list[Delivery], dict[str, str]]:
    """Return what the sidecars say that can be read, and of each other, by the id of its file, what is wrong and what helps."""
    found: dict[tuple[str, str], Delivery] = {}
    damaged: dict[str, str] = {}
    for sidecar in sorted(archive.glob("??/*.json")):
        try:
            entries = told_in(sidecar)
        except DamagedArchiveError as error:
            damaged[sidecar.stem] = str(error)
            continue
        for entry in sorted(entries, key=lambda e: e.arrived_at):
            found.setdefault((entry.file_id, entry.path), entry)
    return list(found.values()), damaged


def told_in(sidecar: Path) -> list[Delivery]:
    """Return what one sidecar says.

    Raises
    ------
    DamagedArchiveError
        If it can't be read.
    """
    entries = _entries_of(sidecar)
    return [Delivery(sidecar.stem, e["path"], dt.datetime.fromisoformat(e["arrived_at"])) for e in entries]


def _entries_of(sidecar: Path) -> list[dict[str, Any]]:
    try:
        entries = json.loads(sidecar.read_text(encoding="utf-8"))
        is_whole = bool(entries) and all(
            isinstance(e["path"], str) and dt.datetime.fromisoformat(e["arrived_at"]) and "mapping_version" in e
            for e in entries
        )
    except (ValueError, KeyError, TypeError):
        is_whole = False
    if not is_whole:
        raise _damaged(sidecar)
    return entries


def _damaged(sidecar: Path) -> DamagedArchiveError:
    return DamagedArchiveError(
        f"{sidecar} does not say what was delivered. Restore it from a backup, or remove it: when its file is delivered again, and by"
        " `profile-pipeline rebuild` where the tables know the file, it is written anew."
    )


def describe(
    archived: Archived, *, source: str | None, path: str, arrived_at: dt.datetime, mapping_version: str
) -> dt.datetime:
    """Write the sidecar: under which names and mapping the bytes were delivered, one entry a delivery.

    Returns
    -------
    datetime
        When they were first delivered under this name, UTC: before now, where a load was killed or is tried again.

    Raises
    ------
    DamagedArchiveError
        If there is one that can't be read.
    """
    sidecar = sidecar_of(archived.path)
    entries = _entries_of(sidecar) if sidecar.exists() else []
    entry = {"source": source, "path": path, "arrived_at": arrived_at.isoformat(), "mapping_version": mapping_version}
    of_path = [e for e in entries if e["path"] == path]
    first = min((dt.datetime.fromisoformat(e["arrived_at"]) for e in of_path), default=arrived_at)
    if any(e["mapping_version"] == mapping_version for e in of_path):
        return first
    temporary = sidecar.with_suffix(".tmp")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump([*entries, entry], file, indent=1, ensure_ascii=False)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(sidecar)
    sync(sidecar.parent)
    return first
