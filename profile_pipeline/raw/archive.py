"""The archive: every delivered file, kept by the sha256 of its bytes, with a sidecar that says what it was.

Everything can be rebuilt from it. Not here: reading what is in a file, or the table of files.
"""

import datetime as dt
import fcntl
import hashlib
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from profile_pipeline.errors import ExpectedError

BLOCK_BYTES = 1 << 20
INCOMING = ".incoming-"


class DamagedArchiveError(ExpectedError):
    """An archived file is not what was delivered; nothing of it is read."""


class ChangedWhileReadError(Exception):
    """A file changed while it was copied: it was not complete yet."""


@dataclass(frozen=True)
class Archived:
    """A file in the archive."""

    file_id: str
    path: Path
    size_bytes: int


def archived_path(archive: Path, file_id: str) -> Path:
    """Return where the bytes of a file lie."""
    return archive / file_id[:2] / file_id


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
    found = _sha256(path)
    if found != file_id:
        raise DamagedArchiveError(
            f"{path} is not what was delivered: found the sha256 {found}, expected its name. Restore it from a backup, or remove it and deliver the file again."
        )
    return path


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


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
    ChangedWhileReadError
        If size or modification time differ before and after.
    OSError
        If it can't be read, or the archive can't be written.
    """
    archive.mkdir(parents=True, exist_ok=True)
    before = path.stat()
    digest = hashlib.sha256()
    descriptor, name = tempfile.mkstemp(dir=archive, prefix=INCOMING)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as target, path.open("rb") as source:
            fcntl.flock(target, fcntl.LOCK_EX)
            while block := source.read(BLOCK_BYTES):
                digest.update(block)
                target.write(block)
            target.flush()
            os.fsync(target.fileno())
        after = path.stat()
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise ChangedWhileReadError(f"{path} changed while it was read; it is taken when it is complete")
        file_id = digest.hexdigest()
        kept = archived_path(archive, file_id)
        # Bits rot: a copy that is no longer what was delivered gives way to the one that has just come.
        if not kept.exists() or _sha256(kept) != file_id:
            kept.parent.mkdir(exist_ok=True)
            temporary.replace(kept)
            _sync(kept.parent)
        return Archived(file_id=file_id, path=kept, size_bytes=before.st_size)
    finally:
        temporary.unlink(missing_ok=True)


def describe(
    archived: Archived, *, source: str | None, path: str, arrived_at: dt.datetime, mapping_version: str
) -> None:
    """Write the sidecar: under which names and mapping the bytes were delivered, one entry a delivery."""
    sidecar = archived.path.with_suffix(".json")
    try:
        entries = json.loads(sidecar.read_text(encoding="utf-8")) if sidecar.exists() else []
    except ValueError:
        raise DamagedArchiveError(
            f"{sidecar} does not say what was delivered: it is no JSON. Restore it from a backup, or remove it: it is written anew."
        ) from None
    entry = {"source": source, "path": path, "arrived_at": arrived_at.isoformat(), "mapping_version": mapping_version}
    if any(e["path"] == path and e["mapping_version"] == mapping_version for e in entries):
        return
    temporary = sidecar.with_suffix(".tmp")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump([*entries, entry], file, indent=1, ensure_ascii=False)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(sidecar)
    _sync(sidecar.parent)


def _sync(folder: Path) -> None:
    """Have a new name in a folder outlive a loss of power: the file under its old name may be removed after this."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
