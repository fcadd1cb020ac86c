"""A file as typed records of one raw table, every record loaded or rejected with a reason.

Here a reader's text meets the mapping of its source. Not here: formats, archive, database.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from profile_pipeline.raw.hashing import hashed
from profile_pipeline.raw.mapping import Expression, MappingError, columns_needed, columns_read
from profile_pipeline.raw.readers import csv, lines, parquet
from profile_pipeline.raw.readers.ambiguous import check_cases, without_ambiguity, without_header_lines
from profile_pipeline.raw.readers.bytes import FileRefused, count_lines
from profile_pipeline.raw.readers.contents import as_text, attributes_of, content_ids
from profile_pipeline.raw.readers.csv_lossless import RecordReader
from profile_pipeline.raw.readers.csv_pieces import PieceReader
from profile_pipeline.raw.readers.evaluate import evaluate
from profile_pipeline.raw.readers.jsonl import JsonReader
from profile_pipeline.raw.readers.records import (
    CountedBefore,
    Rejects,
    TextBatch,
    TextReader,
    UnsureError,
    kept_text,
)
from profile_pipeline.raw.readers.typing import (
    Converted,
    blanks_to_null,
    to_boolean,
    to_date,
    to_decimal,
    to_double,
    to_integer,
    to_text,
    to_timestamp,
)
from profile_pipeline.raw.roles import KNOWN_EVENT_TYPES
from profile_pipeline.raw.tables import RECORD_TABLES
from profile_pipeline.source_settings import GIVEN_BY_LOADING, KEY_COLUMNS, ListSettings, SourceSettings
from profile_pipeline.table import MONEY, PRICE

# A record's place in its file is a column too, where the file has none of that name: some files have no id.
ROW_NUMBER = "row_number"
ATTRIBUTE = "attributes."
MOST_DOUBTS_HERE = 16
HASHED_COLUMNS = {"email_hash": "e-mail", "phone_hash": "phone"}
_REASON_OF_TYPE = {
    "TIMESTAMP": "bad_time", "DATE": "bad_date", "BOOLEAN": "bad_boolean", "VARCHAR": "bad_text", "JSON": "bad_text", "VARCHAR[]": "bad_text",
}  # fmt: skip


@dataclass
class FileRead:
    """A file while it is read.

    Attributes
    ----------
    batches
        Typed rows of the source's raw table, all its columns but file_id, loaded_at, event_hash and event_date.
    """

    batches: Iterator[pa.Table]
    _counted: Callable[[], int]
    _rejected: Callable[[], pa.Table]

    @property
    def n_records(self) -> int:
        """Records of the file, counted apart from the parser; all of them when `batches` is exhausted."""
        return self._counted()

    @property
    def rejected(self) -> pa.Table:
        """row_number, reason_code, detail, record of what could not be loaded; whole when `batches` is exhausted."""
        return self._rejected()


def read_file(
    path: Path,
    *,
    name: str,
    source: SourceSettings,
    engine: duckdb.DuckDBPyConnection,
    most_doubts: int | None = None,
    is_lossless: bool = False,
) -> FileRead:
    """Read a file of a source.

    Parameters
    ----------
    engine
        What expressions run in (`evaluate.connect`), one for many files.
    most_doubts
        Stop where more places than these are not what the format says: pieces of delimited text, records of JSON.
    is_lossless
        Read delimited text record by record even where it could be read faster.

    Raises
    ------
    FileRefused
        If it is bad as a whole; also while `batches` are taken.
    UnsureError
        Where `most_doubts` are not enough, while `batches` are taken.
    """
    rejects = Rejects()
    names: list[str] = []
    reader: TextReader
    if source.format == "parquet":
        names = parquet.names_of(path)
        reader = CountedBefore(parquet.count_records(path), parquet.read(path, rejects))
    elif source.format == "jsonl":
        reader = JsonReader(path, source, rejects, most_doubts=most_doubts)
    elif source.format == "lines":
        names = lines.names_of(source)
        reader = CountedBefore(count_lines(path, source.encoding), lines.read(path, source, rejects))
    else:
        source, names = _header(path, source)
        reader = (
            RecordReader(path, source, names, rejects)
            if is_lossless
            else PieceReader(path, source, names, rejects, most_doubts=most_doubts)
        )
    if source.format != "jsonl":
        _resolved(source, [*names, ROW_NUMBER])
        check_cases(source, names)
    batches = _typed(reader.batches(), name, source, rejects, engine)
    return FileRead(batches, lambda: reader.n_records, rejects.table)


def is_cut_as_mapped(source: SourceSettings) -> bool:
    """Say whether it is the mapping that says where records begin: quotes, header and delimiter do; a row of Parquet is one by any."""
    return source.format in ("csv", "tsv")


def texts_of_records(path: Path, source: SourceSettings) -> Iterator[tuple[int, str]]:
    """Yield each record of delimited text, loaded or not, by its row number, as `raw.rejected_records` would keep it.

    Raises
    ------
    FileRefused
        If the file is bad as a whole.
    """
    rejects = Rejects()
    source, names = _header(path, source)
    for batch in PieceReader(path, source, names, rejects).batches():
        for row, number in enumerate(batch.row_numbers.to_pylist()):
            yield number, kept_text(batch.record_text(row))
    yield from zip(rejects.row_numbers, rejects.records, strict=True)


def read_here(path: Path, *, name: str, source: SourceSettings, engine: duckdb.DuckDBPyConnection) -> FileRead:
    """Read a file in this process, unless it has to be read apart.

    Raises
    ------
    FileRefused
        If it is bad as a whole; also while `batches` are taken.
    UnsureError
        While `batches` are taken, if it is damaged in many places, or meant to do damage, or finds a fault of its reader.
    """
    read = read_file(path, name=name, source=source, engine=engine, most_doubts=MOST_DOUBTS_HERE)
    return replace(read, batches=_unsure_of_faults(read.batches))


def _unsure_of_faults(batches: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """A file that finds a fault of a reader must not stop those after it."""
    try:
        yield from batches
    except (FileRefused, UnsureError, duckdb.Error):
        raise
    except Exception as error:
        raise UnsureError(type(error).__name__) from error


def _header(path: Path, source: SourceSettings) -> tuple[SourceSettings, list[str]]:
    """Return the column names, and the source with the delimiter of the file where it names none.

    A delimiter is taken instead of the usual one only if it is the only one by which the mapped columns are there.
    """
    try:
        names = csv.header_of(path, source)
    except FileRefused as refusal:
        if refusal.reason == "bad_header" and source.delimiter is None:
            names = []
        else:
            raise
    if source.delimiter is not None or source.header is not True or _has_mapped(source, names):
        return source, names
    fitting = []
    for delimiter in csv.DELIMITERS:
        other = source.model_copy(update={"delimiter": delimiter})
        try:
            found = csv.header_of(path, other)
        except FileRefused:
            continue
        if _has_mapped(other, found):
            fitting.append((other, found))
    if len(fitting) == 1:
        return fitting[0]
    return source, csv.header_of(path, source)


def _has_mapped(source: SourceSettings, names: list[str]) -> bool:
    try:
        columns_needed(source, [*names, ROW_NUMBER])
    except MappingError:
        return False
    return True


def _resolved(source: SourceSettings, names: list[str]) -> dict[str, str | Expression | ListSettings]:
    try:
        return columns_needed(source, names)
    except MappingError as error:
        own = [n for n in names if n != ROW_NUMBER]
        is_one = len(own) == 1 and source.format in ("csv", "tsv") and not own[0].replace("_", "").isalnum()
        # Not which: it may be a record.
        hint = ". The whole first line is one column: is `delimiter` right?" if is_one else ""
        raise FileRefused("missing_column", f"{error}{hint}") from None


def _typed(
    texts: Iterator[TextBatch], name: str, source: SourceSettings, rejects: Rejects, engine: duckdb.DuckDBPyConnection
) -> Iterator[pa.Table]:
    copies: Counter[str] = Counter()
    n_loaded = 0
    for batch in texts:
        if source.format == "jsonl":
            batch = without_ambiguity(_with_named_columns(batch, source), source, rejects)
        elif source.header is True:
            batch = without_header_lines(batch, rejects)
        typed = _typed_batch(batch, name, source, rejects, engine, copies)
        n_loaded += typed.num_rows
        yield typed
    if not n_loaded and len(rejects.reasons) > 1 and set(rejects.reasons) == {"bad_encoding"}:
        raise FileRefused("wrong_encoding", f"no record is {source.encoding}; {rejects.details[0]}")


def _with_named_columns(batch: TextBatch, source: SourceSettings) -> TextBatch:
    """Give a batch of JSON the columns that the mapping names and no record of it has: a field may be absent."""
    missing = sorted(columns_read(source, batch.columns) - batch.columns.keys() - {ROW_NUMBER})
    n_rows = len(batch.row_numbers)
    return TextBatch(batch.row_numbers, batch.columns | {column: pa.nulls(n_rows, pa.string()) for column in missing})


def _with_row_numbers(batch: TextBatch) -> TextBatch:
    if ROW_NUMBER in batch.columns:
        return batch
    return TextBatch(batch.row_numbers, {ROW_NUMBER: batch.row_numbers.cast(pa.string())} | batch.columns)


def _typed_batch(
    batch: TextBatch,
    name: str,
    source: SourceSettings,
    rejects: Rejects,
    engine: duckdb.DuckDBPyConnection,
    copies: Counter[str],
) -> pa.Table:
    table = RECORD_TABLES[source.table]
    own, batch = batch, _with_row_numbers(batch)
    mapping = _resolved(source, list(batch.columns))
    expressions = {ours: e for ours, e in mapping.items() if isinstance(e, Expression)}
    evaluated: dict[str, pa.Array] = {}
    bad: dict[int, tuple[str, str]] = {}
    if expressions:
        evaluated, faults = evaluate(engine, batch, expressions)
        bad |= {row: ("bad_expression", text) for row, text in faults.items()}
    n_rows = len(batch.row_numbers)
    columns: dict[str, pa.Array] = {"row_number": batch.row_numbers, "source": pa.array([name] * n_rows, pa.string())}
    for column in table.columns:
        if column.name in GIVEN_BY_LOADING:
            continue
        theirs = mapping.get(column.name)
        if isinstance(theirs, ListSettings):
            converted = Converted(_listed(batch, theirs), [])
        elif theirs is None:
            converted = Converted(pa.nulls(n_rows, _arrow_type(column.type)), [])
        else:
            text = evaluated[column.name] if isinstance(theirs, Expression) else batch.columns[theirs]
            converted = _converted(text, column.name, column.type, source)
        for row in converted.bad_rows:
            found = str(text[row])
            reason = _REASON_OF_TYPE.get(column.type, "bad_number")
            expected = _written_as(column.type, source)
            bad.setdefault(row, (reason, f"{column.name}: found {found[:100]!r}, expected {expected}"))
        columns[column.name] = converted.values
    if source.attributes:
        named = {ours.removeprefix(ATTRIBUTE): theirs for ours, theirs in mapping.items() if ours.startswith(ATTRIBUTE)}
        if source.attributes == "all":
            used = {theirs for theirs in mapping.values() if isinstance(theirs, str)}
            told = {name: column for name, column in own.columns.items() if name not in used}
        else:
            told = {
                name: batch.columns[theirs] if isinstance(theirs, str) else evaluated[f"{ATTRIBUTE}{name}"]
                for name, theirs in named.items()
            }
        columns["properties" if source.table == "events" else "attributes"] = attributes_of(told, n_rows, engine)
    if source.table == "events":
        columns["role"] = _roles(columns["event_type"], source)
        if "event_id" not in source.columns:
            columns["event_id"] = content_ids(own, name, source, copies, engine)
    required = [*KEY_COLUMNS[source.table], *(("event_id",) if "event_id" in source.columns else ())]
    for needed in required:
        for row in pc.indices_nonzero(pc.is_null(columns[needed])).to_pylist():
            bad.setdefault(row, (f"missing_{needed}", f"{needed}: blank"))
    for row, (reason, detail) in sorted(bad.items()):
        rejects.add(own.row_numbers[row].as_py(), reason, detail, own.record_text(row))
    typed = pa.table(columns)
    return typed.filter(pa.array([row not in bad for row in range(n_rows)])) if bad else typed


def _written_as(kind: str, source: SourceSettings) -> str:
    """How a person is told what a column of a type holds."""
    if kind == "TIMESTAMP":
        written = "iso, such as 2026-01-31T10:00:00Z" if source.time_format == "iso" else source.time_format
        return f"a time as time_format says ({written})"
    return "a date such as 2001-12-31" if kind == "DATE" else kind.lower()


def _arrow_type(kind: str) -> pa.DataType:
    return {
        "VARCHAR": pa.string(), "JSON": pa.string(), "TIMESTAMP": pa.timestamp("us"), "DATE": pa.date32(), "BIGINT": pa.int64(),
        "INTEGER": pa.int32(), "DOUBLE": pa.float64(), "BOOLEAN": pa.bool_(), "VARCHAR[]": pa.list_(pa.string()), MONEY: pa.decimal128(18, 4),
        PRICE: pa.decimal128(18, 4),
    }[kind]  # fmt: skip


def _converted(text: pa.Array, name: str, kind: str, source: SourceSettings) -> Converted:
    """Convert one column of text to the type of ours."""
    if isinstance(text, pa.ChunkedArray):
        text = text.combine_chunks()
    if kind == "VARCHAR[]":
        if pa.types.is_list(text.type):
            return Converted(text, [])
        values = blanks_to_null(text)
        return Converted(pa.array([None if v is None else [v] for v in values.to_pylist()], pa.list_(pa.string())), [])
    text = blanks_to_null(as_text(text))
    if name in HASHED_COLUMNS:
        return Converted(
            pa.array(
                [None if v is None else hashed(v, is_email=name == "email_hash") for v in text.to_pylist()], pa.string()
            ),
            [],
        )
    if kind == "TIMESTAMP":
        return to_timestamp(text, time_format=source.time_format, timezone=source.timezone)
    if kind == "DATE":
        return to_date(text)
    if kind in (PRICE, MONEY):
        return to_decimal(text)
    if kind in ("BIGINT", "INTEGER"):
        return to_integer(text, _arrow_type(kind))
    if kind == "DOUBLE":
        return to_double(text)
    if kind == "BOOLEAN":
        return to_boolean(text)
    return to_text(text)


def _listed(batch: TextBatch, settings: ListSettings) -> pa.Array:
    if settings.flags:
        flags = [
            [(v or "").strip().lower() in ("1", "true", "t", "yes", "1.0") for v in batch.columns[f].to_pylist()]
            for f in settings.flags
        ]
        rows = zip(*flags, strict=True)
        return pa.array(
            [[name for name, is_set in zip(settings.flags, row, strict=True) if is_set] for row in rows],
            pa.list_(pa.string()),
        )
    texts = batch.columns[settings.split or ""].to_pylist()
    parts = [None if not t or not t.strip() else [p.strip() for p in t.split(settings.on) if p.strip()] for t in texts]
    return pa.array(parts, pa.list_(pa.string()))


def _roles(event_types: pa.Array, source: SourceSettings) -> pa.Array:
    """The role of each event type: as the source says, else as common trackers name it, else `other`."""
    folded = {theirs.casefold(): role for theirs, role in source.roles.items()}
    encoded = event_types.dictionary_encode()
    roles = [
        source.roles.get(t) or folded.get(t.casefold()) or KNOWN_EVENT_TYPES.get(t.casefold(), "other")
        if t is not None
        else None
        for t in encoded.dictionary.to_pylist()
    ]
    return pa.DictionaryArray.from_arrays(encoded.indices, pa.array(roles, pa.string())).dictionary_decode()
