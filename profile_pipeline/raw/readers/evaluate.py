"""Expressions of a mapping, run over a batch in an in-memory engine that can reach no file and no network.

Not here: what an expression may say (`raw.mapping`).
"""

from collections.abc import Mapping

import duckdb
import pyarrow as pa

from profile_pipeline.raw.mapping import Expression, select_list
from profile_pipeline.raw.readers.bytes import FileRefused
from profile_pipeline.raw.readers.contents import as_text
from profile_pipeline.raw.readers.records import TextBatch


def connect() -> duckdb.DuckDBPyConnection:
    """Open an engine for expressions: hardened, one thread, in memory."""
    connection = duckdb.connect(
        ":memory:",
        config={
            "autoinstall_known_extensions": "false", "autoload_known_extensions": "false", "allow_community_extensions": "false",
            "python_enable_replacements": "false", "threads": "1",
        },
    )  # fmt: skip
    connection.execute("set timezone = 'UTC'")
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")
    return connection


def evaluate(
    connection: duckdb.DuckDBPyConnection, batch: TextBatch, expressions: Mapping[str, Expression]
) -> tuple[dict[str, pa.Array], dict[int, str]]:
    """Return each expression's values as text, and the rows on which one fails, with what the engine says.

    An expression reads text, also of a field that is a list in some record beside: what a record gives depends on no other.
    """
    read = sorted({name for expression in expressions.values() for name in expression.reads})
    twice = [name for name in read if sum(other.casefold() == name.casefold() for other in batch.columns) > 1]
    if twice:
        raise FileRefused(
            "duplicate_column", f"{', '.join(twice)} and another differ by case only, which an expression can't tell"
        )
    table = pa.table({name: as_text(batch.columns[name]) for name in read} or {"nothing": batch.row_numbers})
    values, faults = _by_halves(connection, table, expressions, 0)
    return {name: values.column(name).combine_chunks() for name in expressions}, faults


def _by_halves(
    connection: duckdb.DuckDBPyConnection, table: pa.Table, expressions: Mapping[str, Expression], offset: int
) -> tuple[pa.Table, dict[int, str]]:
    connection.register("record", table)
    try:
        return connection.sql(f"select {select_list(expressions)} from record").to_arrow_table(), {}
    except duckdb.Error as error:
        if table.num_rows == 1:
            return pa.table({name: pa.nulls(1, pa.string()) for name in expressions}), {
                offset: str(error).splitlines()[0]
            }
    finally:
        connection.unregister("record")
    middle = table.num_rows // 2
    left, left_faults = _by_halves(connection, table.slice(0, middle), expressions, offset)
    right, right_faults = _by_halves(connection, table.slice(middle), expressions, offset + middle)
    return pa.concat_tables([left, right]), left_faults | right_faults
