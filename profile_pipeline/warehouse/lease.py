"""The lease: one process at a time has the warehouse, and who waits is told for whom.

A file lock beside the database, which a killed holder frees at once. Not here: the database. Local disks only; on network
file systems such locks are not to be trusted.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from profile_pipeline.errors import ExpectedError

TOLD_EVERY_SECONDS = 5.0
POLLED_EVERY_SECONDS = 0.1


class LeaseTimeoutError(ExpectedError):
    """The warehouse stayed in use by another process for too long."""


def holder_of(path: Path) -> str | None:
    """Return who holds the lease now, or None where it is free."""
    try:
        file = path.open("r+b")
    except FileNotFoundError:
        return None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return file.read(500).decode(errors="replace").strip() or "unknown"
    return None


@contextlib.contextmanager
def lease(path: Path, *, owner: str, timeout_seconds: float, say: Callable[[str], None]) -> Iterator[int]:
    """Hold the lease; wait for it, and say for whom. Yields its descriptor: a child that is given it holds the lease too.

    Parameters
    ----------
    path
        The lock file. Never deleted or replaced: its inode is the lock.
    owner
        Who asks, in words that help whoever waits next.
    timeout_seconds
        How long to wait at most.
    say
        Where to tell that one waits.

    Raises
    ------
    LeaseTimeoutError
        With the holder's name, after `timeout_seconds`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        started, told_at = time.monotonic(), None
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                waited = time.monotonic() - started
                holder = os.pread(descriptor, 500, 0).decode(errors="replace").strip() or "unknown"
            if waited >= timeout_seconds:
                after = f"still in use after {waited:.0f} s," if timeout_seconds else "in use"
                raise LeaseTimeoutError(
                    f"the warehouse is {after} by {holder}. Wait for it or stop it, then run again."
                )
            if told_at is None or waited - told_at >= TOLD_EVERY_SECONDS:
                say(
                    f"waiting for the warehouse, in use by {holder} ({waited:.0f} s of at most {timeout_seconds:.0f} s)"
                )
                told_at = waited
            time.sleep(POLLED_EVERY_SECONDS)
        if told_at is not None:
            say(f"got the warehouse after {time.monotonic() - started:.1f} s")
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{owner}, pid {os.getpid()}, since {time.strftime('%H:%M:%S')}".encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)
