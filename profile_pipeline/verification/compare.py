"""Rows that should be there beside rows that are: to the bit, decimals and doubles included; JSON by what it says.

Not here: how either came about.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from profile_pipeline.table import Table
from profile_pipeline.verification.values import said

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Difference:
    """Something that is not as it should be.

    Attributes
    ----------
    table, row, column
        Where; the column is empty where a row is missing, one too many, or a count is wrong.
    day
        The day that is to be built again, where there is one.
    """

    table: str
    row: str
    column: str
    found: str
    expected: str
    day: str = ""


@dataclass(frozen=True)
class Balance:
    """What has to agree over whole tables, and the query for where it does not: (day or null, what, found, expected)."""

    table: str
    what: str
    query: str


@dataclass
class Comparison:
    """What was compared, and what differs."""

    differences: list[Difference] = field(default_factory=list)
    n_rows: dict[str, int] = field(default_factory=dict)
    n_cells: dict[str, int] = field(default_factory=dict)

    def compare(
        self, table: Table, *, found: Iterable[Row], expected: Iterable[Row], names: Sequence[str] = ()
    ) -> None:
        """Compare the rows of a table by its key.

        Parameters
        ----------
        names
            The columns beside the key; all of the table where none is given.
        """
        columns = [name for name in names or table.column_names if name not in table.key]
        wanted = {_key(row, table): row for row in expected}
        seen: set[tuple[Any, ...]] = set()
        for row in found:
            key = _key(row, table)
            if key in seen:
                self._tell(table, row, "", "the row twice", "once")
            elif key not in wanted:
                self._tell(table, row, "", "a row", "none")
            else:
                for name in columns:
                    if not same(row[name], wanted[key][name], table.types[name]):
                        self._tell(table, row, name, row[name], wanted[key][name])
            seen.add(key)
        for key, row in wanted.items():
            if key not in seen:
                self._tell(table, row, "", "no row", "one")
        self.n_rows[table.name] = self.n_rows.get(table.name, 0) + len(wanted)
        self.n_cells[table.name] = self.n_cells.get(table.name, 0) + len(wanted) * (len(columns) or 1)

    def _tell(self, table: Table, row: Row, column: str, found: Any, expected: Any) -> None:
        day = row[table.partition_column] if table.partition_column else None
        told = ", ".join(f"{name} {row[name]}" for name in table.key if name != table.partition_column)
        self.differences.append(
            Difference(table.name, told, column, written(found), written(expected), str(day) if day else "")
        )


def _key(row: Row, table: Table) -> tuple[Any, ...]:
    return tuple(row[name] for name in table.key)


def same(found: Any, expected: Any, kind: str) -> bool:
    """Say whether two values of a column are the same; expected JSON is what it says, found JSON is text."""
    if kind == "JSON":
        return bool(said(found) == expected)
    if isinstance(found, float) and isinstance(expected, float):
        return found == expected or (math.isnan(found) and math.isnan(expected))
    return bool(found == expected)


def written(value: Any) -> str:
    """Return a value as a person reads it."""
    if value is None:
        return "null"
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, default=str)
    return repr(value) if isinstance(value, float) else str(value)
