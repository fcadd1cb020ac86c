"""Loading files: from a landing folder into the archive and the raw tables, each file once and in one transaction.

Not here: how a file is read (`raw.readers`), or Dagster's side of it (`assets/raw.py`).
"""

import contextlib
import datetime as dt
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import duckdb
import pyarrow as pa

from profile_pipeline.raw.archive import Archived, ChangedWhileReadError, describe, store
from profile_pipeline.raw.landing import LandingFile
from profile_pipeline.raw.readers.bytes import FileRefused
from profile_pipeline.raw.readers.csv import UnsureError
from profile_pipeline.raw.readers.evaluate import connect
from profile_pipeline.raw.readers.read import read_file
from profile_pipeline.raw.tables import EVENTS, FILES, RECORD_TABLES, REJECTED_RECORDS
from profile_pipeline.settings import Paths, Settings
from profile_pipeline.table import Table
from profile_pipeline.warehouse.duckdb import Warehouse

NO_SOURCE = "no_source"


@dataclass
class Ingested:
    """What a load did."""

    n_files: int = 0
    n_duplicates: int = 0
    n_refused: int = 0
    n_unclaimed: int = 0
    n_records: int = 0
    n_loaded: int = 0
    n_rejected: int = 0
    left_alone: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def ingest_files(
    warehouse: Warehouse,
    settings: Settings,
    paths: Paths,
    files: list[LandingFile],
    *,
    now: dt.datetime,
    say: Callable[[str], None],
) -> Ingested:
    """Load files one by one; what is loaded stays loaded if a later one fails.

    Parameters
    ----------
    files
        Complete files, in the order in which they are to be loaded.
    now
        Taken as `arrived_at` and `loaded_at`, UTC.
    """
    done = Ingested()
    with contextlib.closing(connect()) as engine:
        _load_files(warehouse, settings, paths, files, engine=engine, now=now, say=say, done=done)
    return done


def _load_files(
    warehouse: Warehouse, settings: Settings, paths: Paths, files: list[LandingFile], *, engine: duckdb.DuckDBPyConnection, now: dt.datetime,
    say: Callable[[str], None], done: Ingested,
) -> None:  # fmt: skip
    for number, file in enumerate(files, start=1):
        try:
            archived = store(file.path, archive=paths.archive)
        except (ChangedWhileReadError, FileNotFoundError) as error:
            done.left_alone.append(str(error))
            continue
        if file.source is not None:
            version = settings.fingerprint("sources", "calendar")
            describe(archived, source=file.source, path=file.name, arrived_at=now, mapping_version=version)
        _load(warehouse, settings, file, archived, engine=engine, now=now, done=done)
        if file.path.is_relative_to(paths.landing):
            file.path.unlink(missing_ok=True)
        if number % 50 == 0 or number == len(files):
            say(f"{number} of {len(files)} files, {done.n_loaded:,} records loaded")


def _load(
    warehouse: Warehouse,
    settings: Settings,
    file: LandingFile,
    archived: Archived,
    *,
    engine: duckdb.DuckDBPyConnection,
    now: dt.datetime,
    done: Ingested,
) -> None:
    """Load one file, in one transaction with its rows of files, pending and ledger."""
    known = warehouse.rows("select path, status from raw.files where file_id = $file_id", {"file_id": archived.file_id})
    if any(path == file.name for path, _ in known):
        done.n_duplicates += 1
        return
    row = {
        "file_id": archived.file_id, "source": file.source, "path": file.name, "size_bytes": archived.size_bytes,
        "n_records": 0, "n_loaded": 0, "n_rejected": 0, "n_suppressed": 0,
        "loaded_at": now, "arrived_at": now, "archived_sha256": archived.file_id, "status": "duplicate", "reason": None,
    }  # fmt: skip
    if file.source is None:
        done.n_unclaimed += 1
        _note_file(warehouse, row | {"status": "rejected", "reason": NO_SOURCE})
        return
    if any(status == "loaded" for _, status in known):
        done.n_duplicates += 1
        _note_file(warehouse, row)
        return
    try:
        try:
            counts = _load_records(warehouse, settings, row, archived, engine=engine, is_lossless=False)
        except UnsureError:
            counts = _load_records(warehouse, settings, row, archived, engine=engine, is_lossless=True)
    except FileRefused as refusal:
        done.n_refused += 1
        done.refused.append(f"{file.name}: {refusal}")
        _note_file(warehouse, row | {"status": "rejected", "reason": str(refusal)})
        return
    done.n_files += 1
    done.n_records += counts["n_records"]
    done.n_loaded += counts["n_loaded"]
    done.n_rejected += counts["n_rejected"]


def _load_records(
    warehouse: Warehouse,
    settings: Settings,
    row: dict[str, Any],
    archived: Archived,
    *,
    engine: duckdb.DuckDBPyConnection,
    is_lossless: bool,
) -> dict[str, int]:
    """Load the records of one file, in one transaction with its rows of files, pending and ledger; return the counts."""
    source = settings.sources[row["source"]]
    table = RECORD_TABLES[source.table]
    with warehouse.transaction():
        read = read_file(archived.path, name=row["source"], source=source, engine=engine, is_lossless=is_lossless)
        n_loaded = _insert_records(
            warehouse, table, read.batches, archived.file_id, settings.calendar.timezone, row["loaded_at"]
        )
        n_rejected = _insert_rejected(warehouse, read.rejected, archived.file_id, row["source"], row["loaded_at"])
        if read.n_records != n_loaded + n_rejected:
            said = f"counted {read.n_records} records, found {n_loaded} good and {n_rejected} rejected"
            raise FileRefused("count_differs", said) if is_lossless else UnsureError(said)
        counts = {"n_records": read.n_records, "n_loaded": n_loaded, "n_rejected": n_rejected}
        _note_file(warehouse, row | {"status": "loaded"} | counts)
        if table is EVENTS:
            _note_pending(warehouse, archived.file_id)
    return counts


def _note_file(warehouse: Warehouse, row: dict[str, Any]) -> None:
    schema = pa.schema([
        *((name, pa.string()) for name in ("file_id", "source", "path")),
        *((name, pa.int64()) for name in ("size_bytes", "n_records", "n_loaded", "n_rejected", "n_suppressed")),
        *((name, pa.timestamp("us")) for name in ("loaded_at", "arrived_at")),
        *((name, pa.string()) for name in ("archived_sha256", "status", "reason")),
    ])  # fmt: skip
    warehouse.insert(FILES, pa.Table.from_pylist([row], schema=schema))


def _insert_records(
    warehouse: Warehouse, table: Table, batches: Iterable[pa.Table], file_id: str, timezone: str, now: dt.datetime
) -> int:
    n_rows = 0
    given = {"file_id": "$file_id", "loaded_at": "$now"}
    if table is EVENTS:
        given |= {
            "event_hash": "hash(event_id)",
            "event_date": "cast(event_time at time zone 'UTC' at time zone $timezone as date)",
        }
    for batch in batches:
        columns = ", ".join(f"{given.get(name, name)} as {name}" for name in table.column_names)
        parameters = {"file_id": file_id, "now": now} | ({"timezone": timezone} if table is EVENTS else {})
        n_rows += warehouse.insert_from(table, f"select {columns} from incoming_arrow", batch, parameters)
    return n_rows


def _insert_rejected(warehouse: Warehouse, rejected: pa.Table, file_id: str, source: str, now: dt.datetime) -> int:
    if rejected.num_rows == 0:
        return 0
    select = "select $file_id as file_id, row_number, $source as source, reason_code, detail, record, $now as loaded_at from incoming_arrow"
    return warehouse.insert_from(REJECTED_RECORDS, select, rejected, {"file_id": file_id, "source": source, "now": now})


def _note_pending(warehouse: Warehouse, file_id: str) -> None:
    """Note the days of a file that wait, with the load and in the ledger."""
    counts = "select event_date, file_id, count(*) as n from raw.events where file_id = $file_id group by event_date, file_id"
    warehouse.execute(
        f"insert into raw.pending (file_id, event_date, n_events) select file_id, event_date, n from ({counts})",
        {"file_id": file_id},
    )
    warehouse.execute(
        "insert into cleaned.ledger (event_date, file_id, n_loaded, n_cleaned, n_excluded, n_waiting)"
        f" select event_date, file_id, n, 0, 0, n from ({counts})",
        {"file_id": file_id},
    )
