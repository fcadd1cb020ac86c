"""Opening a database of DuckDB: its format, its hardening, its limits, and waiting for a program that has it open.

Not here: the lease and what is done on the open connection (`warehouse.duckdb`).
"""

import re
import time
from collections.abc import Callable
from pathlib import Path

import duckdb

from profile_pipeline.errors import ExpectedError
from profile_pipeline.warehouse.faults import explained
from profile_pipeline.warehouse.lease import LeaseTimeoutError

# Tools of the 1.x line still open a file of this format; later connections keep it.
STORAGE_FORMAT = "v1.5.0"
# What the engine may hold for each of its threads where no limit is set: beyond it memory only keeps what is written already.
BYTES_PER_THREAD = 850_000_000
HARDENED: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "python_enable_replacements": "false",
}


class WarehouseError(ExpectedError):
    """The warehouse can't do what was asked; the text says what to do."""


def without_progress_bar(connection: duckdb.DuckDBPyConnection) -> None:
    """Turn the progress bar off. In Jupyter without ipywidgets it is off, and there even naming it is an error."""
    if connection.execute("select current_setting('enable_progress_bar')").fetchall()[0][0]:
        connection.execute("set enable_progress_bar = false")


def bytes_allowed(connection: duckdb.DuckDBPyConnection) -> int:
    """Return the limit of who has set none: so much for each thread, and no more than the engine would take by itself."""
    own, threads = connection.execute(
        "select parse_formatted_bytes(current_setting('memory_limit')), current_setting('threads')"
    ).fetchall()[0]
    return min(int(own), BYTES_PER_THREAD * int(threads))


def open_database(
    path: Path,
    *,
    is_read_only: bool,
    timeout_seconds: float,
    memory_limit: str | None,
    threads: int | None,
    say: Callable[[str], None],
) -> duckdb.DuckDBPyConnection:
    """Open the file; who has it open without the lease (a shell, a notebook) is waited for like any other.

    Raises
    ------
    WarehouseError
        If it can't be opened.
    LeaseTimeoutError
        If it stays open in another program.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    config = dict(HARDENED)
    if not path.exists():
        config["storage_compatibility_version"] = STORAGE_FORMAT
    started, has_told = time.monotonic(), False
    while True:
        try:
            connection = duckdb.connect(str(path), read_only=is_read_only, config=config)
            break
        except duckdb.Error as error:
            waited = time.monotonic() - started
            if "Could not set lock" not in str(error):
                raise WarehouseError(
                    f"{path} can't be opened: {explained(str(error), path) or str(error).splitlines()[0]}"
                ) from error
            if waited >= timeout_seconds:
                after = (
                    f"still open in another program after {waited:.0f} s"
                    if timeout_seconds
                    else "open in another program"
                )
                raise LeaseTimeoutError(
                    f"{path} is {after}: {_holder_in(str(error))}."
                    f" Expected it to be free: close it there, then run again; readers can use {path.with_name('serving.duckdb').name} at any time."
                ) from None
            if not has_told:
                say(f"waiting for a program that has {path.name} open: {_holder_in(str(error))}")
                has_told = True
            time.sleep(0.2)
    spill = path.with_suffix(".duckdb.tmp")
    without_progress_bar(connection)
    connection.execute(f"set temp_directory = '{_literal(spill)}'")
    connection.execute("set timezone = 'UTC'")
    if threads:
        connection.execute(f"set threads = {int(threads)}")
    limit = memory_limit or f"{bytes_allowed(connection)}B"
    connection.execute(f"set memory_limit = '{_literal(limit)}'")
    if not is_read_only:
        connection.execute(f"set allowed_directories = ['{_literal(path.parent)}/']")
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")
    return connection


def _holder_in(said: str) -> str:
    """Who holds the file, of what the engine says at length."""
    found = re.search(r"held in (.+ \(PID \d+\))", said)
    return found[1] if found else said.splitlines()[0]


def _literal(value: object) -> str:
    """The inside of a SQL string literal, for settings, which take no parameters."""
    return str(value).replace("'", "''")
