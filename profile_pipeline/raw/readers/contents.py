"""What a record says as a whole: its other fields as JSON, and an id made of all of them.

Not here: what single columns mean (`read`).
"""

import json
from collections import Counter

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from profile_pipeline.raw.readers.records import TextBatch
from profile_pipeline.source_settings import SourceSettings


def attributes_of(told: dict[str, pa.Array], n_rows: int, engine: duckdb.DuckDBPyConnection) -> pa.Array:
    """What else a record says, as JSON text by name; fields without a value are left out, and the order of columns does not matter."""
    if not told:
        return pa.nulls(n_rows, pa.string())
    told = {name: told[name] for name in sorted(told)}
    # By number: names that differ by case only are one to the engine.
    engine.register("record", pa.table({f"c{i}": as_text(column) for i, column in enumerate(told.values())}))
    try:
        pairs = ", ".join(
            f"'{n.replace(chr(39), chr(39) * 2)}', nullif(trim(cast(c{i} as varchar)), '')" for i, n in enumerate(told)
        )
        # A merge patch drops fields that are null; what is left of a record without any is null itself.
        merged = engine.sql(
            f"select nullif(cast(json_merge_patch('{{}}', json_object({pairs})) as varchar), '{{}}') as j from record"
        ).to_arrow_table()
    finally:
        engine.unregister("record")
    return merged.column("j").combine_chunks()


def content_ids(
    batch: TextBatch, name: str, source: SourceSettings, copies: Counter[str], engine: duckdb.DuckDBPyConnection
) -> pa.Array:
    """md5 of source, canonical record and the number of its copy within the file.

    The canonical record is its fields by name, trimmed, those without a value left out: the order of columns does not matter.
    """
    names = sorted(batch.columns)
    fields = {f"c{i}": _stripped(batch.columns[n]) for i, n in enumerate(names)}
    # concat_ws leaves out what is null.
    parts = ", ".join(
        f"case when c{i} <> '' then '{n.replace(chr(39), chr(39) * 2)}=' || c{i} end" for i, n in enumerate(names)
    )
    canonical = _asked(engine, f"'{name}' || chr(30) || concat_ws(chr(31), {parts})", fields)
    if source.identical_records == "one":
        return _asked(engine, "md5(v || chr(30) || '0')", {"v": canonical})
    numbers = []
    for digest in _asked(engine, "md5(v)", {"v": canonical}).to_pylist():
        numbers.append(str(copies[digest]))
        copies[digest] += 1
    return _asked(engine, "md5(v || chr(30) || k)", {"v": canonical, "k": pa.array(numbers, pa.string())})


def _stripped(column: pa.Array) -> pa.Array:
    """Trim a column of text; a list is written as text first."""
    return pc.utf8_trim_whitespace(as_text(column))


def as_text(column: pa.Array) -> pa.Array:
    """Write lists as text; a list of one as its value, because a lone value becomes one beside records that hold several."""
    if not pa.types.is_list(column.type):
        return column
    told = [v if v is None or len(v) != 1 else v[0] for v in column.to_pylist()]
    return pa.array(
        [v if v is None or isinstance(v, str) else json.dumps(v, ensure_ascii=False) for v in told], pa.string()
    )


def _asked(engine: duckdb.DuckDBPyConnection, expression: str, columns: dict[str, pa.Array]) -> pa.Array:
    """Return an expression over columns, in the order of their rows."""
    engine.register("record", pa.table(columns))
    try:
        answer = engine.sql(f"select {expression} as answer from record").to_arrow_table()
    finally:
        engine.unregister("record")
    return answer.column("answer").combine_chunks()
