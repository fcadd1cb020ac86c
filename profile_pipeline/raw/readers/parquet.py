"""Parquet: read with page checksums verified, each column handed over as text, lists as lists of text.

A file that is damaged is refused as a whole. Not here: what the columns mean.
"""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from profile_pipeline.raw.readers.bytes import FileRefused
from profile_pipeline.raw.readers.records import BATCH_RECORDS, TextBatch


def count_records(path: Path) -> int:
    """Return the number of rows that the file's own footer states."""
    return _opened(path).metadata.num_rows


def _opened(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, page_checksum_verification=True)
    except (pa.ArrowInvalid, OSError) as error:
        raise FileRefused("damaged_parquet", str(error).splitlines()[0]) from None


def names_of(path: Path) -> list[str]:
    """Return the column names.

    Raises
    ------
    FileRefused
        If two are the same.
    """
    names = _opened(path).schema_arrow.names
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise FileRefused("duplicate_column", f"the file names {', '.join(twice)} twice")
    return names


def read(path: Path) -> Iterator[TextBatch]:
    """Read all rows."""
    n_seen = 0
    try:
        for batch in _opened(path).iter_batches(batch_size=BATCH_RECORDS, use_threads=False):
            numbers = pa.array(range(n_seen + 1, n_seen + batch.num_rows + 1), pa.int64())
            n_seen += batch.num_rows
            batch.validate(full=True)
            yield TextBatch(numbers, {name: as_text(batch.column(i)) for i, name in enumerate(batch.schema.names)})
    except (pa.ArrowInvalid, OSError) as error:
        raise FileRefused("damaged_parquet", str(error).splitlines()[0]) from None


def as_text(column: pa.Array) -> pa.Array:
    """Return a column as text, lists as lists of text; whole floats are written whole."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return as_text(column.dictionary_decode())
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return column.cast(pa.list_(pa.string()))
    if pa.types.is_floating(kind):
        # An id that went through a float column reads `17850.0`: whole numbers are written whole.
        whole = pc.and_kleene(pc.equal(column, pc.floor(column)), pc.less(pc.abs(column), 2.0**53))
        as_integer = pc.if_else(pc.fill_null(whole, False), column, 0.0).cast(pa.int64()).cast(pa.string())
        return pc.if_else(pc.fill_null(whole, False), as_integer, column.cast(pa.string()))
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        naive = column.cast(pa.timestamp("us", "UTC")).cast(pa.timestamp("us"))
        return pc.binary_join_element_wise(naive.cast(pa.string()), pa.scalar("Z"), "")
    if pa.types.is_struct(kind) or pa.types.is_map(kind):
        return pa.array([None if value is None else str(value) for value in column.to_pylist()], pa.string())
    return column.cast(pa.string())
