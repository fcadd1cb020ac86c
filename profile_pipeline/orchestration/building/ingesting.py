"""Loading files: from a landing folder into the archive and the raw tables, each file once and whole.

Not here: how a file is read (`raw.readers`), what only the archive has left (`reloading`), or Dagster's side of it (`assets/raw.py`).
"""

import contextlib
import datetime as dt
import itertools
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field, fields
from typing import Any

import duckdb
import pyarrow as pa

from profile_pipeline.orchestration.building.balance import require_files_add_up
from profile_pipeline.orchestration.building.dismissed import forget_rejected, keep_dismissed
from profile_pipeline.orchestration.building.reading_apart import ReaderApart
from profile_pipeline.orchestration.keeping.built_with import note_facts
from profile_pipeline.paths import Paths
from profile_pipeline.raw.archive import (
    Archived,
    DamagedArchiveError,
    FileState,
    NotReadableError,
    describe,
    state_of,
    stored_ahead,
    sweep,
)
from profile_pipeline.raw.landing import LandingFile
from profile_pipeline.raw.readers.bytes import FileRefused
from profile_pipeline.raw.readers.evaluate import connect
from profile_pipeline.raw.readers.read import FileRead, read_here
from profile_pipeline.raw.readers.reasons import NO_SOURCE
from profile_pipeline.raw.readers.records import UnsureError
from profile_pipeline.raw.tables import EVENTS, FILES, RECORD_TABLES, REJECTED_RECORDS
from profile_pipeline.settings import Settings
from profile_pipeline.table import Table
from profile_pipeline.warehouse.duckdb import Warehouse
from profile_pipeline.wording import counted

# Small files are written together: a commit costs more than what it holds. Memory is bounded by these.
HELD_RECORDS, HELD_FILES = 200_000, 1_000
# What they hold can crash a decoder or stop a regular expression; readers of the others are bounded in what they take.
READ_APART = ("parquet", "lines")
_SAME = "the same content as "


@dataclass
class Ingested:
    """What a load did. Why files were left alone is told without names: these may be of a person, and Dagster's log keeps it."""

    n_files: int = 0
    n_duplicates: int = 0
    n_refused: int = 0
    n_unclaimed: int = 0
    n_records: int = 0
    n_loaded: int = 0
    n_rejected: int = 0
    left_alone: list[str] = field(default_factory=list)

    def __add__(self, other: "Ingested") -> "Ingested":
        return Ingested(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})


@dataclass(frozen=True)
class _Held:
    """A file that has been read and is not written yet."""

    file: LandingFile
    state: FileState
    row: dict[str, Any]
    batches: list[pa.Table]
    rejected: pa.Table


@dataclass
class Load:
    """A load under way: small files are read one by one and written together, many in one transaction."""

    warehouse: Warehouse
    settings: Settings
    paths: Paths
    engine: duckdb.DuckDBPyConnection
    apart: ReaderApart
    now: dt.datetime
    done: Ingested
    held: dict[str, _Held] = field(default_factory=dict)
    n_held: int = 0
    again: set[str] = field(default_factory=set)
    damaged: list[str] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)

    def take(self, file: LandingFile, stored: Future[Archived]) -> None:
        """Load a file that is archived, or hold it until there is enough to be written at once."""
        version = self.settings.fingerprint("sources", "calendar")
        try:
            archived = stored.result()
            arrived_at = describe(
                archived, source=file.source, path=file.name, arrived_at=self.now, mapping_version=version
            )
        except NotReadableError as error:
            self.done.left_alone.append(str(error))
            return
        except DamagedArchiveError as error:
            self.damaged.append(str(error))
            return
        self.load(file, archived, arrived_at)

    def load(self, file: LandingFile, archived: Archived, arrived_at: dt.datetime) -> None:
        """Load a file of the archive that arrived then, or hold it; one that is loaded already is noted as a duplicate."""
        if archived.file_id in self.held:
            self.write_held()
        row = {
            "file_id": archived.file_id, "source": file.source, "path": file.name, "size_bytes": archived.size_bytes,
            "n_records": 0, "n_loaded": 0, "n_rejected": 0, "n_suppressed": 0,
            "loaded_at": self.now, "arrived_at": arrived_at, "archived_sha256": archived.file_id, "status": "duplicate", "reason": None,
        }  # fmt: skip
        known = self.warehouse.rows(
            "select path, n_loaded, arrived_at from raw.files where file_id = $file_id", {"file_id": archived.file_id}
        )
        loaded_as = next((path for path, n_loaded, _ in known if n_loaded), None)
        seen = {path: first for path, _, first in known}
        row["arrived_at"] = seen.get(file.name, arrived_at)
        if file.source is None:
            self.done.n_unclaimed += 1
            self._note(file, archived, row | {"status": "rejected", "reason": NO_SOURCE}, is_known=file.name in seen)
            return
        if loaded_as is not None:
            self.done.n_duplicates += 1
            self._note(file, archived, row | {"reason": _SAME + loaded_as}, is_known=file.name in seen)
            return
        if known:
            # Nothing of it was loaded before: it is read as if for the first time, because the mapping may have been mended.
            self.again.add(archived.file_id)
        try:
            try:
                self._read(file, row, archived, is_apart=self.settings.sources[file.source].format in READ_APART)
            except UnsureError:
                self._read(file, row, archived, is_apart=True)
        except FileRefused as refusal:
            self.done.n_refused += 1
            self.refused[archived.file_id] += 1
            self._note(file, archived, row | {"status": "rejected", "reason": str(refusal)}, is_known=False)

    def _note(self, file: LandingFile, archived: Archived, row: dict[str, Any], *, is_known: bool) -> None:
        """Note a file of which nothing is loaded; one that is noted already is only put away."""
        if not is_known:
            with self.warehouse.transaction():
                dismissed = self._forget([row])
                _note_files(self.warehouse, [row])
                self._keep_dismissed(dismissed)
            self.again.discard(row["file_id"])
        self._put_away(file, archived.state)

    def _forget(self, rows: list[dict[str, Any]]) -> pa.Table | None:
        """Remove what was noted of files of which nothing had been loaded and that are read again; return what was dismissed of it.

        A file of the same content under another path keeps its row: it is now a duplicate, or as refused as before.
        """
        anew = [row for row in rows if row["file_id"] in self.again]
        for row in anew:
            same = {"file_id": row["file_id"], "path": row["path"]}
            self.warehouse.execute(f"delete from {FILES.name} where file_id = $file_id and path = $path", same)
            self.warehouse.execute(
                f"update {FILES.name} set status = 'duplicate', reason = $why, n_records = 0, n_loaded = 0, n_rejected = 0, n_suppressed = 0"
                " where file_id = $file_id and (status = 'loaded' or $is_loaded)",
                {"file_id": row["file_id"], "is_loaded": row["status"] == "loaded", "why": _SAME + row["path"]},
            )
        return forget_rejected(self.warehouse, [row["file_id"] for row in anew]) if anew else None

    def _read(self, file: LandingFile, row: dict[str, Any], archived: Archived, *, is_apart: bool) -> None:
        """Read a file: hold it if it is small, else write it as it is read, in a transaction of its own."""
        name, source = row["source"], self.settings.sources[row["source"]]
        if is_apart:
            read = self.apart.read(archived.path, name=name, source=source)
        else:
            read = read_here(archived.path, name=name, source=source, engine=self.engine)
        batches, n_rows = [], 0
        for batch in read.batches:
            batches.append(batch)
            n_rows += batch.num_rows
            if n_rows > HELD_RECORDS:
                self.write_held()
                every = itertools.chain(batches, read.batches)
                self._stream(file, archived.state, row, read, every)
                return
        rejected = read.rejected
        _check_counts(read.n_records, n_rows, rejected.num_rows)
        counts = {"n_records": read.n_records, "n_loaded": n_rows, "n_rejected": rejected.num_rows}
        loaded = row | {"status": "loaded"} | counts
        self.held[archived.file_id] = _Held(file, archived.state, loaded, batches, rejected)
        self.n_held += n_rows
        if self.n_held > HELD_RECORDS or len(self.held) >= HELD_FILES:
            self.write_held()

    def _stream(
        self,
        file: LandingFile,
        state: FileState,
        row: dict[str, Any],
        read: FileRead,
        batches: Iterable[pa.Table],
    ) -> None:
        with self.warehouse.transaction():
            dismissed = self._forget([row | {"status": "loaded"}])
            n_loaded = sum(self._insert_batches(row["source"], [(row, batch)]) for batch in batches)
            n_rejected = self._insert_rejected([(row, read.rejected)])
            _check_counts(read.n_records, n_loaded, n_rejected)
            counts = {"n_records": read.n_records, "n_loaded": n_loaded, "n_rejected": n_rejected}
            self._settle([row | {"status": "loaded"} | counts], dismissed)
        # Not before the commit: a transaction that fails is tried again apart, and has forgotten nothing.
        self._is_written(row["file_id"])
        self._put_away(file, state)

    def write_held(self) -> None:
        """Write what is held, in one transaction with its rows of files, pending and ledger."""
        held, self.held, self.n_held = [*self.held.values()], {}, 0
        if not held:
            return
        with self.warehouse.transaction():
            dismissed = self._forget([h.row for h in held])
            for name in sorted({h.row["source"] for h in held}):
                of_source = [h for h in held if h.row["source"] == name]
                batches = [(h.row, batch) for h in of_source for batch in h.batches]
                self._insert_batches(name, batches)
            self._insert_rejected([(h.row, h.rejected) for h in held])
            self._settle([h.row for h in held], dismissed)
        for h in held:
            self._is_written(h.row["file_id"])
            self._put_away(h.file, h.state)

    def _is_written(self, file_id: str) -> None:
        """Note that a content is loaded: files of it that another source has refused before are its duplicates now, as they
        would be had they come later.
        """
        self.again.discard(file_id)
        n = self.refused.pop(file_id, 0)
        self.done.n_refused -= n
        self.done.n_duplicates += n

    def _insert_batches(self, name: str, batches: list[tuple[dict[str, Any], pa.Table]]) -> int:
        of_files = [(row["file_id"], batch) for row, batch in batches]
        return insert_batches(self.warehouse, self.settings, name, of_files, now=self.now)

    def _insert_rejected(self, rejected: list[tuple[dict[str, Any], pa.Table]]) -> int:
        parts = [
            records.append_column("file_id", pa.repeat(pa.scalar(row["file_id"]), records.num_rows)).append_column(
                "source", pa.repeat(pa.scalar(row["source"]), records.num_rows)
            )
            for row, records in rejected
            if records.num_rows
        ]
        if not parts:
            return 0
        given = {"loaded_at": "$now as loaded_at", "dismissed_at": "null as dismissed_at"}
        columns = ", ".join(given.get(c, c) for c in REJECTED_RECORDS.column_names)
        select = f"select {columns} from incoming_arrow"
        return self.warehouse.insert_from(REJECTED_RECORDS, select, pa.concat_tables(parts), {"now": self.now})

    def _settle(self, rows: list[dict[str, Any]], dismissed: pa.Table | None) -> None:
        """Note the files and the days of their events that wait, with the load and in the ledger; what was dismissed stays out."""
        _note_files(self.warehouse, rows)
        events = [row["file_id"] for row in rows if RECORD_TABLES[self.settings.sources[row["source"]].table] is EVENTS]
        # loaded_at is there for speed: only the newest blocks of the table are looked at.
        counts = (
            "select event_date, file_id, count(*) as n from raw.events where loaded_at = $now and list_contains($files, file_id)"
            " group by event_date, file_id"
        )
        if events:
            self.warehouse.execute(
                f"insert into raw.pending (file_id, event_date, n_events) select file_id, event_date, n from ({counts})",
                {"files": events, "now": self.now},
            )
            self.warehouse.execute(
                "insert into cleaned.ledger (event_date, file_id, n_loaded, n_cleaned, n_excluded, n_waiting)"
                " select p.event_date, p.file_id, p.n_events, 0, 0, p.n_events from raw.pending as p where list_contains($files, p.file_id)",
                {"files": events},
            )
        require_files_add_up(self.warehouse.rows, [row["file_id"] for row in rows], since=self.now)
        n_out = self._keep_dismissed(dismissed)
        loaded = {row["source"] for row in rows if row["n_loaded"] > n_out.get(row["file_id"], 0)}
        note_facts(self.warehouse, self.settings, sorted(loaded))
        for row in rows:
            self.done.n_files += 1
            self.done.n_records += row["n_records"]
            self.done.n_loaded += row["n_loaded"] - n_out.get(row["file_id"], 0)
            self.done.n_rejected += row["n_rejected"] + n_out.get(row["file_id"], 0)

    def _keep_dismissed(self, dismissed: pa.Table | None) -> dict[str, int]:
        return keep_dismissed(self.warehouse, self.settings, self.paths.archive, dismissed) if dismissed else {}

    def _put_away(self, file: LandingFile, state: FileState) -> None:
        """Remove from the landing folder what is archived and noted; other folders are left as they are.

        A file that has taken its place meanwhile is another delivery, and is left for the next run.
        """
        if not file.path.is_relative_to(self.paths.landing):
            return
        found = state_of(file.path)
        if found == state:
            file.path.unlink(missing_ok=True)
        elif found is not None:
            self.done.left_alone.append("another file took its place while it was loaded")


def ingest_files(
    warehouse: Warehouse,
    settings: Settings,
    paths: Paths,
    files: list[LandingFile],
    *,
    now: dt.datetime,
    say: Callable[[str], None],
) -> Ingested:
    """Load files; what is loaded stays loaded if a later one fails.

    Parameters
    ----------
    files
        Complete files, in the order in which they are to be loaded.
    now
        Taken as `loaded_at` and, of what was never seen before, as `arrived_at`, UTC.

    Raises
    ------
    DamagedArchiveError
        If what the archive says of some of them can't be read; they stay where they are, and all others are loaded.
    """
    sweep(paths.archive)
    with contextlib.closing(connect()) as engine, ReaderApart() as apart:
        load = Load(warehouse, settings, paths, engine, apart, now, Ingested())
        ahead = stored_ahead([file.path for file in files], archive=paths.archive)
        for number, (file, stored) in enumerate(zip(files, ahead, strict=True), start=1):
            load.take(file, stored)
            if number % 50 == 0 and number < len(files):
                say(f"{number:,} of {counted(len(files), 'file')} read")
        load.write_held()
    if load.damaged:
        raise DamagedArchiveError("\n".join(load.damaged))
    say(f"{counted(len(files), 'file')}, {counted(load.done.n_loaded, 'record')} loaded")
    return load.done


def insert_batches(
    warehouse: Warehouse,
    settings: Settings,
    name: str,
    batches: list[tuple[str, pa.Table]],
    *,
    now: dt.datetime,
    into: Table | None = None,
) -> int:
    """Insert the records of files, by their ids, of one source; return how many.

    Parameters
    ----------
    into
        Another table of the same columns than that of the source.
    """
    table = RECORD_TABLES[settings.sources[name].table]
    given = {"loaded_at": "$now"}
    parameters: dict[str, Any] = {"now": now}
    if table is EVENTS:
        given |= {
            "event_hash": "hash(event_id)",
            "event_date": "cast(event_time at time zone 'UTC' at time zone $timezone as date)",
        }
        parameters["timezone"] = settings.calendar.timezone
    full = [batch for batch in batches if batch[1].num_rows]
    if not full:
        return 0
    names = full[0][1].column_names
    incoming = pa.concat_tables(
        batch.select(names).append_column("file_id", pa.repeat(pa.scalar(file_id), batch.num_rows))
        for file_id, batch in full
    )
    columns = ", ".join(f"{given.get(column, column)} as {column}" for column in table.column_names)
    return warehouse.insert_from(into or table, f"select {columns} from incoming_arrow", incoming, parameters)


def _check_counts(n_records: int, n_loaded: int, n_rejected: int) -> None:
    """Refuse a file whose counts do not add up."""
    if n_records != n_loaded + n_rejected:
        said = f"counted {n_records} records, found {n_loaded} good and {n_rejected} rejected"
        raise FileRefused("count_differs", said)


def _note_files(warehouse: Warehouse, rows: list[dict[str, Any]]) -> None:
    schema = pa.schema([
        *((name, pa.string()) for name in ("file_id", "source", "path")),
        *((name, pa.int64()) for name in ("size_bytes", "n_records", "n_loaded", "n_rejected", "n_suppressed")),
        *((name, pa.timestamp("us")) for name in ("loaded_at", "arrived_at")),
        *((name, pa.string()) for name in ("archived_sha256", "status", "reason")),
    ])  # fmt: skip
    warehouse.insert(FILES, pa.Table.from_pylist(rows, schema=schema))
