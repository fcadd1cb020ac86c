"""The assets of profiles: scores by the model that serves a day, the wide profile, tags.

Not here: predicting (`models.predict`), or how tags are written (`profiles.tags`).
"""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa

from profile_pipeline.features.tables import BEHAVIOR
from profile_pipeline.models.frame import Frame
from profile_pipeline.models.predict import interest_names_of, predict
from profile_pipeline.models.segments import assign
from profile_pipeline.orchestration.days import (
    RunDays,
    daily_partitions,
    days_between,
    days_to_build,
    first_open_day,
    settle_days,
    stretches,
)
from profile_pipeline.orchestration.table_assets import (
    asset_arguments,
    code_version,
    key_of,
    report_days,
    require_rows,
    spec_of,
)
from profile_pipeline.orchestration.training import read_frame
from profile_pipeline.profiles.tables import SCORES, TAGS, USER_PROFILES
from profile_pipeline.profiles.tags import quantiles_needed, tags_sql
from profile_pipeline.settings import AttributeModelSettings, OutcomeModelSettings, Paths, SegmentModelSettings, Settings
from profile_pipeline.warehouse.duckdb import Warehouse
from profile_pipeline.warehouse.sql import bound, sql_file

# Days before the week that serves them: offsets count in days, and -1 would draw the week that is not over yet.
LAST_WEEK = dg.TimeWindowPartitionMapping(start_offset=-7, end_offset=-7, allow_nonexistent_upstream_partitions=True)


def segment_model(settings: Settings) -> str:
    """Return the name of the model of segments; empty where there is none."""
    return next((name for name, model in settings.models.items() if isinstance(model, SegmentModelSettings)), "")


def build_profiles(settings: Settings, paths: Paths) -> list[dg.AssetsDefinition]:
    """Return the assets of profiles."""
    del paths
    daily = daily_partitions(settings.calendar)
    single_run = dg.BackfillPolicy.single_run()
    models = [dg.AssetDep(key_of(f"models.{name}"), partition_mapping=LAST_WEEK) for name in settings.models]
    gates = dg.AssetDep(key_of("evaluation.gates"), partition_mapping=LAST_WEEK)
    population = dg.AssetDep(key_of("models.population"), partition_mapping=LAST_WEEK)
    scores_spec = spec_of(
        SCORES, deps=["features.user_features", "features.interests", gates, *models], kinds={"duckdb", "python"}, version=code_version(settings.fingerprint("models")),
        partitions_def=daily,
    )  # fmt: skip

    @dg.asset(**asset_arguments(scores_spec), backfill_policy=single_run)
    def scores(context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]) -> dg.MaterializeResult:
        run = RunDays.of(context)
        days = days_to_build(warehouse, SCORES.name, run)
        require_rows(warehouse, SCORES.name, BEHAVIOR, days)
        open_day = first_open_day(settings.calendar)
        for day in days:
            rows = score_day(warehouse, settings, day, is_final=day < open_day)
            with warehouse.transaction():
                warehouse.replace_days(SCORES, rows, first_day=day, last_day=day)
                settle_days(warehouse, SCORES.name, [day])
            if rows.num_rows == 0:
                context.log.info(f"{day}: no model yet that passed its gate and whose week had ended")
        return dg.MaterializeResult(metadata=report_days(context, warehouse, SCORES, run=run, days=days))

    profiles_text = sql_file("profiles.user_profiles")
    profiles_spec = spec_of(
        USER_PROFILES, deps=["features.behavior", "features.demand", "features.interests", "profiles.scores", "cleaned.users", "cleaned.identities"],
        kinds={"duckdb", "sql"}, version=code_version(profiles_text), partitions_def=daily,
    )  # fmt: skip

    @dg.asset(**asset_arguments(profiles_spec), backfill_policy=single_run)
    def user_profiles(context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]) -> dg.MaterializeResult:
        run = RunDays.of(context)
        days = days_to_build(warehouse, USER_PROFILES.name, run)
        require_rows(warehouse, USER_PROFILES.name, BEHAVIOR, days)
        known = {"final_before": first_open_day(settings.calendar), "segment_model": segment_model(settings)}
        for first, last in stretches(days):
            with warehouse.transaction():
                parameters = bound(profiles_text, known | {"first_day": first, "last_day": last})
                warehouse.replace_days(USER_PROFILES, profiles_text, first_day=first, last_day=last, parameters=parameters)
                settle_days(warehouse, USER_PROFILES.name, days_between(first, last))
        return dg.MaterializeResult(metadata=report_days(context, warehouse, USER_PROFILES, run=run, days=days))

    tags_text = tags_sql(settings.tags, settings.models) if settings.tags else ""
    tags_spec = spec_of(
        TAGS, deps=["profiles.user_profiles", "profiles.scores", "features.behavior", population], kinds={"duckdb", "sql"}, version=code_version(tags_text), partitions_def=daily
    )

    @dg.asset(**asset_arguments(tags_spec), backfill_policy=single_run)
    def tags(context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]) -> dg.MaterializeResult:
        run = RunDays.of(context)
        days = days_to_build(warehouse, TAGS.name, run)
        require_rows(warehouse, TAGS.name, USER_PROFILES, days)
        for first, last in stretches(days):
            span = days_between(first, last)
            warehouse.temporary("tag_quantiles", tag_quantiles(warehouse, settings, span))
            warehouse.temporary("other_classes", other_classes(warehouse, settings))
            with warehouse.transaction():
                source = tags_text or f"select {', '.join(TAGS.column_names)} from profiles.tags where $first_day is null and $last_day is null"
                warehouse.replace_days(TAGS, source, first_day=first, last_day=last, parameters={"first_day": first, "last_day": last})
                settle_days(warehouse, TAGS.name, span)
        return dg.MaterializeResult(metadata=report_days(context, warehouse, TAGS, run=run, days=days))

    return [scores, user_profiles, tags]


def score_day(w: Warehouse, settings: Settings, day: dt.date, *, is_final: bool) -> pa.Table:
    """Score the people of a day by the newest models that passed their gates and whose weeks had ended."""
    parts: list[pa.Table] = []
    for name, model in settings.models.items():
        row = serving_model(w, name, day)
        if row is None:
            continue
        frame = read_frame(w, day, interest_names_of(row["feature_names"]))
        if isinstance(model, SegmentModelSettings):
            segments, sure = assign(row, frame)
            none = np.full(len(frame), np.nan)
            parts.append(_score_rows(frame, day, name, row["week"], segments, none, sure, none, is_final=is_final))
            continue
        predicted = predict(row, frame)
        for i, label in enumerate(predicted.classes):
            classes = np.full(len(frame), label, dtype=object)
            parts.append(
                _score_rows(
                    frame, day, name, row["week"], classes, predicted.probabilities[:, i], predicted.scores[:, i], predicted.percentiles[:, i], is_final=is_final
                )
            )
    empty = np.empty(0)
    nobody = Frame(np.empty(0, dtype=object), empty, (), np.empty((0, 0)))
    return pa.concat_tables(parts) if parts else _score_rows(nobody, day, "", day, empty, empty, empty, empty, is_final=is_final)


def serving_model(w: Warehouse, name: str, day: dt.date) -> dict[str, Any] | None:
    """Return the row of the model that serves a day: the newest that passed its gate and whose week ended before."""
    rows = w.dicts(
        f"select m.* from models.{name} as m join evaluation.gates as g on g.model = m.model and g.week = m.week and g.is_passed"
        " where m.is_chosen and m.week + 7 <= $day order by m.week desc limit 1",
        {"day": day},
    )
    return rows[0] if rows else None


def _score_rows(
    frame: Frame, day: dt.date, model: str, week: dt.date, classes: np.ndarray, probability: np.ndarray, score: np.ndarray, percentile: np.ndarray, *, is_final: bool
) -> pa.Table:
    n = len(frame)
    return pa.table({
        "profile_id": pa.array(frame.profile_ids.tolist(), pa.string()), "as_of_date": pa.array([day] * n, pa.date32()), "model": pa.array([model] * n, pa.string()),
        "class": pa.array(classes.tolist(), pa.string()), "week": pa.array([week] * n, pa.date32()), "probability": pa.array(probability, pa.float64(), from_pandas=True),
        "score": pa.array(score, pa.float64()), "percentile": pa.array(percentile, pa.float64(), from_pandas=True), "is_final": pa.array([is_final] * n, pa.bool_()),
    })  # fmt: skip


def tag_quantiles(w: Warehouse, settings: Settings, days: Sequence[dt.date]) -> pa.Table:
    """Return, by day, the quantiles that rules read, of the newest week that had ended; null before the first."""
    keys = quantiles_needed(settings.tags)
    columns: dict[str, pa.Array] = {"as_of_date": pa.array(days, pa.date32())}
    values: dict[str, list[float | None]] = {key: [] for key in keys}
    for day in days:
        found = dict(
            w.rows(
                "select key, value from models.population where statistic = 'quantile' and week = (select max(week) from models.population where week + 7 <= $day)",
                {"day": day},
            )
        )
        for key in keys:
            values[key].append(found.get(key))
    return pa.table(columns | {f"quantile:{key}": pa.array(column, pa.float64()) for key, column in values.items()})


def other_classes(w: Warehouse, settings: Settings) -> pa.Table:
    """Return the class that is not told, of models of two classes."""
    rows: list[tuple[str, dt.date, str]] = []
    for name, model in settings.models.items():
        if isinstance(model, AttributeModelSettings | OutcomeModelSettings):
            rows += [(name, week, classes[0]) for week, classes in w.rows(f"select week, classes from models.{name} where is_chosen") if len(classes) == 2]
    return pa.table({
        "model": pa.array([r[0] for r in rows], pa.string()), "week": pa.array([r[1] for r in rows], pa.date32()), "class": pa.array([r[2] for r in rows], pa.string()),
    })  # fmt: skip


