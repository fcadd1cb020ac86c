"""A copy of the warehouse, whole commits only, written anew from what the engine reads.

Reading checks every block in use, so a damaged file makes no backup that looks good. Not here: what else a backup holds
(`orchestration.keeping.backing_up`), or who may read: the caller holds the lease.
"""

from pathlib import Path

import duckdb

from profile_pipeline.disk import sync
from profile_pipeline.warehouse.opening import HARDENED, STORAGE_FORMAT, WarehouseError, without_progress_bar


class NotWritableError(WarehouseError):
    """A copy can't be written where it is to lie; the text says what the engine said."""


def copy_database(path: Path, target: Path) -> None:
    """Write a copy of a database that nobody has open; what its log holds is in it, what was not committed is not.

    Raises
    ------
    WarehouseError
        If it can't be read, or is open in a program that does not take the lease.
    NotWritableError
        If there is no room for the copy, or it may not be written.
    """
    connection = duckdb.connect(":memory:", config=HARDENED)
    try:
        without_progress_bar(connection)
        connection.execute(f"attach '{_literal(path)}' as source (read_only)")
        connection.execute(f"attach '{_literal(target)}' as target (storage_version '{STORAGE_FORMAT}')")
        connection.execute("copy from database source to target")
        connection.execute("checkpoint target")
    except duckdb.Error as error:
        told = str(error).splitlines()[0]
        # Of a file that it can't write or open the engine gives the name; what is wrong with the database is said without.
        if f'file "{target}' in told:
            raise NotWritableError(told) from error
        raise WarehouseError(
            f"{path} can't be copied: {told}. `profile-pipeline doctor` says what can be done."
        ) from error
    finally:
        connection.close()
    sync(target)


def delivered_files(copy: Path) -> dict[str, str]:
    """Return the files of which a copy of the database tells: their ids, each with a name under which it came."""
    with duckdb.connect(str(copy), read_only=True, config=HARDENED) as connection:
        without_progress_bar(connection)
        return dict(connection.execute("select file_id, min(path) from raw.files group by file_id").fetchall())


def write_log_into_file(path: Path) -> None:
    """Bring what the write-ahead log holds into the database itself; one that can't be opened is left as it is."""
    try:
        connection = duckdb.connect(str(path), config=HARDENED)
    except duckdb.Error:
        return
    try:
        without_progress_bar(connection)
        connection.execute("checkpoint")
    finally:
        connection.close()


def _literal(path: Path) -> str:
    return str(path).replace("'", "''")
