"""The assets of evaluation: metrics, gates and the report of a week.

Not here: metrics (`evaluation/`), or training.
"""

import datetime as dt
import json
from collections.abc import Iterator
from typing import Any

import dagster as dg
import numpy as np

from profile_pipeline.applications.recommend import ITEM_KNN, POPULARITY, RANDOM, fit_item_knn, random_lists, recommend
from profile_pipeline.evaluation.evaluate import (
    Evaluated,
    Scored,
    evaluate_classifier,
    evaluate_rankings,
    evaluate_segments,
    not_trained,
)
from profile_pipeline.evaluation.report import render_report
from profile_pipeline.evaluation.tables import CALIBRATION, CONFUSION, CURVES, GATES, IMPORTANCE, METRICS, TABLES
from profile_pipeline.models.contest import BASELINES
from profile_pipeline.orchestration.assets.models import weeks_of, write_rows
from profile_pipeline.orchestration.days import day_keys, last_day_of, weekly_partitions
from profile_pipeline.orchestration.recommending import consumed_rows
from profile_pipeline.orchestration.reporting import read_report
from profile_pipeline.orchestration.table_assets import MissingUpstreamError, OWNERS, code_version, key_of, preview, spec_of
from profile_pipeline.settings import OutcomeModelSettings, Paths, SegmentModelSettings, Settings
from profile_pipeline.warehouse.duckdb import Warehouse


def build_evaluation(settings: Settings, paths: Paths) -> list[dg.AssetsDefinition]:
    """Return the assets of evaluation."""
    weekly = weekly_partitions(settings.calendar)
    version = code_version(settings.fingerprint("training", "recommendations", "seed"))
    models = [dg.AssetDep(key_of(f"models.{name}")) for name in settings.models]
    deps = [*models, dg.AssetDep(key_of("models.predictions")), dg.AssetDep(key_of("models.segment_traits"))]

    @dg.multi_asset(
        name="judged_models",
        specs=[spec_of(table, deps=deps, kinds={"duckdb", "python"}, version=version, partitions_def=weekly) for table in TABLES],
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def judged_models(context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]) -> Iterator[dg.MaterializeResult]:
        weeks = weeks_of(context, day_keys(weekly))
        for week in weeks:
            evaluated = [_judge(warehouse, settings, name, week) for name in settings.models]
            evaluated.append(_judge_recommendations(warehouse, settings, week))
            importance = [row for name in settings.models for row in _importance(warehouse, name, week)]
            with warehouse.transaction():
                for table, rows in (
                    (METRICS, [r for e in evaluated for r in e.metrics]), (CALIBRATION, [r for e in evaluated for r in e.calibration]),
                    (CONFUSION, [r for e in evaluated for r in e.confusion]), (CURVES, [r for e in evaluated for r in e.curves]),
                    (GATES, [r for e in evaluated for r in e.gates]), (IMPORTANCE, importance),
                ):  # fmt: skip
                    write_rows(warehouse, table, rows, week=week)
            for row in (r for e in evaluated for r in e.gates):
                context.log.info(f"{week} {row['model']}: {'passed' if row['is_passed'] else 'not passed'}; {row['reason']}")
        for table in TABLES:
            where, bounds = "week between $first and $last", {"first": weeks[0], "last": weeks[-1]}
            told: dict[str, Any] = {"dagster/row_count": warehouse.scalar(f"select count(*) from {table.name}")}
            told["preview"] = dg.MetadataValue.md(preview(warehouse, table, where=where, parameters=bounds))
            if table is GATES:
                told["verdicts"] = dg.MetadataValue.md(_verdicts(warehouse, weeks[-1]))
            yield dg.MaterializeResult(asset_key=key_of(table.name), metadata=told)

    @dg.asset(
        key=dg.AssetKey(["evaluation", "report"]), deps=[dg.AssetDep(key_of(t.name)) for t in TABLES], partitions_def=weekly, group_name="evaluation",
        kinds={"python", "html"}, owners=OWNERS, code_version=version, backfill_policy=dg.BackfillPolicy.single_run(),
        description="A page a week: how far each model may be trusted, and why; data/reports/<week>/index.html.",
    )  # fmt: skip
    def report(context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]) -> dg.MaterializeResult:
        weeks = weeks_of(context, day_keys(weekly))
        for week in weeks:
            page = render_report(read_report(warehouse, settings, week))
            path = paths.reports / str(week) / "index.html"
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_suffix(".tmp")
            temporary.write_text(page, encoding="utf-8")
            temporary.replace(path)
        last = paths.reports / str(weeks[-1]) / "index.html"
        return dg.MaterializeResult(
            metadata={"report": dg.MetadataValue.path(str(last)), "size_bytes": last.stat().st_size, "verdicts": dg.MetadataValue.md(_verdicts(warehouse, weeks[-1]))}
        )

    return [judged_models, report]


def _verdicts(w: Warehouse, week: dt.date) -> str:
    rows = w.rows("select model, is_passed, reason from evaluation.gates where week = $week order by model", {"week": week})
    return "\n".join(["| model | verdict | why |", "| --- | --- | --- |", *(f"| {m} | {'passed' if ok else 'not passed'} | {why} |" for m, ok, why in rows)])


def _chosen(w: Warehouse, name: str, week: dt.date) -> tuple[str, list[str], dict[str, Any], dict[str, Any]]:
    rows = w.rows(
        f"select algorithm, classes, params, explanation, is_chosen from models.{name} where week = $week order by is_chosen desc", {"week": week}
    )
    if not rows:
        raise MissingUpstreamError(f"evaluation of the week {week} reads models.{name}, which has no row of it. Materialize the models of {week} first.")
    algorithm, classes, params, explanation, _ = rows[0]
    return algorithm, classes or [], json.loads(params or "{}"), json.loads(explanation or "{}")


def _judge(w: Warehouse, settings: Settings, name: str, week: dt.date) -> Evaluated:
    algorithm, classes, params, explanation = _chosen(w, name, week)
    if "not_trained" in explanation:
        return not_trained(model=name, week=week, reason=explanation["not_trained"])
    model = settings.models[name]
    if isinstance(model, SegmentModelSettings):
        k = str(params["k"])
        least, n_people = w.rows(
            "select min(people_share), cast(sum(n_people) as bigint) from (select distinct segment, people_share, n_people from models.segment_traits where week = $week and model = $model)",
            {"week": week, "model": name},
        )[0]
        return evaluate_segments(
            model=name, week=week, n_people=n_people, silhouette=explanation["silhouette_by_k"][k], shuffled_silhouette=explanation["shuffled_silhouette"],
            inertia=explanation["inertia_by_k"][k], least_share=least,
        )  # fmt: skip
    gate_split = "future" if isinstance(model, OutcomeModelSettings) else "test"
    return evaluate_classifier(
        _splits(w, name, week, classes), model=name, week=week, classes=classes, chosen=algorithm, baselines=BASELINES, gate_split=gate_split,
        n_bootstrap=settings.training.n_bootstrap, seed=settings.seed,
    )  # fmt: skip


def _splits(w: Warehouse, name: str, week: dt.date, classes: list[str]) -> dict[str, Scored]:
    """Read what each algorithm said, as arrays in one order of rows."""
    told = classes[1:] if len(classes) == 2 else classes
    splits: dict[str, Scored] = {}
    parameters = {"week": week, "model": name}
    where = "week = $week and model = $model"
    for (split,) in w.rows(f"select distinct split from models.predictions where {where} order by split desc", parameters):
        found: dict[str, np.ndarray] = {}
        people = labels = None
        for (algorithm,) in w.rows(f"select distinct algorithm from models.predictions where {where} and split = $split order by all", parameters | {"split": split}):
            columns = []
            for label in told:
                rows = w.arrow(
                    f"select profile_id, actual, probability from models.predictions where {where} and split = $split and algorithm = $algorithm and class = $class"
                    " order by as_of_date, profile_id",
                    parameters | {"split": split, "algorithm": algorithm, "class": label},
                )
                columns.append(rows.column("probability").to_numpy())
                people, labels = rows.column("profile_id").to_pylist(), rows.column("actual").to_pylist()
            p = np.column_stack(columns)
            found[algorithm] = np.column_stack([1 - p[:, 0], p[:, 0]]) if len(classes) == 2 else p
        splits[split] = Scored(np.asarray(people), np.array([classes.index(label) for label in labels or []], dtype=int), found)
    return splits


def _importance(w: Warehouse, name: str, week: dt.date) -> list[dict[str, Any]]:
    algorithm, _, _, explanation = _chosen(w, name, week)
    return [
        {"model": name, "week": week, "algorithm": algorithm, "feature": feature, "importance": value, "rank": rank}
        for rank, (feature, value) in enumerate(explanation.get("importance", []), start=1)
    ]


def _judge_recommendations(w: Warehouse, settings: Settings, week: dt.date) -> Evaluated:
    """Fit on what was known a week before, ask for what people newly took up in the week."""
    options = settings.recommendations
    end = last_day_of(week)
    cut = end - dt.timedelta(days=options.test_days)
    people, items, weights = consumed_rows(w, settings, cut)
    if not people:
        return Evaluated()
    known: dict[str, set[str]] = {}
    for person, item in zip(people, items, strict=True):
        known.setdefault(person, set()).add(item)
    after = w.rows(
        "select distinct i.profile_id, t.item_id from features.user_item_days as t join cleaned.identities as i on i.alias_id = t.alias_id"
        " and i.valid_from <= $cut and (i.valid_to is null or i.valid_to > $cut) where t.event_date > $cut and t.event_date <= $end",
        {"cut": cut, "end": end},
    )
    wanted: dict[str, set[str]] = {}
    for person, item in after:
        if person in known and item not in known[person]:
            wanted.setdefault(person, set()).add(item)
    if not wanted:
        return Evaluated()
    asked = sorted(wanted)
    left_out = {person: frozenset(known[person]) for person in asked}
    model = fit_item_knn(people, items, weights, shrinkage=options.shrinkage, neighbours=options.neighbours)
    shown = recommend(model, asked, left_out=left_out, available=None, n_items=10)
    popular = recommend(model, [f"nobody {i}" for i in range(1)], left_out={}, available=None, n_items=len(model.items))["nobody 0"]
    ranked = [r.item_id for r in popular]
    lists = {
        ITEM_KNN: [[r.item_id for r in shown[person]] for person in asked],
        POPULARITY: [[item for item in ranked if item not in left_out[person]][:10] for person in asked],
        RANDOM: random_lists(ranked, asked, left_out, n_items=10, seed=settings.seed),
    }
    return evaluate_rankings(
        lists, [frozenset(wanted[person]) for person in asked], asked, week=week, n_items=len(model.items), baselines=(POPULARITY, RANDOM),
        n_bootstrap=settings.training.n_bootstrap, seed=settings.seed,
    )  # fmt: skip
