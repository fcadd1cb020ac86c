"""What a table is: its name, grain, key, partition column and documented columns.

Here belong the two types that every `<stage>/tables.py` is written in, and what can be derived from them without a
database (DDL, Arrow schema). Not here: any table (they live with their stage) and anything that opens a database.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

MONEY = "DECIMAL(18,2)"
PRICE = "DECIMAL(18,4)"


def quote_identifier(name: str) -> str:
    """Quote a name for SQL; a quote inside is doubled."""
    return '"' + name.replace('"', '""') + '"'


@dataclass(frozen=True)
class Column:
    """A column: its DuckDB type, what it means, and its unit where it has one."""

    name: str
    type: str
    meaning: str
    unit: str | None = None
    is_nullable: bool = True

    @property
    def description(self) -> str:
        return f"{self.meaning} [{self.unit}]" if self.unit else self.meaning


@dataclass(frozen=True)
class Table:
    """A table, said once: DDL, catalogue, checks and documentation derive from it.

    Parameters
    ----------
    name
        Qualified, `<stage>.<table>`.
    grain
        What one row is, in words.
    key
        Columns whose values identify a row.
    partition_column
        The DATE by which rows are replaced, or None where the table is not partitioned.
    """

    name: str
    grain: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    partition_column: str | None = None

    @property
    def schema(self) -> str:
        return self.name.split(".")[0]

    @property
    def table(self) -> str:
        return self.name.split(".")[1]

    @cached_property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @cached_property
    def types(self) -> dict[str, str]:
        return {column.name: column.type for column in self.columns}

    def column(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)

    def with_columns(self, extra: Iterable[Column]) -> "Table":
        """Return the same table with columns that the settings add."""
        return replace(self, columns=(*self.columns, *extra))

    def ddl(self) -> str:
        """Return `create table if not exists` in DuckDB's dialect."""
        lines = ", ".join(
            f"{quote_identifier(c.name)} {c.type}{'' if c.is_nullable else ' not null'}" for c in self.columns
        )
        return f"create table if not exists {self.name} ({lines})"
