"""The assets of models: one step trains the models of a week, for each week of a run, oldest first.

Not here: training (`orchestration.training`, `models/`), or judging (`assets/evaluation.py`).
"""

import datetime as dt
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pyarrow as pa

from profile_pipeline.features.tables import BEHAVIOR, DEMAND
from profile_pipeline.models.contest import NotTrained, Trained
from profile_pipeline.models.segments import Segmented
from profile_pipeline.models.tables import (
    POPULATION,
    PREDICTIONS,
    SEGMENT_MEMBERS,
    SEGMENT_TRAITS,
    SELECTED_FEATURES,
    model_table,
)
from profile_pipeline.orchestration.days import checked_range, day_keys, last_day_of, weekly_partitions
from profile_pipeline.orchestration.table_assets import MissingUpstreamError, code_version, key_of, preview, spec_of
from profile_pipeline.orchestration.training import predictions_table, read_material, train_week
from profile_pipeline.settings import Paths, Settings
from profile_pipeline.table import Table
from profile_pipeline.warehouse.duckdb import Warehouse
from profile_pipeline.warehouse.sql import sql_file

SHARED = (POPULATION, SELECTED_FEATURES, SEGMENT_TRAITS, SEGMENT_MEMBERS, PREDICTIONS)
FEATURE_DAYS = dg.TimeWindowPartitionMapping(allow_nonexistent_upstream_partitions=True)
QUANTILE_TYPES = ("BIGINT", "INTEGER", "DECIMAL", "DOUBLE")


def weeks_of(context: dg.AssetExecutionContext, known: list[dt.date]) -> list[dt.date]:
    """Return the weeks of a run, oldest first."""
    keys = context.partition_key_range
    first, last = dt.date.fromisoformat(keys.start), dt.date.fromisoformat(keys.end)
    checked_range(first, last, known)
    return [week for week in known if first <= week <= last]


def build_models(settings: Settings, paths: Paths) -> list[dg.AssetsDefinition]:
    """Return the assets of models."""
    del paths
    weekly = weekly_partitions(settings.calendar)
    tables = {name: model_table(name) for name in settings.models}
    version = code_version(settings.fingerprint("models", "training", "seed", "calendar"))
    reads = [dg.AssetDep(key_of(t), partition_mapping=FEATURE_DAYS) for t in ("features.user_features", "features.interests", "features.user_days")]
    deps = [*reads, dg.AssetDep(key_of("cleaned.users")), dg.AssetDep(key_of("cleaned.identities"))]
    specs = [
        spec_of(table, deps=deps, kinds={"duckdb", "python", "scikitlearn"}, version=version, partitions_def=weekly, skippable=True)
        for table in (*tables.values(), *SHARED)
    ]

    @dg.multi_asset(name="trained_models", specs=specs, can_subset=True, backfill_policy=dg.BackfillPolicy.single_run())
    def trained_models(context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]) -> Iterator[dg.MaterializeResult]:
        weeks = weeks_of(context, day_keys(weekly))
        selected = {".".join(key.path) for key in context.selected_asset_keys}
        names = [name for name, table in tables.items() if table.name in selected]
        for week in weeks:
            _require_features(warehouse, week)
            material = read_material(warehouse, settings, week, names)
            # Nobody has to wait for the warehouse while models train.
            warehouse.close()
            hold_contest = settings.training.contest == "every" or week == weeks[-1]
            results = train_week(material, settings, week, names, hold_contest=hold_contest, say=context.log.info)
            with warehouse.transaction():
                for name, result in results.items():
                    _write_model(warehouse, tables[name], name, week, result, settings)
                if POPULATION.name in selected:
                    _write_population(warehouse, week)
        for table in (*tables.values(), *SHARED):
            if table.name in selected:
                yield dg.MaterializeResult(asset_key=key_of(table.name), metadata=_told(warehouse, table, weeks))

    return [trained_models]


def _require_features(w: Warehouse, week: dt.date) -> None:
    end = last_day_of(week)
    if not w.rows("select 1 from features.user_features where as_of_date = $day limit 1", {"day": end}) and w.rows(
        "select 1 from features.user_days where event_date <= $day limit 1", {"day": end}
    ):
        raise MissingUpstreamError(
            f"models of the week {week} read features.user_features of {end}, which is not there. Materialize it first, or run `profile-pipeline run --from {week} --to {end}`."
        )


def _told(w: Warehouse, table: Table, weeks: list[dt.date]) -> dict[str, Any]:
    bounds = {"first": weeks[0], "last": weeks[-1]}
    return {
        "dagster/row_count": w.scalar(f"select count(*) from {table.name}"),
        "preview": dg.MetadataValue.md(preview(w, table, where="week between $first and $last", parameters=bounds)),
    }


def _rows(table: Table, rows: list[dict[str, Any]]) -> pa.Table:
    return pa.table({name: pa.array([row.get(name) for row in rows], ARROW_TYPES[table.types[name]]) for name in table.column_names})


ARROW_TYPES = {
    "VARCHAR": pa.string(), "JSON": pa.string(), "DATE": pa.date32(), "BIGINT": pa.int64(), "INTEGER": pa.int32(), "DOUBLE": pa.float64(),
    "BOOLEAN": pa.bool_(), "BLOB": pa.binary(), "VARCHAR[]": pa.list_(pa.string()),
}  # fmt: skip


def write_rows(w: Warehouse, table: Table, rows: list[dict[str, Any]], *, week: dt.date, model: str | None = None) -> None:
    """Replace the rows of a week, of one model or of all."""
    condition, parameters = "week = $week", {"week": week}
    if model is not None:
        condition, parameters = "week = $week and model = $model", {"week": week, "model": model}
    w.execute(f"delete from {table.name} where {condition}", parameters)
    if rows:
        w.insert(table, _rows(table, rows))


def _write_model(w: Warehouse, table: Table, name: str, week: dt.date, result: Trained | Segmented | NotTrained, settings: Settings) -> None:
    """Write all that a model of a week leaves, in the transaction of its week."""
    version_of = settings.fingerprint("models", "training", "seed")
    rows: list[dict[str, Any]] = []
    selected: list[dict[str, Any]] = []
    traits: list[dict[str, Any]] = []
    members: list[dict[str, Any]] = []
    if isinstance(result, NotTrained):
        rows = [{"model": name, "week": week, "algorithm": "none", "is_chosen": False, "explanation": json.dumps({"not_trained": result.reason})}]
    elif isinstance(result, Segmented):
        rows, traits = [result.row], result.traits
        members = [{"week": week, "model": name, "profile_id": p, "segment": s} for p, s in zip(result.profile_ids.tolist(), result.segments.tolist(), strict=True)]
    else:
        rows = [row | {"explanation": json.dumps(json.loads(row["explanation"]) | ({"importance": result.importance} if row["is_chosen"] else {}))} for row in result.rows]
        selected = [
            {"week": week, "feature": s.feature, "model": name, "importance": s.importance, "is_kept": s.is_kept, "reason": s.reason} for s in result.selected
        ]
    for row in rows:
        row["version"] = hashlib.sha256(f"{version_of}|{row.get('data_fingerprint')}|{row['algorithm']}".encode()).hexdigest()[:12]
    write_rows(w, table, rows, week=week)
    write_rows(w, SELECTED_FEATURES, selected, week=week, model=name)
    write_rows(w, SEGMENT_TRAITS, traits, week=week, model=name)
    write_rows(w, SEGMENT_MEMBERS, members, week=week, model=name)
    w.execute("delete from models.predictions where week = $week and model = $model", {"week": week, "model": name})
    if isinstance(result, Trained):
        w.insert(PREDICTIONS, predictions_table(name, week, result))


def _write_population(w: Warehouse, week: dt.date) -> None:
    columns = [("behavior", c) for c in BEHAVIOR.columns if c.type.startswith(QUANTILE_TYPES)]
    columns += [("demand", c) for c in DEMAND.columns if c.type.startswith(QUANTILE_TYPES)]
    long = " union all ".join(f"select '{c.name}' as name, cast({c.name} as double) as value from {table}" for table, c in columns)
    w.replace_days(
        POPULATION, sql_file("models.population").replace("{long}", long), first_day=week, last_day=week, parameters={"week": week, "as_of_date": last_day_of(week)}
    )
