"""The assets of applications: recommendations, audiences, insights, daily metrics.

Those of past days are what was delivered then: a refresh computes them for the newest day and for days that have none. Only
daily metrics count events, and are restated with them. Not here: how they are computed (`applications/`).
"""

import datetime as dt
from collections import defaultdict

import dagster as dg
import pyarrow as pa

from profile_pipeline.applications.audiences import audiences_sql
from profile_pipeline.applications.insights import insights_of
from profile_pipeline.applications.recommend import Recommended, fit_item_knn, recommend
from profile_pipeline.applications.tables import AUDIENCES, DAILY_METRICS, INSIGHTS, RECOMMENDATIONS
from profile_pipeline.orchestration.assets.profiles import segment_model
from profile_pipeline.orchestration.days import RunDays, daily_partitions, day_keys, days_to_build, settle_days
from profile_pipeline.orchestration.recommending import consumed_rows
from profile_pipeline.orchestration.table_assets import (
    asset_arguments,
    code_version,
    report_days,
    require_judged,
    require_rows,
    spec_of,
)
from profile_pipeline.profiles.tables import TAGS, USER_PROFILES
from profile_pipeline.settings import Paths, Settings
from profile_pipeline.table import Table
from profile_pipeline.warehouse.duckdb import Warehouse
from profile_pipeline.warehouse.sql import bound, sql_file


def build_applications(settings: Settings, paths: Paths) -> list[dg.AssetsDefinition]:
    """Return the assets of applications."""
    del paths
    daily = daily_partitions(settings.calendar)
    single_run = dg.BackfillPolicy.single_run()
    newest = day_keys(daily)[-1] if day_keys(daily) else settings.calendar.start

    recommendations_spec = spec_of(
        RECOMMENDATIONS, deps=["features.user_item_days", "profiles.user_profiles", "cleaned.items", "cleaned.identities"], kinds={"duckdb", "python"},
        version=code_version(settings.fingerprint("recommendations", "features")), partitions_def=daily,
    )  # fmt: skip

    @dg.asset(**asset_arguments(recommendations_spec), backfill_policy=single_run)
    def recommendations(context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]) -> dg.MaterializeResult:
        run = RunDays.of(context)
        require_rows(warehouse, RECOMMENDATIONS.name, USER_PROFILES, run.days)
        for day in _delivered(warehouse, RECOMMENDATIONS, run, newest):
            rows = recommendation_rows(warehouse, settings, day)
            warehouse.replace_days(RECOMMENDATIONS, rows, first_day=day, last_day=day)
        return dg.MaterializeResult(metadata=report_days(context, warehouse, RECOMMENDATIONS, run=run, days=run.days))

    audiences_text = audiences_sql(settings.audiences, settings.tags) if settings.audiences else ""
    audiences_spec = spec_of(
        AUDIENCES, deps=["profiles.tags", "profiles.user_profiles"], kinds={"duckdb", "sql"}, version=code_version(audiences_text), partitions_def=daily
    )

    @dg.asset(**asset_arguments(audiences_spec), backfill_policy=single_run)
    def audiences(context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]) -> dg.MaterializeResult:
        run = RunDays.of(context)
        require_rows(warehouse, AUDIENCES.name, USER_PROFILES, run.days)
        for day in _delivered(warehouse, AUDIENCES, run, newest):
            if audiences_text:
                warehouse.replace_days(AUDIENCES, audiences_text, first_day=day, last_day=day, parameters={"first_day": day, "last_day": day})
        return dg.MaterializeResult(metadata=report_days(context, warehouse, AUDIENCES, run=run, days=run.days))

    insights_spec = spec_of(INSIGHTS, deps=["applications.audiences", "profiles.tags"], kinds={"duckdb", "python"}, version="1", partitions_def=daily)

    @dg.asset(**asset_arguments(insights_spec), backfill_policy=single_run)
    def insights(context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]) -> dg.MaterializeResult:
        run = RunDays.of(context)
        require_rows(warehouse, INSIGHTS.name, TAGS, run.days)
        for day in _delivered(warehouse, INSIGHTS, run, newest):
            warehouse.replace_days(INSIGHTS, insight_rows(warehouse, day), first_day=day, last_day=day)
        return dg.MaterializeResult(metadata=report_days(context, warehouse, INSIGHTS, run=run, days=run.days))

    metrics_text = sql_file("applications.daily_metrics")
    # Yesterday's sessions end today: each day takes the one before with it.
    yesterday_too = dg.TimeWindowPartitionMapping(start_offset=-1, end_offset=0, allow_nonexistent_upstream_partitions=True)
    metrics_deps = [dg.AssetDep(dg.AssetKey(["cleaned", name]), partition_mapping=yesterday_too) for name in ("events", "sessions")]
    metrics_spec = spec_of(
        DAILY_METRICS, deps=[*metrics_deps, dg.AssetDep(dg.AssetKey(["profiles", "scores"]), partition_mapping=yesterday_too), "cleaned.identities"],
        kinds={"duckdb", "sql"}, version=code_version(metrics_text), partitions_def=daily,
    )  # fmt: skip

    @dg.asset(**asset_arguments(metrics_spec), backfill_policy=single_run)
    def daily_metrics(context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]) -> dg.MaterializeResult:
        run = RunDays.of(context)
        require_judged(warehouse, DAILY_METRICS.name, days=run.days)
        days = days_to_build(warehouse, DAILY_METRICS.name, run)
        before = run.first - dt.timedelta(days=1)
        told = sorted({*days, *([before] if warehouse.rows("select 1 from applications.daily_metrics where event_date = $day limit 1", {"day": before}) else [])})
        with warehouse.transaction():
            warehouse.temporary("metric_days", pa.table({"event_date": pa.array(told, pa.date32())}))
            warehouse.execute("delete from applications.daily_metrics as t using metric_days as d where t.event_date = d.event_date")
            warehouse.insert(DAILY_METRICS, metrics_text, bound(metrics_text, {"segment_model": segment_model(settings)}))
            settle_days(warehouse, DAILY_METRICS.name, told)
        return dg.MaterializeResult(metadata=report_days(context, warehouse, DAILY_METRICS, run=run, days=days))

    return [recommendations, audiences, insights, daily_metrics]


def _delivered(w: Warehouse, table: Table, run: RunDays, newest: dt.date) -> list[dt.date]:
    """Days to compute: all that were asked for by hand; in a refresh the newest, and those that have no row."""
    if not run.is_refresh:
        return run.days
    present = set(w.days(f"select distinct as_of_date from {table.name}"))
    return [day for day in run.days if day == newest or day not in present]


def recommendation_rows(w: Warehouse, settings: Settings, day: dt.date) -> pa.Table:
    """Recommend to everybody who has a profile of the day."""
    options = settings.recommendations
    people, items, weights = consumed_rows(w, settings, day)
    profiles = [p for (p,) in w.rows("select profile_id from profiles.user_profiles where as_of_date = $day order by profile_id", {"day": day})]
    catalogue = dict(
        w.rows(
            "select item_id, coalesce(title, item_id) from cleaned.items where valid_from <= $day and (valid_to is null or valid_to > $day)", {"day": day}
        )
    )
    bought: dict[str, set[str]] = defaultdict(set)
    for person, item in w.rows(
        "select distinct i.profile_id, t.item_id from features.user_item_days as t join cleaned.identities as i on i.alias_id = t.alias_id"
        " and i.valid_from <= $day and (i.valid_to is null or i.valid_to > $day) where t.role = 'purchase' and t.event_date <= $day",
        {"day": day},
    ):
        bought[person].add(item)
    shown: dict[str, list[Recommended]] = {}
    if people:
        model = fit_item_knn(people, items, weights, shrinkage=options.shrinkage, neighbours=options.neighbours)
        left_out = {person: frozenset(found) for person, found in bought.items()}
        shown = recommend(model, profiles, left_out=left_out, available=frozenset(catalogue) if catalogue else None, n_items=options.per_person)
    rows = [
        (day, person, rank, r.item_id, r.score, _reason(r, catalogue, options.window_days)) for person in profiles for rank, r in enumerate(shown.get(person, []), start=1)
    ]
    names = ("as_of_date", "profile_id", "rank", "item_id", "score", "reason")
    kinds = (pa.date32(), pa.string(), pa.int32(), pa.string(), pa.float64(), pa.string())
    return pa.table({name: pa.array([row[i] for row in rows], kinds[i]) for i, name in enumerate(names)})


def _reason(r: Recommended, titles: dict[str, str], window_days: int) -> str:
    if r.because_of is None:
        return f"popular in the last {window_days} days"
    return f"because of {titles.get(r.because_of, r.because_of)} ({r.because_of})"


def insight_rows(w: Warehouse, day: dt.date) -> pa.Table:
    """Compare the audiences of a day with everybody."""
    members: dict[str, set[str]] = defaultdict(set)
    for audience, person in w.rows("select audience, profile_id from applications.audiences where as_of_date = $day", {"day": day}):
        members[audience].add(person)
    tags = w.rows("select profile_id, tag, value from profiles.tags where as_of_date = $day", {"day": day})
    rows = insights_of(day, {name: frozenset(people) for name, people in members.items()}, tags)
    kinds = {"as_of_date": pa.date32(), "n_people": pa.int64(), "audience": pa.string(), "tag": pa.string(), "value": pa.string()}
    return pa.table({name: pa.array([row[name] for row in rows], kinds.get(name, pa.float64())) for name in INSIGHTS.column_names})
