"""One text on two engines: DuckDB holds the rows; Spark, where there is one, is handed what a query reads and must say the same.

Not here: any test. Tests that take the fixture `engine` run once on DuckDB and once, marked `spark`, on both.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa

from profile_pipeline.table import Table
from profile_pipeline.warehouse.spark import SparkWarehouse
from profile_pipeline.warehouse.sql import tables_read

Parameters = Mapping[str, Any]


@dataclass
class Compared:
    """What ran on both engines: rows that were equal, by text; none for a text that others read as a view."""

    n_rows_of: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{len(self.n_rows_of)} texts and {sum(self.n_rows_of.values()):,} rows are equal on both engines"

    def has_run(self, file_text: str) -> bool:
        """Say whether a SQL file ran, as it stands or with its holes filled: it is known by its first line."""
        return any(text.startswith(file_text.splitlines()[0]) for text in self.n_rows_of)

    def note(self, sql: str, n_rows: int) -> None:
        self.n_rows_of[sql] = self.n_rows_of.get(sql, 0) + n_rows


class Engine:
    """Where the texts of a test run. The rows are always held by DuckDB's connection."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, spark: SparkWarehouse | None, compared: Compared) -> None:
        self.connection, self.spark, self.compared = connection, spark, compared
        self._handed: dict[str, pa.Table] = {}
        self._views: dict[str, tuple[str, Parameters | None]] = {}

    def create(self, *tables: Table) -> None:
        """Create tables without a constraint: a test says only what matters to it."""
        for table in tables:
            self.connection.execute(f"create schema if not exists {table.schema}")
            columns = ", ".join(f'"{c.name}" {c.type}' for c in table.columns)
            self.connection.execute(f"create or replace table {table.name} ({columns})")

    def insert(self, table: str, *rows: Mapping[str, Any]) -> None:
        """Insert rows by column name."""
        for row in rows:
            names = ", ".join(f'"{name}"' for name in row)
            self.connection.execute(
                f"insert into {table} ({names}) values ({', '.join('?' * len(row))})", list(row.values())
            )

    def hold(self, name: str, rows: pa.Table) -> None:
        """Hold Arrow rows as a temporary table."""
        self.connection.register("held_rows", rows)
        self.connection.execute(f"create or replace temp table {name} as select * from held_rows")
        self.connection.unregister("held_rows")

    def view(self, name: str, sql: str, parameters: Parameters | None = None) -> None:
        """Name a query: what reads it runs its text too, on each engine."""
        self.connection.execute(f"create or replace temp table {name} as {sql}", dict(parameters or {}))
        self._views[name] = (sql, parameters)

    def make(self, name: str, sql: str, parameters: Parameters | None = None) -> None:
        """Make a temporary table of a query; what Spark would have put there is equal."""
        if self.spark is not None:
            self.arrow(sql, parameters)
        self.connection.execute(f"create or replace temp table {name} as {sql}", dict(parameters or {}))

    def arrow(self, sql: str, parameters: Parameters | None = None) -> pa.Table:
        """Return the rows of a query: Spark's, where there is one, once they are equal to DuckDB's."""
        relation = self.connection.sql(sql, params=dict(parameters or {}))
        json_columns = [c for c, kind in zip(relation.columns, relation.types, strict=True) if str(kind) == "JSON"]
        expected = relation.to_arrow_table()
        if self.spark is None:
            return expected
        texts = self._hand_over(sql, self.spark)
        found = self.spark.arrow(sql, parameters)
        assert_equal_rows(found, expected, json_columns=json_columns)
        self.compared.note(sql, expected.num_rows)
        for text in texts:
            self.compared.note(text, 0)
        return found

    def rows(self, sql: str, parameters: Parameters | None = None) -> list[tuple[Any, ...]]:
        """Return the rows of a query; see `arrow`."""
        columns = [column.to_pylist() for column in self.arrow(sql, parameters).columns]
        return list(zip(*columns, strict=True))

    def dicts(self, sql: str, parameters: Parameters | None = None) -> list[dict[str, Any]]:
        """Return the rows of a query by column name; see `arrow`."""
        return self.arrow(sql, parameters).to_pylist()

    def _hand_over(self, sql: str, spark: SparkWarehouse) -> list[str]:
        """Give Spark what a query reads, unless it holds the same; return the texts of the views among it."""
        texts: list[str] = []
        for name in sorted(tables_read(sql)):
            if name in self._views:
                text, parameters = self._views[name]
                texts += [text, *self._hand_over(text, spark)]
                spark.temporary(name, text, parameters)
                continue
            rows = self.connection.sql(f"select * from {name}").to_arrow_table()
            if name not in self._handed or not self._handed[name].equals(rows):
                spark.temporary(name, rows)
                self._handed[name] = rows
        return texts


def assert_equal_rows(found: pa.Table, expected: pa.Table, *, json_columns: Collection[str] = ()) -> None:
    """The same columns in the same order, of the same kinds, and the same rows in any order, to the value."""
    assert found.column_names == expected.column_names
    assert [_kind(f.type) for f in found.schema] == [_kind(f.type) for f in expected.schema]
    with duckdb.connect(":memory:") as connection:
        connection.execute("set timezone = 'UTC'")
        connection.register("found", _with_canonical_json(found, json_columns))
        connection.register("expected", _with_canonical_json(expected, json_columns))
        for one, other in (("found", "expected"), ("expected", "found")):
            only = connection.execute(f"select * from {one} except all select * from {other} limit 3").fetchall()
            assert (one, only) == (one, [])


def _kind(kind: pa.DataType) -> str:
    """What kind of value a type holds: whole and decimal numbers are exact ones, however wide."""
    if pa.types.is_integer(kind) or pa.types.is_decimal(kind):
        return "exact number"
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return f"list of {_kind(kind.value_type)}"
    return "string" if pa.types.is_large_string(kind) else str(kind)


def _with_canonical_json(rows: pa.Table, columns: Collection[str]) -> pa.Table:
    """JSON says the same in any order of names, and with 1e-05 for 0.00001."""
    for name in columns:
        texts = [
            None if v is None else _canonical(json.loads(v, parse_float=Decimal)) for v in rows.column(name).to_pylist()
        ]
        rows = rows.set_column(rows.column_names.index(name), name, pa.array(texts, pa.string()))
    return rows


def _canonical(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(name)}:{_canonical(v)}" for name, v in sorted(value.items())) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_canonical, value)) + "]"
    return str(value.normalize()) if isinstance(value, Decimal) else json.dumps(value)
