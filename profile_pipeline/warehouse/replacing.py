"""Putting a finished database in the place of another: at once, and never with the other's write-ahead log beside it.

Not here: what is in either, or who may do it: the caller holds the lease.
"""

from pathlib import Path

from profile_pipeline.disk import sync


def wal_of(path: Path) -> Path:
    """Return where the write-ahead log of a database lies, if it has one."""
    return path.with_name(path.name + ".wal")


def put_in_place(new: Path, path: Path) -> None:
    """Put a closed database in the place of another, which nobody has open but the caller.

    A log that is left of the other belongs to it alone: replayed on the new one it would damage it.
    """
    sync(new)
    wal_of(path).unlink(missing_ok=True)
    new.replace(path)
    sync(path.parent)
