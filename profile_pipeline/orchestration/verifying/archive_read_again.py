"""What the raw tables hold of files, beside what the archive says when they are read again: record by record, every column.

Delimited text is read by the lossless reader, which is not the one that loaded it where the fast one could; the other formats have
one reader each. Not here: which differences make it worth while to read more (`verifying`), or loading (`ingesting`).
"""

import contextlib
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from profile_pipeline.orchestration.building.ingesting import READ_APART
from profile_pipeline.orchestration.building.reading_apart import ReaderApart
from profile_pipeline.orchestration.keeping.built_with import differences, source_fact
from profile_pipeline.raw.archive import DamagedArchiveError, verified_path
from profile_pipeline.raw.readers.bytes import FileRefused
from profile_pipeline.raw.readers.evaluate import connect
from profile_pipeline.raw.readers.read import FileRead, read_file
from profile_pipeline.raw.tables import FILES, RECORD_TABLES, REJECTED_RECORDS
from profile_pipeline.settings import Settings
from profile_pipeline.table import Column, Table, quote_identifier
from profile_pipeline.verification.compare import Comparison, Difference
from profile_pipeline.warehouse.duckdb import Warehouse

# Records of files that are drawn, together; one that holds more is read again only where all are.
DRAWN_RECORDS = 10_000
# Told of one batch of a file: a table that is wrong altogether is told by its beginning.
TOLD_ROWS = 100
_NO_ROWS = pa.table({"row_number": pa.array([], pa.int64())})
GIVEN = ("file_id", "loaded_at", "event_hash", "event_date")
# The column of a difference that is one of the bytes of an archived file.
ARCHIVED = "the archive"


@dataclass
class ReadAgain:
    """Files that were read again.

    Attributes
    ----------
    n_files, n_records
        Read so far.
    of_files
        Files of which there are records in all.
    n_recoverable
        Records that are rejected and would be loaded by the mapping as it is now: no fault, `rejected recover` loads them.
    done
        Ids of the files.
    """

    of_files: int = 0
    n_files: int = 0
    n_records: int = 0
    n_recoverable: int = 0
    done: set[str] = field(default_factory=set)


def drawn_files(w: Warehouse, *, seed: str) -> list[str]:
    """Return some files, by chance: as many as hold `DRAWN_RECORDS` together, none of them larger than that."""
    files = w.rows(
        f"select file_id, n_records from {FILES.name} where status = 'loaded' and n_records between 1 and $most"
        " order by md5($seed || file_id), file_id",
        {"seed": seed, "most": DRAWN_RECORDS},
    )
    chosen, held = [], 0
    for file_id, n_records in files:
        if held + n_records > DRAWN_RECORDS:
            break
        chosen.append(file_id)
        held += n_records
    return chosen


def all_files(w: Warehouse) -> list[str]:
    """Return all files of which there should be records, and those of which there are."""
    tables = " union ".join(
        f"select file_id from {table.name}" for table in (*RECORD_TABLES.values(), REJECTED_RECORDS)
    )
    found = w.rows(f"select file_id from {FILES.name} where status = 'loaded' union {tables} order by 1")
    return [file_id for (file_id,) in found]


def read_again(
    w: Warehouse, settings: Settings, archive: Path, files: Iterable[str], told: ReadAgain, comparison: Comparison
) -> None:
    """Read files of the archive again, those that were not yet, and compare.

    Parameters
    ----------
    told
        Counts what is read.
    comparison
        Takes the differences.
    """
    with contextlib.closing(connect()) as engine, ReaderApart() as apart:
        for file_id in files:
            if file_id not in told.done:
                told.done.add(file_id)
                _File(w, settings, archive, file_id, told, comparison).compare(engine, apart)


class _File:
    """One file, as it was loaded and as it is read again."""

    def __init__(
        self, w: Warehouse, settings: Settings, archive: Path, file_id: str, told: ReadAgain, comparison: Comparison
    ) -> None:
        self.w, self.settings, self.archive, self.file_id = w, settings, archive, file_id
        self.told, self.comparison = told, comparison
        self.changed = differences(w.rows, settings).keys()

    def compare(self, engine: Any, apart: ReaderApart) -> None:
        rows = self.w.rows(
            f"select source, n_records from {FILES.name} where file_id = $file and status = 'loaded'",
            {"file": self.file_id},
        )
        if len(rows) != 1:
            self._tell("", f"{len(rows)} rows of a loaded file", "one")
            return
        ((name, n_records),) = rows
        if name not in self.settings.sources:
            return
        self.told.n_files += 1
        self.told.n_records += n_records
        try:
            path = verified_path(self.archive, self.file_id)
        except DamagedArchiveError as error:
            self._tell(ARCHIVED, str(error), "the bytes that were delivered")
            return
        source = self.settings.sources[name]
        try:
            if source.format in READ_APART:
                read = apart.read(path, name=name, source=source)
            else:
                read = read_file(path, name=name, source=source, engine=engine, is_lossless=True)
            self._compare_records(RECORD_TABLES[source.table], read, is_changed=source_fact(name) in self.changed)
        except FileRefused as refusal:
            self._tell("", "a loaded file", f"refused: {refusal}")
            return
        if read.n_records != n_records:
            self._tell("n_records", str(n_records), str(read.n_records))

    def _tell(self, column: str, found: str, expected: str) -> None:
        self.comparison.differences.append(Difference(FILES.name, f"file_id {self.file_id}", column, found, expected))

    def _compare_records(self, table: Table, read: FileRead, *, is_changed: bool) -> None:
        rejected = self.w.rows(
            f"select row_number, dismissed_at is null from {REJECTED_RECORDS.name} where file_id = $file",
            {"file": self.file_id},
        )
        known, recoverable = {number for number, _ in rejected}, set()
        names = [name for name in table.column_names if name not in GIVEN]
        after = -1
        for batch in read.batches:
            if batch.num_rows:
                numbers = batch.column("row_number").to_pylist()
                recoverable |= known.intersection(numbers)
                self._compare(table, names, batch, after=after, last=max(numbers), but=known)
                after = max(numbers)
        self._compare(table, ["row_number"], _NO_ROWS, after=after, last=None)
        # The detail is left out: how a reader says what it found is its own, and so is where it writes quotes.
        # By another mapping a record may be rejected for another reason, until it is tried to recover it.
        told = ["row_number", *(() if is_changed else ("reason_code",)), "record"]
        self._compare(REJECTED_RECORDS, told, read.rejected, after=-1, last=None, but=recoverable)
        self.told.n_recoverable += len(recoverable.intersection(number for number, waits in rejected if waits))

    def _compare(
        self,
        table: Table,
        names: Sequence[str],
        rows: pa.Table,
        *,
        after: int,
        last: int | None,
        but: Set[int] = frozenset(),
    ) -> None:
        """Compare the records of a stretch of the file, as far as `last` or to its end.

        Parameters
        ----------
        but
            Row numbers that may stand on one side only.
        """
        self.w.temporary("read_again", rows)
        other = [name for name in names if name != "row_number"]
        told = "".join(f", {_told(table, n)} as {quote_identifier(n)}" for n in other)
        sides = "".join(f", {side}.{quote_identifier(n)}" for side in ("t", "a") for n in other)
        unlike = "".join(f" or a.{quote_identifier(n)} is distinct from t.{quote_identifier(n)}" for n in other)
        differing = self.w.rows(
            f"with a as (select row_number{told}, true as is_read from read_again),"
            f" t as (select row_number{told}, true as is_there from {table.name} where file_id = $file and row_number > $after"
            " and ($last is null or row_number <= $last))"
            f" select coalesce(a.row_number, t.row_number), coalesce(is_there, false), coalesce(is_read, false){sides}"
            " from a full join t on t.row_number = a.row_number"
            f" where is_there is null or is_read is null{unlike} order by 1 limit {TOLD_ROWS}",
            {"file": self.file_id, "after": after, "last": last},
        )
        self.w.drop("read_again")
        found, expected = [], []
        for number, is_there, is_read, *values in differing:
            key = {"file_id": self.file_id, "row_number": number}
            if is_there != is_read and number in but:
                continue
            if is_there:
                found.append(key | dict(zip(other, values[: len(other)], strict=True)))
            if is_read:
                expected.append(key | dict(zip(other, values[len(other) :], strict=True)))
        as_text = replace(
            table, partition_column=None, columns=tuple(_plain(table.column(name)) for name in (*table.key, *other))
        )
        self.comparison.compare(as_text, found=found, expected=expected)
        self.comparison.n_rows[table.name] += rows.num_rows - len(expected)
        self.comparison.n_cells[table.name] += (rows.num_rows - len(expected)) * max(1, len(other))


def _told(table: Table, name: str) -> str:
    """Return the SQL of a column of a table as it is compared."""
    told = f"cast({quote_identifier(name)} as {table.types[name]})"
    return f"replace({told}, '\"', '')" if (table.name, name) == (REJECTED_RECORDS.name, "record") else told


def _plain(column: Column) -> Column:
    """Return a column whose JSON is compared as the text that was loaded."""
    return replace(column, type="VARCHAR") if column.type == "JSON" else column
