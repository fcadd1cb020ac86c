"""The assets of profiles: scores by the model that serves a day, the wide profile, tags.

Not here: predicting (`models.predict`), or how tags are written (`profiles.tags`).
"""

import datetime as dt
from collections.abc import Mapping, Sequence

import dagster as dg
import pyarrow as pa

from profile_pipeline.features.tables import BEHAVIOR
from profile_pipeline.orchestration.building.cleaning import DAY_CONSUMERS, DELIVERIES_OF_TAGS, OLDER
from profile_pipeline.orchestration.building.days import (
    RunDays,
    daily_partitions,
    days_to_build,
    first_open_day,
    hold_snapshot_days,
    settle_days,
    touch_days,
    values_of,
)
from profile_pipeline.orchestration.keeping.built_with import days_of_other_tags, note_tags
from profile_pipeline.orchestration.lineage import Lineage, LineageCache
from profile_pipeline.orchestration.table_assets import (
    asset_arguments,
    code_version,
    key_of,
    report_days,
    require_rows,
    source_version,
    spec_of,
)
from profile_pipeline.paths import Paths
from profile_pipeline.profiles.tables import SCORES, TAGS, USER_PROFILES
from profile_pipeline.profiles.tags import quantiles_needed, tags_sql
from profile_pipeline.settings import AttributeModelSettings, OutcomeModelSettings, SegmentModelSettings, Settings
from profile_pipeline.table import Table
from profile_pipeline.warehouse.duckdb import Warehouse
from profile_pipeline.warehouse.sql import sql_file


def _dep(table: str) -> dg.AssetDep:
    """A day reads what is daily of itself, and what is weekly of the week before it."""
    if not table.startswith(("models.", "evaluation.")):
        return dg.AssetDep(key_of(table))
    # Offsets count in days: -1 would draw the week that is not over yet.
    last_week = dg.TimeWindowPartitionMapping(
        start_offset=-7, end_offset=-7, allow_nonexistent_upstream_partitions=True
    )
    return dg.AssetDep(key_of(table), partition_mapping=last_week)


def segment_model(settings: Settings) -> str:
    """Return the name of the model of segments; empty where there is none."""
    return next((name for name, model in settings.models.items() if isinstance(model, SegmentModelSettings)), "")


def build_profiles(
    settings: Settings, paths: Paths, lineages: LineageCache, declared: Mapping[str, Lineage]
) -> list[dg.AssetsDefinition]:
    """Return the assets of profiles."""
    del paths
    daily = daily_partitions(settings.calendar)
    single_run = dg.BackfillPolicy.single_run()
    scores_spec = spec_of(
        SCORES, deps=map(_dep, declared[SCORES.name].tables), kinds={"duckdb", "python"}, version=code_version(source_version("models"), settings.fingerprint("models")),
        lineage=declared[SCORES.name], partitions_def=daily,
    )  # fmt: skip

    @dg.asset(**asset_arguments(scores_spec), backfill_policy=single_run)
    def scores(context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]) -> dg.MaterializeResult:
        # Here and not above: what it brings along would be loaded by every process that lists assets.
        from profile_pipeline.orchestration.building.scoring import score_day

        run = RunDays.of(context)
        days = _days_to_build(warehouse, SCORES, run)
        require_rows(warehouse, SCORES.name, BEHAVIOR, days, activity_days=settings.activity_days)
        open_day = first_open_day(settings.calendar)
        for day in days:
            rows = score_day(warehouse, settings, day, is_final=day < open_day)
            with warehouse.transaction():
                told = _days_told_by(warehouse, settings, day)
                warehouse.replace_days(SCORES, rows, [day])
                _settle(warehouse, SCORES, [day])
                touch_days(warehouse, DAY_CONSUMERS, {*told, *_days_told_by(warehouse, settings, day)})
            if rows.num_rows == 0:
                context.log.info(f"{day}: no model yet that passed its gate and whose week had ended")
        return dg.MaterializeResult(metadata=report_days(context, warehouse, SCORES, run=run, days=days))

    profiles_text = sql_file("profiles.user_profiles")
    profiles_spec = spec_of(
        USER_PROFILES, deps=["features.user_features", "features.behavior", "features.demand", "features.interests", "profiles.scores", "cleaned.users", "cleaned.identities"],
        kinds={"duckdb", "sql"}, version=code_version(profiles_text), lineage=lineages.of(profiles_text), partitions_def=daily,
    )  # fmt: skip

    @dg.asset(**asset_arguments(profiles_spec), backfill_policy=single_run)
    def user_profiles(
        context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]
    ) -> dg.MaterializeResult:
        run = RunDays.of(context)
        days = _days_to_build(warehouse, USER_PROFILES, run)
        require_rows(warehouse, USER_PROFILES.name, BEHAVIOR, days, activity_days=settings.activity_days)
        parameters = {"final_before": first_open_day(settings.calendar), "segment_model": segment_model(settings)}
        hold_snapshot_days(warehouse, days)
        with warehouse.transaction():
            warehouse.replace_days(USER_PROFILES, profiles_text, days, parameters)
            _settle(warehouse, USER_PROFILES, days)
        return dg.MaterializeResult(metadata=report_days(context, warehouse, USER_PROFILES, run=run, days=days))

    tags_text = tags_sql(settings.tags, settings.models) if settings.tags else ""
    tags_spec = spec_of(
        TAGS,
        deps=map(_dep, declared[TAGS.name].tables),
        kinds={"duckdb", "sql"},
        version=code_version(tags_text),
        lineage=declared[TAGS.name],
        partitions_def=daily,
    )

    @dg.asset(**asset_arguments(tags_spec), backfill_policy=single_run)
    def tags(context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]) -> dg.MaterializeResult:
        run = RunDays.of(context)
        days = _days_to_build(warehouse, TAGS, run)
        require_rows(warehouse, TAGS.name, USER_PROFILES, days, activity_days=settings.activity_days)
        hold_snapshot_days(warehouse, days)
        warehouse.temporary("tag_quantiles", tag_quantiles(warehouse, settings, days))
        warehouse.temporary("other_classes", other_classes(warehouse, settings))
        with warehouse.transaction():
            warehouse.replace_days(TAGS, tags_text or "select * from profiles.tags where false", days)
            _settle(warehouse, TAGS, days)
            # A run may be killed, or go no further: what was made of tags of other settings is older than they are now.
            others = days_of_other_tags(warehouse.rows, settings) & set(days)
            touch_days(warehouse, [OLDER + name for name in DELIVERIES_OF_TAGS], sorted(others))
            note_tags(warehouse, settings, days)
        return dg.MaterializeResult(metadata=report_days(context, warehouse, TAGS, run=run, days=days))

    return [scores, user_profiles, tags]


def _days_to_build(w: Warehouse, table: Table, run: RunDays) -> list[dt.date]:
    """The days of the run; in a refresh also those noted, and those whose features were built since by a run that went no further."""
    older = w.days(
        f"select distinct event_date from cleaned.touched where consumer = $consumer and event_date in (select as_of_date from {table.name})",
        {"consumer": OLDER + table.name},
    )
    return sorted({*days_to_build(w, table.name, run), *(older if run.is_refresh else ())})


def _settle(w: Warehouse, table: Table, days: Sequence[dt.date]) -> None:
    """Forget what was noted for days that are built now, and of features of days that have no rows here."""
    settle_days(w, table.name, days)
    settle_days(w, OLDER + table.name, days)
    w.execute(
        f"delete from cleaned.touched where consumer = $consumer and event_date not in (select as_of_date from {table.name})",
        {"consumer": OLDER + table.name},
    )


def _days_told_by(w: Warehouse, settings: Settings, day: dt.date) -> list[dt.date]:
    """Return the days whose metrics tell of the segments of a day: those with events after it, up to the next that has segments."""
    return w.days(
        "with segmented as (select distinct as_of_date from profiles.scores where model = $segments and as_of_date >= $day)"
        " select event_date from cleaned.ledger asof join segmented on ledger.event_date > segmented.as_of_date"
        " where segmented.as_of_date = $day group by event_date having sum(n_cleaned) > 0",
        {"day": day, "segments": segment_model(settings)},
    )


def tag_quantiles(w: Warehouse, settings: Settings, days: Sequence[dt.date]) -> pa.Table:
    """Return, by day, the quantiles that rules read, of the newest week that had ended; null before the first."""
    keys = quantiles_needed(settings.tags)
    columns: dict[str, pa.Array] = {"as_of_date": pa.array(days, pa.date32())}
    rows = w.rows(
        f"with newest as (select d.event_date as day, max(p.week) as week from ({values_of(days)}) as d"
        " join models.population as p on p.week + 7 <= d.event_date group by all)"
        " select day, key, value from newest join models.population using (week) where statistic = 'quantile'"
    )
    found = {(day, key): value for day, key, value in rows}
    values = {key: [found.get((day, key)) for day in days] for key in keys}
    return pa.table(columns | {f"quantile:{key}": pa.array(column, pa.float64()) for key, column in values.items()})


def other_classes(w: Warehouse, settings: Settings) -> pa.Table:
    """Return the class that is not told, of models of two classes."""
    rows: list[tuple[str, dt.date, str]] = []
    for name, model in settings.models.items():
        if isinstance(model, AttributeModelSettings | OutcomeModelSettings):
            rows += [
                (name, week, classes[0])
                for week, classes in w.rows(f"select week, classes from models.{name} where is_chosen")
                if len(classes) == 2
            ]
    return pa.table({
        "model": pa.array([r[0] for r in rows], pa.string()), "week": pa.array([r[1] for r in rows], pa.date32()), "class": pa.array([r[2] for r in rows], pa.string()),
    })  # fmt: skip
