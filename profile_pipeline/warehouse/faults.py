"""What the engine and the disk say when storage fails, as one message: found, expected, remedy.

Not here: what raises it, or mending it; `docs/when-it-breaks.md` says more of each.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from profile_pipeline.shell import word
from profile_pipeline.warehouse.replacing import wal_of

INTERRUPTED_QUERY = "Query interrupted"
AGAIN = "What was committed is kept: run the same command again, it goes on where it was."


@dataclass(frozen=True)
class Fault:
    """A way in which storage fails: how the engine or the system says it, and what a person is told."""

    pattern: re.Pattern[str]
    told: str


def _fault(pattern: str, told: str) -> Fault:
    return Fault(re.compile(pattern, re.IGNORECASE), told)


# The first that fits is told: what is more special comes first.
FAULTS: tuple[Fault, ...] = (
    _fault(
        r"no space left on device|disk is full|disk i/o error|disk quota exceeded|file too large|could not write all bytes",
        f"Expected room on the disk of {{folder}} (df -h {{folder_word}}): make some, or set PROFILE_PIPELINE_DATA to a folder on another disk and move {{folder}} there. {AGAIN}",
    ),
    _fault(
        r"read-only file system|permission denied|attempt to write a readonly database",
        f"Expected a data folder that this user may write to: ls -ld {{folder_word}} tells whose it is; make it yours (chown, chmod), or set PROFILE_PIPELINE_DATA to another. {AGAIN}",
    ),
    _fault(
        r"out of memory|could not allocate|failed to allocate|failed to pin block|cannot allocate memory",
        f"Expected more memory for this step: set memory_limit higher in profile.yaml, or threads or events_per_chunk lower. {AGAIN}",
    ),
    _fault(
        r"\bWAL\b",
        "Expected a write-ahead log as it was written. Set it aside, then run again: what its commits had is built again from the archive and from what lies before it.\n"
        "    mv {wal} {damaged_wal}\n    profile-pipeline run",
    ),
    _fault(
        r"version number|newer version of duckdb|unrecognized storage",
        "Expected a file that the installed DuckDB can read: it was written by another version. Install the locked dependencies: make setup",
    ),
    _fault(
        r"corrupt|checksum|not a valid duckdb|invalid block|could not read enough bytes|deserializ|unexpected end of file",
        "Expected a database as it was written: a block of it is damaged. Build all tables anew from the archive, or restore a backup.\n"
        "    profile-pipeline rebuild",
    ),
)


def explained(said: str, database: Path) -> str | None:
    """Return what a person is told of an error of storage; None where it is another.

    Parameters
    ----------
    said
        The error's own text.
    database
        The file of the warehouse, which the remedies name.
    """
    for fault in FAULTS:
        if fault.pattern.search(said):
            wal = wal_of(database)
            names = {
                "wal": word(wal),
                "damaged_wal": word(wal.with_name(wal.name + ".damaged")),
                "folder": database.parent,
            }
            told = fault.told.format(folder_word=word(database.parent), **names)
            return f"{said.strip().splitlines()[0].rstrip('.')}. {told}"
    return None


def is_interrupt(error: Exception) -> bool:
    """Say whether an error is how the engine says that it noticed Ctrl-C during a query."""
    return isinstance(error, RuntimeError) and str(error) == INTERRUPTED_QUERY
