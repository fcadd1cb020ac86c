"""The assets of applications: recommendations, audiences, insights, daily metrics.

Those of past days are what was delivered then: a refresh computes them for the newest day and for days that have none. Only
daily metrics count events, and are restated with them. Not here: how they are computed (`applications/`).
"""

import datetime as dt
from collections.abc import Mapping

import dagster as dg
import pyarrow as pa

from profile_pipeline.applications.audiences import audiences_sql
from profile_pipeline.applications.tables import AUDIENCES, DAILY_METRICS, INSIGHTS, RECOMMENDATIONS
from profile_pipeline.orchestration.assets.profiles import segment_model
from profile_pipeline.orchestration.building.cleaning import OLDER
from profile_pipeline.orchestration.building.days import (
    RunDays,
    daily_partitions,
    day_keys,
    days_to_build,
    settle_days,
    touch_days,
)
from profile_pipeline.orchestration.keeping.built_with import note_delivery, other_deliveries
from profile_pipeline.orchestration.lineage import Lineage, LineageCache
from profile_pipeline.orchestration.table_assets import (
    asset_arguments,
    code_version,
    report_days,
    require_judged,
    require_rows,
    source_version,
    spec_of,
)
from profile_pipeline.paths import Paths
from profile_pipeline.profiles.tables import USER_PROFILES
from profile_pipeline.settings import Settings
from profile_pipeline.table import Table
from profile_pipeline.warehouse.duckdb import Warehouse
from profile_pipeline.warehouse.sql import bound, sql_file


def build_applications(
    settings: Settings, paths: Paths, lineages: LineageCache, declared: Mapping[str, Lineage]
) -> list[dg.AssetsDefinition]:
    """Return the assets of applications."""
    del paths
    daily = daily_partitions(settings.calendar)
    single_run = dg.BackfillPolicy.single_run()
    newest = day_keys(daily)[-1] if day_keys(daily) else settings.calendar.start

    recommendations_spec = spec_of(
        RECOMMENDATIONS, deps=declared[RECOMMENDATIONS.name].tables, kinds={"duckdb", "python"}, lineage=declared[RECOMMENDATIONS.name],
        version=code_version(source_version("applications/recommend.py"), settings.fingerprint("recommendations", "features")), partitions_def=daily,
    )  # fmt: skip

    @dg.asset(**asset_arguments(recommendations_spec), backfill_policy=single_run)
    def recommendations(
        context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]
    ) -> dg.MaterializeResult:
        # Here and not above: what it brings along would be loaded by every process that lists assets.
        from profile_pipeline.orchestration.building.delivering import recommendation_rows

        run = RunDays.of(context)
        require_rows(warehouse, RECOMMENDATIONS.name, USER_PROFILES, run.days, activity_days=settings.activity_days)
        for day in _delivered(warehouse, RECOMMENDATIONS, run, newest):
            rows = recommendation_rows(warehouse, settings, day)
            with warehouse.transaction():
                warehouse.replace_days(RECOMMENDATIONS, rows, [day])
                if day == newest:
                    note_delivery(warehouse, settings, RECOMMENDATIONS.name)
        _settle(warehouse, RECOMMENDATIONS, run)
        return dg.MaterializeResult(metadata=report_days(context, warehouse, RECOMMENDATIONS, run=run, days=run.days))

    audiences_text = audiences_sql(settings.audiences, settings.tags) if settings.audiences else ""
    audiences_spec = spec_of(
        AUDIENCES,
        deps=declared[AUDIENCES.name].tables,
        kinds={"duckdb", "sql"},
        version=code_version(audiences_text),
        lineage=declared[AUDIENCES.name],
        partitions_def=daily,
    )

    @dg.asset(**asset_arguments(audiences_spec), backfill_policy=single_run)
    def audiences(context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]) -> dg.MaterializeResult:
        run = RunDays.of(context)
        require_rows(warehouse, AUDIENCES.name, USER_PROFILES, run.days, activity_days=settings.activity_days)
        for day in _delivered(warehouse, AUDIENCES, run, newest):
            with warehouse.transaction():
                if audiences_text:
                    warehouse.replace_days(AUDIENCES, audiences_text, [day], {"first_day": day, "last_day": day})
                else:
                    warehouse.replace_days(AUDIENCES, f"select * from {AUDIENCES.name} where false", [day])
                if day == newest:
                    # A run may be killed before it says anything of their members.
                    others = other_deliveries(warehouse.rows, settings) & {AUDIENCES.name}
                    touch_days(warehouse, [OLDER + INSIGHTS.name], [day] if others else [])
                    note_delivery(warehouse, settings, AUDIENCES.name)
        _settle(warehouse, AUDIENCES, run)
        return dg.MaterializeResult(metadata=report_days(context, warehouse, AUDIENCES, run=run, days=run.days))

    insights_spec = spec_of(
        INSIGHTS,
        deps=declared[INSIGHTS.name].tables,
        kinds={"duckdb", "python"},
        version=source_version("applications/insights.py"),
        lineage=declared[INSIGHTS.name],
        partitions_def=daily,
    )

    @dg.asset(**asset_arguments(insights_spec), backfill_policy=single_run)
    def insights(context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]) -> dg.MaterializeResult:
        from profile_pipeline.orchestration.building.delivering import insight_rows

        run = RunDays.of(context)
        require_rows(warehouse, INSIGHTS.name, USER_PROFILES, run.days, activity_days=settings.activity_days)
        for day in _delivered(warehouse, INSIGHTS, run, newest):
            warehouse.replace_days(INSIGHTS, insight_rows(warehouse, day), [day])
        _settle(warehouse, INSIGHTS, run)
        return dg.MaterializeResult(metadata=report_days(context, warehouse, INSIGHTS, run=run, days=run.days))

    metrics_text = sql_file("applications.daily_metrics")
    # Yesterday's sessions end today: each day takes the one before with it.
    yesterday_too = dg.TimeWindowPartitionMapping(
        start_offset=-1, end_offset=0, allow_nonexistent_upstream_partitions=True
    )
    metrics_deps = [
        dg.AssetDep(dg.AssetKey(["cleaned", name]), partition_mapping=yesterday_too) for name in ("events", "sessions")
    ]
    metrics_spec = spec_of(
        DAILY_METRICS, deps=[*metrics_deps, dg.AssetDep(dg.AssetKey(["profiles", "scores"]), partition_mapping=yesterday_too), "cleaned.identities"],
        kinds={"duckdb", "sql"}, version=code_version(metrics_text), lineage=lineages.of(metrics_text), partitions_def=daily,
    )  # fmt: skip

    @dg.asset(**asset_arguments(metrics_spec), backfill_policy=single_run)
    def daily_metrics(
        context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]
    ) -> dg.MaterializeResult:
        run = RunDays.of(context)
        require_judged(warehouse, DAILY_METRICS.name, days=run.days)
        days = days_to_build(warehouse, DAILY_METRICS.name, run)
        before = run.first - dt.timedelta(days=1)
        told = sorted(
            {
                *days,
                *(
                    [before]
                    if warehouse.rows(
                        "select 1 from applications.daily_metrics where event_date = $day limit 1", {"day": before}
                    )
                    else []
                ),
            }
        )
        with warehouse.transaction():
            warehouse.temporary("metric_days", pa.table({"event_date": pa.array(told, pa.date32())}))
            warehouse.execute(
                "delete from applications.daily_metrics as t using metric_days as d where t.event_date = d.event_date"
            )
            warehouse.insert(
                DAILY_METRICS, metrics_text, bound(metrics_text, {"segment_model": segment_model(settings)})
            )
            settle_days(warehouse, DAILY_METRICS.name, told)
        return dg.MaterializeResult(metadata=report_days(context, warehouse, DAILY_METRICS, run=run, days=days))

    return [recommendations, audiences, insights, daily_metrics]


def _settle(w: Warehouse, table: Table, run: RunDays) -> None:
    """Forget that features of these days and of days before them were built: they are followed now, or stay what was delivered.

    After what is made of them is written, and not with it: a run that is killed in between makes the same again.
    """
    w.execute(
        "delete from cleaned.touched where consumer = $consumer and event_date <= $last",
        {"consumer": OLDER + table.name, "last": run.last},
    )


def _delivered(w: Warehouse, table: Table, run: RunDays, newest: dt.date) -> list[dt.date]:
    """Days to compute: all that were asked for by hand; in a refresh the newest, and those that have no row."""
    if not run.is_refresh:
        return run.days
    present = set(w.days(f"select distinct as_of_date from {table.name}"))
    return [day for day in run.days if day == newest or day not in present]
