"""Parquet: read with page checksums verified, each column handed over as text, lists as lists of text, structs field by field.

A file that is damaged is refused as a whole. Not here: what the columns mean.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from profile_pipeline.raw.readers.bytes import FileRefused
from profile_pipeline.raw.readers.records import BATCH_RECORDS, Rejects, TextBatch

_DAMAGE = (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowKeyError, pa.ArrowIndexError, pa.ArrowTypeError)
# Columns of bytes hold text, by writers that know no text; whether they do is seen row by row.
_AS_STRING = {pa.binary(): pa.string(), pa.large_binary(): pa.large_string()}


@contextmanager
def _refusing_damage() -> Iterator[None]:
    """Turn what a damaged file makes of its library into a refusal."""
    try:
        yield
    except (*_DAMAGE, OSError, UnicodeDecodeError) as error:
        raise FileRefused("damaged_parquet", (str(error).splitlines() or [type(error).__name__])[0]) from None


def count_records(path: Path) -> int:
    """Return the number of rows that the file's own footer states."""
    with _refusing_damage():
        return _opened(path).metadata.num_rows


def _opened(path: Path) -> pq.ParquetFile:
    return pq.ParquetFile(path, page_checksum_verification=True)


def names_of(path: Path) -> list[str]:
    """Return the column names; those of a nested field are dotted.

    Raises
    ------
    FileRefused
        If two are the same.
    """
    with _refusing_damage():
        names = [name for field in _opened(path).schema_arrow for name in _dotted(field.name, field.type)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise FileRefused("duplicate_column", f"the file names {', '.join(twice)} twice")
    return names


def _dotted(name: str, kind: pa.DataType) -> list[str]:
    if not pa.types.is_struct(kind):
        return [name]
    return [inner for field in kind for inner in _dotted(f"{name}.{field.name}", field.type)]


def _leaves(name: str, column: pa.Array) -> Iterator[tuple[str, pa.Array]]:
    """Return a column, or the fields of a struct by dotted names."""
    if not pa.types.is_struct(column.type):
        yield name, column
        return
    for field, inner in zip(column.type, column.flatten(), strict=True):
        yield from _leaves(f"{name}.{field.name}", inner)


def read(path: Path, rejects: Rejects) -> Iterator[TextBatch]:
    """Read all rows; one that holds bytes which are no text is rejected."""
    n_seen = 0
    with _refusing_damage():
        file = _opened(path)
        for batch in file.iter_batches(batch_size=BATCH_RECORDS, use_threads=False):
            numbers = pa.array(range(n_seen + 1, n_seen + batch.num_rows + 1), pa.int64())
            n_seen += batch.num_rows
            batch.validate()
            yield _text_batch(batch, numbers, rejects)
        if n_seen != file.metadata.num_rows:
            raise FileRefused("damaged_parquet", f"found {n_seen} rows, its end states {file.metadata.num_rows}")


def _text_batch(batch: pa.RecordBatch, numbers: pa.Array, rejects: Rejects) -> TextBatch:
    columns = [_with_text(column) for column in batch.columns]
    batch = pa.RecordBatch.from_arrays(columns, names=batch.schema.names)
    bad = _rows_without_text(batch, 0)
    for row in bad:
        told = "a column of text holds bytes that are none"
        rejects.add(numbers[row].as_py(), "bad_encoding", told, _shown(batch.slice(row, 1)))
    if bad:
        is_good = np.ones(batch.num_rows, bool)
        is_good[bad] = False
        batch, numbers = batch.filter(pa.array(is_good)), numbers.filter(pa.array(is_good))
    leaves = (leaf for i, name in enumerate(batch.schema.names) for leaf in _leaves(name, batch.column(i)))
    return TextBatch(numbers, {name: as_text(column) for name, column in leaves})


def _with_text(column: pa.Array) -> pa.Array:
    """Return a column of bytes as one of text, a dictionary as its values: whether they are valid is seen row by row."""
    column = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
    return column.view(_AS_STRING[column.type]) if column.type in _AS_STRING else column


def _rows_without_text(batch: pa.RecordBatch, offset: int) -> list[int]:
    """Return the rows that are not valid. Damage is rare: a half that is valid is not looked into."""
    try:
        batch.validate(full=True)
        return []
    except pa.ArrowInvalid:
        if batch.num_rows <= 1:
            return [offset]
    middle = batch.num_rows // 2
    left, right = batch.slice(0, middle), batch.slice(middle)
    return _rows_without_text(left, offset) + _rows_without_text(right, offset + middle)


def _shown(row: pa.RecordBatch) -> bytes:
    """A row as bytes, for the table of rejected records."""
    told = []
    for name, column in zip(row.schema.names, row.columns, strict=True):
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            value = column.cast(pa.large_binary())[0].as_py()
            told.append(name.encode() + b"=" + (value or b""))
    return b"; ".join(told)


def as_text(column: pa.Array) -> pa.Array:
    """Return a column as text, lists as lists of text; whole floats are written whole, what else has no text as JSON."""
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        return as_text(column.storage)
    if pa.types.is_dictionary(kind):
        return as_text(column.dictionary_decode())
    if pa.types.is_floating(kind):
        # An id that went through a float column reads `17850.0`: whole numbers are written whole.
        column = column.cast(pa.float64()) if pa.types.is_float16(kind) else column
        whole = pc.and_kleene(pc.equal(column, pc.floor(column)), pc.less(pc.abs(column), 2.0**53))
        as_integer = pc.if_else(pc.fill_null(whole, False), column, 0.0).cast(pa.int64()).cast(pa.string())
        return pc.if_else(pc.fill_null(whole, False), as_integer, column.cast(pa.string()))
    if pa.types.is_timestamp(kind):
        # Nanoseconds are cut; other units are not, so that one too far away is refused and does not become another.
        is_finer = kind.unit == "ns"
        naive = column.cast(pa.timestamp("us", kind.tz), safe=not is_finer).cast(pa.timestamp("us"))
        text = naive.cast(pa.string())
        return pc.binary_join_element_wise(text, pa.scalar("Z"), "") if kind.tz is not None else text
    is_listed = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    if not is_listed and not pa.types.is_nested(kind) and not pa.types.is_fixed_size_binary(kind):
        try:
            return column.cast(pa.string())
        except pa.ArrowNotImplementedError:
            pass
    values = column.to_pylist()
    if is_listed:
        told = [None if value is None else [_told(v) for v in value] for value in values]
        return pa.array(told, pa.list_(pa.string()))
    return pa.array([_told(value) for value in values], pa.string())


def _told(value: Any) -> str | None:
    """Write one value that Arrow does not: text as it is, bytes in hexadecimal, the rest as JSON."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.hex()
    return json.dumps(value, ensure_ascii=False, default=str)
