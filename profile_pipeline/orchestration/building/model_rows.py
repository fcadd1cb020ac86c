"""Weeks of a run, and rows of weekly tables.

Not here: what the rows say.
"""

import datetime as dt
from typing import Any

import dagster as dg
import pyarrow as pa

from profile_pipeline.orchestration.building.days import partitions_of
from profile_pipeline.table import Table
from profile_pipeline.warehouse.duckdb import Warehouse

ARROW_TYPES = {
    "VARCHAR": pa.string(), "JSON": pa.string(), "DATE": pa.date32(), "BIGINT": pa.int64(), "INTEGER": pa.int32(), "DOUBLE": pa.float64(),
    "BOOLEAN": pa.bool_(), "BLOB": pa.binary(), "VARCHAR[]": pa.list_(pa.string()),
}  # fmt: skip


def weeks_of(context: dg.AssetExecutionContext, known: list[dt.date]) -> list[dt.date]:
    """Return the weeks of a run, oldest first."""
    first, last = partitions_of(context, known)
    return [week for week in known if first <= week <= last]


def _rows(table: Table, rows: list[dict[str, Any]]) -> pa.Table:
    return pa.table(
        {name: pa.array([row.get(name) for row in rows], ARROW_TYPES[table.types[name]]) for name in table.column_names}
    )


def write_rows(
    w: Warehouse, table: Table, rows: list[dict[str, Any]], *, week: dt.date, model: str | None = None
) -> None:
    """Replace the rows of a week, of one model or of all."""
    condition = "week = $week"
    parameters: dict[str, Any] = {"week": week}
    if model is not None:
        condition, parameters = "week = $week and model = $model", {"week": week, "model": model}
    w.execute(f"delete from {table.name} where {condition}", parameters)
    if rows:
        w.insert(table, _rows(table, rows))
