"""Which files have landed, are complete, and belong to which source.

Not here: reading them. Left alone are hidden files and files still being written (`.tmp`, `.part`). What is no plain file (links,
pipes, sockets, devices) is never followed nor opened; it is told.
"""

import fnmatch
import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from profile_pipeline.source_settings import SourceSettings

UNFINISHED_SUFFIXES = (".tmp", ".part", ".partial", ".crdownload", ".swp")
_WILDCARD = re.compile(r"[*?[]")


@dataclass(frozen=True)
class LandingFile:
    r"""A complete file, and the source that claims it (None: no source does).

    `name` is its path as text: bytes of it that are no UTF-8 are written as `\xff`.
    """

    path: Path
    name: str
    source: str | None
    size_bytes: int
    modified_ns: int


def complete_files(
    landing: Path, sources: Mapping[str, SourceSettings], *, now_seconds: float, stable_seconds: float
) -> list[LandingFile]:
    """List complete files of the landing folder and of sources with absolute paths, by name.

    Parameters
    ----------
    now_seconds
        The time against which `stable_seconds` is judged: a file changed since then may still be being written.
    """
    found = []
    for path in _plain_files(landing):
        name = _written(path.relative_to(landing))
        found.append(_described(path, name, claimed_by(name, sources)))
    for key, source in sources.items():
        if Path(source.path).is_absolute():
            folder = _fixed_part(source.path)
            files = [folder] if folder.is_file() and not folder.is_symlink() else _plain_files(folder)
            found += [_described(path, _written(path), key) for path in files if matches(_written(path), source.path)]
    settled = (now_seconds - stable_seconds) * 1e9
    return sorted(
        (file for file in found if file is not None and file.modified_ns <= settled),
        key=lambda file: (order_of(file.source, sources), file.name),
    )


def not_followed(landing: Path) -> list[tuple[str, str]]:
    """Say what lies in the landing folder and is never taken, and why: what is no plain file, folders that can't be looked into."""
    return [(_written(entry.path.relative_to(landing)), entry.kind) for entry in _walked(landing) if entry.kind]


def digest_of(files: Iterable[LandingFile], mapping_version: str) -> str:
    """Return a short hash of files as they lie there and of how they would be read: of equal ones nothing new comes."""
    told = [f"{file.name}:{file.size_bytes}:{file.modified_ns}" for file in files]
    return hashlib.sha256("|".join([mapping_version, *told]).encode()).hexdigest()[:20]


def claimed_by(name: str, sources: Mapping[str, SourceSettings]) -> str | None:
    """Return the source that claims a file of this name."""
    return next(iter(claimants(name, sources)), None)


def claimants(name: str, sources: Mapping[str, SourceSettings]) -> list[str]:
    """Return the sources that may load a file of this name: of the landing folder the first that matches; of other folders each that
    looks there.
    """
    is_elsewhere = Path(name).is_absolute()
    claiming = [
        key
        for key, source in sources.items()
        if matches(name, source.path) and Path(source.path).is_absolute() == is_elsewhere
    ]
    return claiming if is_elsewhere else claiming[:1]


def fixed_start(pattern: str) -> str:
    """Return how every name that a pattern matches begins."""
    found = _WILDCARD.search(pattern)
    return pattern[: found.start()] if found else pattern


def order_of(source: str | None, sources: Mapping[str, SourceSettings]) -> int:
    """Return at which place files of a source are loaded, of those that arrive together."""
    return list(sources).index(source) if source is not None else len(sources)


def _written(path: Path) -> str:
    return os.fsencode(path.as_posix()).decode("utf-8", "backslashreplace")


def _described(path: Path, name: str, source: str | None) -> LandingFile | None:
    try:
        status = path.lstat()
    except OSError:
        # It is gone since the folder was read.
        return None
    return LandingFile(path=path, name=name, source=source, size_bytes=status.st_size, modified_ns=status.st_mtime_ns)


@dataclass(frozen=True)
class _Entry:
    """What lies in a folder; of what is no plain file `kind` says what it is."""

    path: Path
    kind: str = ""


_KINDS = (
    (stat.S_ISLNK, "a link, which is not followed"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISCHR, "a device"),
)


def _walked(folder: Path) -> Iterator[_Entry]:
    """Walk a folder in order; never follow a link out of it."""
    try:
        with os.scandir(folder) as entries:
            listed = sorted(entries, key=lambda e: e.name)
    except FileNotFoundError:
        return
    except OSError as error:
        yield _Entry(folder, f"a folder that can't be looked into: {error.strerror}")
        return
    for entry in listed:
        if entry.name.startswith(".") or entry.name.lower().endswith(UNFINISHED_SUFFIXES):
            continue
        try:
            mode = entry.stat(follow_symlinks=False).st_mode
        except OSError:
            continue
        if stat.S_ISDIR(mode):
            yield from _walked(Path(entry.path))
        else:
            yield _Entry(Path(entry.path), next((kind for is_kind, kind in _KINDS if is_kind(mode)), ""))


def _plain_files(folder: Path) -> Iterator[Path]:
    return (entry.path for entry in _walked(folder) if not entry.kind)


def matches(name: str, pattern: str) -> bool:
    """Compare part by part: `*` does not cross folders, `**` does."""
    return _parts_match(name.split("/"), pattern.split("/"))


def _parts_match(names: list[str], patterns: list[str]) -> bool:
    if not patterns:
        return not names
    if patterns[0] == "**":
        return any(_parts_match(names[i:], patterns[1:]) for i in range(len(names) + 1))
    return bool(names) and fnmatch.fnmatchcase(names[0], patterns[0]) and _parts_match(names[1:], patterns[1:])


def _fixed_part(pattern: str) -> Path:
    """The longest folder of a pattern that holds no wildcard."""
    parts = Path(pattern).parts
    fixed = [part for i, part in enumerate(parts) if not any(set("*?[") & set(p) for p in parts[: i + 1])]
    return Path(*fixed)
