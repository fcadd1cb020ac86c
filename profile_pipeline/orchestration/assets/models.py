"""The assets of models: one step trains the models of a week, for each week of a run, oldest first.

Not here: training (`orchestration.building.training`, `models/`), or judging (`assets/evaluation.py`).
"""

import datetime as dt
from collections.abc import Iterator, Mapping

import dagster as dg

from profile_pipeline.models.population import population_sql
from profile_pipeline.models.tables import (
    POPULATION,
    PREDICTIONS,
    SEGMENT_MEMBERS,
    SEGMENT_TRAITS,
    SELECTED_FEATURES,
    model_table,
)
from profile_pipeline.orchestration.building.days import day_keys, last_day_of, weekly_partitions
from profile_pipeline.orchestration.building.model_rows import weeks_of
from profile_pipeline.orchestration.building.naming import told_by
from profile_pipeline.orchestration.lineage import Lineage, LineageCache
from profile_pipeline.orchestration.table_assets import (
    MissingUpstreamError,
    code_version,
    key_of,
    report_weeks,
    source_version,
    spec_of,
)
from profile_pipeline.paths import Paths
from profile_pipeline.settings import Settings
from profile_pipeline.warehouse.duckdb import Warehouse

SHARED = (POPULATION, SELECTED_FEATURES, SEGMENT_TRAITS, SEGMENT_MEMBERS, PREDICTIONS)


def _dep(table: str) -> dg.AssetDep:
    """A week reads its days of features; what is cleaned it reads as a whole."""
    if not table.startswith("features."):
        return dg.AssetDep(key_of(table))
    week = dg.TimeWindowPartitionMapping(allow_nonexistent_upstream_partitions=True)
    return dg.AssetDep(key_of(table), partition_mapping=week)


def build_models(
    settings: Settings, paths: Paths, lineages: LineageCache, declared: Mapping[str, Lineage]
) -> list[dg.AssetsDefinition]:
    """Return the assets of models."""
    del paths
    weekly = weekly_partitions(settings.calendar)
    tables = {name: model_table(name) for name in settings.models}
    version = code_version(source_version("models"), settings.fingerprint("models", "training", "seed", "calendar"))
    found = {**declared, POPULATION.name: lineages.of(population_sql())}
    specs = [
        spec_of(
            table,
            deps=[_dep(name) for name in found[table.name].tables],
            kinds={"duckdb", "python", "scikitlearn"},
            version=version,
            lineage=found[table.name],
            partitions_def=weekly,
            skippable=True,
        )
        for table in (*tables.values(), *SHARED)
    ]

    @dg.multi_asset(name="trained_models", specs=specs, can_subset=True, backfill_policy=dg.BackfillPolicy.single_run())
    def trained_models(
        context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]
    ) -> Iterator[dg.MaterializeResult]:
        # Here and not above: what it brings along would be loaded by every process that lists assets.
        from profile_pipeline.orchestration.building.training import (
            read_material,
            train_week,
            write_model,
            write_population,
        )

        weeks = weeks_of(context, day_keys(weekly))
        selected = {".".join(key.path) for key in context.selected_asset_keys}
        names = [name for name, table in tables.items() if table.name in selected]
        for week in weeks:
            _require_features(warehouse, week, activity_days=settings.activity_days)
            material = read_material(warehouse, settings, week, names, told_by(context.run.tags))
            # Nobody has to wait for the warehouse while models train.
            warehouse.close()
            hold_contest = settings.training.contest == "every" or week == weeks[-1]
            results = train_week(material, settings, week, names, hold_contest=hold_contest, say=context.log.info)
            with warehouse.transaction():
                for name, result in results.items():
                    write_model(warehouse, tables[name], name, week, result, settings)
                if POPULATION.name in selected:
                    write_population(warehouse, week)
        for table in (*tables.values(), *SHARED):
            if table.name in selected:
                yield dg.MaterializeResult(
                    asset_key=key_of(table.name), metadata=report_weeks(context, warehouse, table, weeks)
                )

    return [trained_models]


def _require_features(w: Warehouse, week: dt.date, *, activity_days: int) -> None:
    end = last_day_of(week)
    if not w.rows("select 1 from features.user_features where as_of_date = $day limit 1", {"day": end}) and w.rows(
        "select 1 from features.user_days where event_date > $first and event_date <= $day limit 1",
        {"first": end - dt.timedelta(days=activity_days), "day": end},
    ):
        raise MissingUpstreamError(
            f"models of the week {week} read features.user_features of {end}, which is not there. Materialize it first, or run `profile-pipeline run --from {week} --to {end}`."
        )
