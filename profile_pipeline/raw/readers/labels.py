"""A data scientist's own rows of (person, time, label): read as strictly as any file, refused as a whole where they are wrong.

Here a label file becomes typed columns, and each row's time a date or a moment. Not here: who is meant, or what was known then.
"""

import difflib
import re
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from profile_pipeline.errors import ExpectedError
from profile_pipeline.raw.readers import csv, parquet
from profile_pipeline.raw.readers.bytes import FileRefused
from profile_pipeline.raw.readers.csv_pieces import PieceReader
from profile_pipeline.raw.readers.jsonl import JsonReader
from profile_pipeline.raw.readers.records import Rejects, TextBatch
from profile_pipeline.raw.readers.typing import blanks_to_null, to_date, to_timestamp
from profile_pipeline.source_settings import SourceSettings
from profile_pipeline.wording import counted

REQUIRED = ("person", "time", "label")
FORMATS = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".parquet": "parquet"}
SHOWN = 3
PLAIN_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
# What is written like a number is one; a leading zero or a plus sign is part of a code and stays text.
WHOLE = r"^(0|-?[1-9][0-9]{0,17})$"
DECIMAL = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?$"
PANDAS_INDEX = re.compile(r"__index_level_\d+__")
MIDNIGHT = r"^[0-9-]{10}[T ]00:00(:00(\.0+)?)?$"


class LabelsError(ExpectedError):
    """A label file can't be used; the text says what was found, what is expected and what to do."""


@dataclass(frozen=True)
class LabelRows:
    """A label file.

    Attributes
    ----------
    given
        All columns of the file, n rows, as they are to be carried through.
    person
        n texts; null where the file names nobody.
    stated_date
        n days, null where the time is a moment.
    stated_at
        n moments, naive UTC, null where the time is a plain date.
    is_midnight_always
        Every time is a moment and every one is midnight, as dates become that pass through some tools.
    """

    given: pa.Table
    person: pa.Array
    stated_date: pa.Array
    stated_at: pa.Array
    is_midnight_always: bool


def format_of(name: str) -> str | None:
    """Return the format that a file name ends in, .gz and .zst apart, or None."""
    lowered = name.lower()
    return FORMATS.get(Path(lowered.removesuffix(".gz").removesuffix(".zst")).suffix)


def read_labels(path: Path, *, timezone: str) -> LabelRows:
    """Read a label file.

    Parameters
    ----------
    timezone
        Zone of times that name none.

    Raises
    ------
    LabelsError
        With everything that is wrong.
    """
    kind = format_of(path.name)
    if kind is None:
        raise LabelsError(f"found {path}, expected a file that ends in {', '.join(FORMATS)}")
    if not path.is_file():
        found = "is no file" if path.exists() else "is not there"
        raise LabelsError(f"{path} {found}: expected a file of labels, with the columns {', '.join(REQUIRED)}")
    try:
        given = _read_parquet(path) if kind == "parquet" else _read_text(path, kind)
    except FileRefused as error:
        raise LabelsError(f"{path}: {error}. Write the file again.") from None
    missing = [name for name in REQUIRED if name not in given.column_names]
    if missing:
        near = {name: difflib.get_close_matches(name, given.column_names, n=1) for name in missing}
        raise LabelsError(
            f"{path}: found the columns {', '.join(given.column_names)}, expected also {', '.join(missing)}. "
            "Rename yours: person (a user_id, an alias such as anonymous:a1, or a profile_id), time (a date or a timestamp), label."
            + "".join(f" Is {found[0]} the {name}?" for name, found in near.items() if found)
        )
    if given.num_rows == 0:
        raise LabelsError(f"{path}: found no row, expected rows of person, time, label")
    return _with_times(path, given, timezone)


def _with_times(path: Path, given: pa.Table, timezone: str) -> LabelRows:
    text = blanks_to_null(_text_of(given, "time", path))
    is_date = pc.fill_null(pc.match_substring_regex(text, PLAIN_DATE), False)
    nothing = pa.scalar(None, pa.string())
    dates = to_date(pc.if_else(is_date, text, nothing))
    moments = to_timestamp(pc.if_else(is_date, nothing, text), time_format="iso", timezone=timezone)
    bad = sorted({*dates.bad_rows, *moments.bad_rows, *pc.indices_nonzero(pc.is_null(text)).to_pylist()})
    if bad:
        shown = ", ".join(f"{text[row].as_py() or ''!r} in row {row + 1}" for row in bad[:SHOWN])
        raise LabelsError(
            f"{path}: found {counted(len(bad), 'time')} that can't be read ({shown}), expected a date such as 2026-03-01 or a timestamp such as "
            f"2026-03-01T12:00:00+08:00 (without a zone it is of {timezone}). Mend or remove these rows."
        )
    midnight = pc.all(pc.fill_null(pc.match_substring_regex(text, MIDNIGHT), False)).as_py()
    person = blanks_to_null(_text_of(given, "person", path))
    return LabelRows(given, person, dates.values, moments.values, bool(midnight))


def _text_of(given: pa.Table, name: str, path: Path) -> pa.Array:
    column = given.column(name).combine_chunks()
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
    text = parquet.as_text(column)
    if not pa.types.is_string(text.type):
        raise LabelsError(f"{path}: found lists in the column {name}, expected one value a row")
    return text


def _read_parquet(path: Path) -> pa.Table:
    parquet.names_of(path)
    try:
        table = pq.read_table(path, page_checksum_verification=True)
        table.validate(full=True)
    except (pa.ArrowInvalid, OSError) as error:
        raise FileRefused("damaged_parquet", str(error).splitlines()[0]) from None
    unknown = [
        f"{f.name} ({f.type})" for f in table.schema if pa.types.is_float16(f.type) or pa.types.is_decimal256(f.type)
    ]
    if unknown:
        raise LabelsError(
            f"{path}: found the columns {', '.join(unknown)}, expected types that the engine has. Write them as float32 or decimal128, or remove them."
        )
    # The index of a pandas frame says nothing of a person, and would make each row differ from all others.
    named = [name for name in table.column_names if not PANDAS_INDEX.fullmatch(name)]
    return table.select(named).replace_schema_metadata(None)


def _read_text(path: Path, kind: str) -> pa.Table:
    source = SourceSettings.model_validate({
        "table": "users", "path": path.name, "format": kind, "columns": {"user_id": "person"},
    })  # fmt: skip
    batches, rejects = _batches(path, source)
    tables = [pa.table(batch.columns) for batch in batches]
    if rejects.row_numbers:
        shown = "; ".join(
            f"record {number}: {reason}, {detail}"
            for number, reason, detail in list(zip(rejects.row_numbers, rejects.reasons, rejects.details, strict=True))[:SHOWN]
        )  # fmt: skip
        raise LabelsError(
            f"{path}: found {counted(len(rejects.row_numbers), 'record')} that can't be read ({shown}), expected {kind} in UTF-8. Mend them, or leave them out."
        )
    if not tables:
        names = csv.header_of(path, source) if kind != "jsonl" else list(REQUIRED)
        return pa.table({name: pa.array([], pa.string()) for name in names})
    try:
        texts = pa.concat_tables(tables, promote_options="default")
    except pa.ArrowInvalid as error:
        raise LabelsError(
            f"{path}: found a column that holds lists in some rows and text in others: {error}. Make it one of both."
        ) from None
    return pa.table({
        name: texts.column(name) if name in ("person", "time") else _typed(texts.column(name))
        for name in texts.column_names
    })  # fmt: skip


def _batches(path: Path, source: SourceSettings) -> tuple[list[TextBatch], Rejects]:
    rejects = Rejects()
    if source.format == "jsonl":
        return list(JsonReader(path, source, rejects).batches()), rejects
    reader = PieceReader(path, source, csv.header_of(path, source), rejects)
    return list(reader.batches()), rejects


def _typed(text: pa.ChunkedArray) -> pa.ChunkedArray:
    """Make numbers and truth values of a column that holds nothing else; empty is null."""
    if not pa.types.is_string(text.type):
        return text
    values = pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)
    if values.null_count == len(values):
        return values
    for pattern, kind in ((WHOLE, pa.int64()), (DECIMAL, pa.float64()), (r"^(true|false|True|False)$", pa.bool_())):
        if pc.all(pc.match_substring_regex(values, pattern)).as_py():
            return values.cast(kind)
    return values
