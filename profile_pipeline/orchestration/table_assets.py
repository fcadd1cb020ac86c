"""What every asset of a table has: key, group, schema, lineage, version; and what it reports when it has run.

Not here: what an asset computes (`assets/<stage>.py`), or which tables there are (`<stage>/tables.py`).
"""

import datetime as dt
import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

import dagster as dg

from profile_pipeline.orchestration.building.days import RunDays, stretches
from profile_pipeline.orchestration.lineage import Lineage
from profile_pipeline.table import Table, quote_identifier
from profile_pipeline.warehouse.duckdb import Warehouse
from profile_pipeline.wording import counted

OWNERS = ["team:profiles"]
# Served beside the UI by `guard`.
DICTIONARY_PAGE = "/reports/dictionary.html"
PREVIEWED_ROWS = 100_000
PREVIEWED_COLUMNS = 12
ROWS_OF_PARTITION = "dagster/partition_row_count"
NUMERIC = ("BIGINT", "INTEGER", "DOUBLE", "DECIMAL", "UBIGINT")


class MissingUpstreamError(Exception):
    """What an asset reads is not there; the text says which table, which days, and what builds them."""


def key_of(table: str) -> dg.AssetKey:
    """Return the asset key of a table: asset name = table name."""
    return dg.AssetKey(table.split("."))


def code_version(*texts: str) -> str:
    """Return a short hash of what an asset's rows depend on: its SQL or Python, and the settings that it reads."""
    return hashlib.sha256("\x00".join(texts).encode()).hexdigest()[:12]


@cache
def source_version(*places: str) -> str:
    """Return a short hash of the Python and SQL of some files or folders of the package: what an asset's rows depend on.

    Examples
    --------
    >>> source_version("models") == source_version("models", "evaluation")
    False
    """
    package = resources.files("profile_pipeline")
    texts = []
    for place in places:
        found = package.joinpath(*place.split("/"))
        files = [found] if found.is_file() else sorted(found.iterdir(), key=lambda file: file.name)
        texts += [
            f"{file.name}\n{file.read_text(encoding='utf-8')}" for file in files if file.name.endswith((".py", ".sql"))
        ]
    return code_version(*texts)


def spec_of(
    table: Table,
    *,
    deps: Iterable[str | dg.AssetDep] = (),
    kinds: set[str],
    version: str,
    lineage: Lineage,
    partitions_def: dg.PartitionsDefinition | None = None,
    skippable: bool = False,
) -> dg.AssetSpec:
    """Return the asset of a table, as the catalogue shows it."""
    metadata: dict[str, Any] = {
        "dagster/table_name": table.name,
        "dagster/column_schema": dg.TableSchema(
            columns=[
                dg.TableColumn(
                    c.name,
                    c.type,
                    description=c.description,
                    constraints=dg.TableColumnConstraints(nullable=c.is_nullable),
                )
                for c in table.columns
            ]
        ),
        "grain": table.grain,
        "key": ", ".join(table.key),
        "dictionary": dg.MetadataValue.url(f"{DICTIONARY_PAGE}#{table.name}"),
        "dagster/column_lineage": dg.TableColumnLineage(
            {
                column: [dg.TableColumnDep(asset_key=key_of(t), column_name=c) for t, c in sources]
                for column, sources in lineage.columns.items()
                if column in table.column_names
            }
        ),
    }
    return dg.AssetSpec(
        key=key_of(table.name),
        deps=[dep if isinstance(dep, dg.AssetDep) else dg.AssetDep(key_of(dep)) for dep in deps],
        description=f"{table.grain[0].upper()}{table.grain[1:]}.",
        metadata=metadata,
        group_name=table.schema,
        kinds=kinds,
        owners=OWNERS,
        code_version=version,
        tags={"stage": table.schema},
        partitions_def=partitions_def,
        skippable=skippable,
    )


def asset_arguments(spec: dg.AssetSpec) -> dict[str, Any]:
    """Return a spec as arguments of `@dg.asset`."""
    return {
        "key": spec.key, "deps": list(spec.deps), "description": spec.description, "metadata": spec.metadata, "group_name": spec.group_name,
        "kinds": {kind.removeprefix("dagster/kind/") for kind in spec.kinds}, "owners": list(spec.owners), "code_version": spec.code_version,
        "tags": {name: value for name, value in spec.tags.items() if not name.startswith("dagster/kind/")}, "partitions_def": spec.partitions_def,
    }  # fmt: skip


def preview(
    warehouse: Warehouse, table: Table, *, where: str = "true", parameters: Mapping[str, Any] | None = None
) -> str:
    """Return counts and quantiles of numeric columns as a Markdown table: never rows of persons, the event log keeps them for ever."""
    numeric = [
        c.name for c in table.columns if c.type.startswith(NUMERIC) and c.name not in ("row_number", "event_hash")
    ][:PREVIEWED_COLUMNS]
    if not numeric:
        return "no numeric column"
    parts = ", ".join(
        f"count({q}), min({q}), median({q}), max({q})" for q in (quote_identifier(name) for name in numeric)
    )
    values = warehouse.rows(
        f"select {parts} from (select * from {table.name} where {where} limit {PREVIEWED_ROWS})", parameters
    )[0]
    lines = ["| column | known | least | median | most |", "| --- | ---: | ---: | ---: | ---: |"]
    for number, name in enumerate(numeric):
        known, *spread = values[4 * number : 4 * number + 4]
        lines.append(
            f"| {name} | {known:,} | "
            + " | ".join("" if v is None else f"{v:,.4g}" if isinstance(v, float) else f"{v:,}" for v in spread)
            + " |"
        )
    return "\n".join(lines)


def report_whole(warehouse: Warehouse, table: Table, **more: Any) -> dict[str, Any]:
    """Return the metadata of an unpartitioned table."""
    n_rows = warehouse.scalar(f"select count(*) from {table.name}")
    return {"dagster/row_count": n_rows, "preview": dg.MetadataValue.md(preview(warehouse, table)), **more}


def rows_of_partitions(w: Warehouse, table: Table, partitions: Sequence[dt.date]) -> dict[dt.date, int]:
    """Return how many rows a table has of each of these days or weeks."""
    counts = dict(
        w.rows(
            f"select {table.partition_column}, count(*) from {table.name}"
            f" where {table.partition_column} between $first and $last group by all",
            {"first": min(partitions), "last": max(partitions)},
        )
    )
    return {partition: counts.get(partition, 0) for partition in partitions}


def report_weeks(
    context: dg.AssetExecutionContext, warehouse: Warehouse, table: Table, weeks: Sequence[dt.date]
) -> dict[str, Any]:
    """Report the rows of each week on the week's partition; return the metadata of the run as a whole."""
    for week, n in rows_of_partitions(warehouse, table, weeks).items():
        context.add_asset_metadata({ROWS_OF_PARTITION: n}, asset_key=key_of(table.name), partition_key=str(week))
    bounds = {"first": weeks[0], "last": weeks[-1]}
    return {
        "dagster/row_count": warehouse.scalar(f"select count(*) from {table.name}"),
        "preview": dg.MetadataValue.md(
            preview(warehouse, table, where="week between $first and $last", parameters=bounds)
        ),
    }


def report_days(
    context: dg.AssetExecutionContext, warehouse: Warehouse, table: Table, *, run: RunDays, days: Sequence[dt.date]
) -> dict[str, Any]:
    """Report the rows of each day on the day's partition; days beyond the run's range get a materialization of their own.

    Returns
    -------
    dict
        Metadata of the run as a whole, which Dagster repeats on every partition of a range.
    """
    counts = rows_of_partitions(warehouse, table, days)
    key = key_of(table.name)
    for day in days:
        told = {ROWS_OF_PARTITION: counts[day]}
        if run.first <= day <= run.last:
            context.add_asset_metadata(told, asset_key=key, partition_key=str(day))
        else:
            context.log_event(dg.AssetMaterialization(asset_key=key, partition=str(day), metadata=told))
    where = f"{table.partition_column} between $first and $last"
    return {
        "preview": dg.MetadataValue.md(
            preview(warehouse, table, where=where, parameters={"first": run.first, "last": run.last})
        ),
        "days": ", ".join(f"{first} to {last}" if first != last else str(first) for first, last in stretches(days)),
        "dagster/row_count": warehouse.scalar(f"select count(*) from {table.name}"),
    }


def require_judged(
    warehouse: Warehouse, wanted: str, *, days: Sequence[dt.date] = (), between: tuple[dt.date, dt.date] | None = None
) -> None:
    """Refuse to build on days whose events have all been waiting since they were loaded.

    Parameters
    ----------
    days
        Look at these days.
    between
        Look at all days from the calendar's first to this one: a snapshot sees the whole history.

    Raises
    ------
    MissingUpstreamError
        With the table, the days and the command that builds them.
    """
    rows = warehouse.days(
        "select event_date from cleaned.ledger group by event_date having sum(n_cleaned + n_excluded) = 0 and sum(n_waiting) > 0"
    )
    missing = [day for day in rows if day in set(days) or (between is not None and between[0] <= day <= between[1])]
    if missing:
        first, last = missing[0], missing[-1]
        listed = ", ".join(f"{a} to {b}" if a != b else str(a) for a, b in stretches(missing)[:5])
        raise MissingUpstreamError(
            f"{wanted} reads cleaned.events, which lacks {counted(len(missing), 'day')} ({listed}): their events wait. "
            f"Materialize them first, or run `profile-pipeline run --from {first} --to {last}`."
        )


def require_rows(
    warehouse: Warehouse, wanted: str, upstream: Table, days: Sequence[dt.date], *, activity_days: int
) -> None:
    """Refuse to build days for which an upstream snapshot has no row although somebody came within `activity_days`.

    Raises
    ------
    MissingUpstreamError
        With the table, the days and the command that builds them.
    """
    present = set(warehouse.days(f"select distinct {upstream.partition_column} from {upstream.name}"))
    with_events = sorted(warehouse.days("select distinct event_date from features.user_days"))

    def has_people(day: dt.date) -> bool:
        place = bisect_right(with_events, day)
        return place > 0 and (day - with_events[place - 1]).days < activity_days

    missing = [day for day in days if day not in present and has_people(day)]
    if missing:
        listed = ", ".join(f"{a} to {b}" if a != b else str(a) for a, b in stretches(missing)[:5])
        raise MissingUpstreamError(
            f"{wanted} reads {upstream.name}, which lacks {counted(len(missing), 'day')} ({listed}). "
            f"Materialize them first, or run `profile-pipeline run --from {missing[0]} --to {missing[-1]}`."
        )
