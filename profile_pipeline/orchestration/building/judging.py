"""Judging the models of a week from what the tables say: arrays for evaluation, rows back.

Imported by a step when it runs, because it brings scikit-learn along. Not here: metrics, Dagster.
"""

import datetime as dt
import json
from typing import Any

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
from profile_pipeline.models.contest import BASELINES
from profile_pipeline.orchestration.building.days import last_day_of
from profile_pipeline.orchestration.building.recommending import consumed_rows
from profile_pipeline.orchestration.table_assets import MissingUpstreamError
from profile_pipeline.settings import OutcomeModelSettings, SegmentModelSettings, Settings
from profile_pipeline.warehouse.duckdb import Warehouse


def judge_week(w: Warehouse, settings: Settings, week: dt.date) -> tuple[Evaluated, list[dict[str, Any]]]:
    """Evaluate all models of a week and the recommender; return rows for the tables, and those of importance."""
    done = Evaluated()
    for part in (
        *(_judge(w, settings, name, week) for name in settings.models),
        _judge_recommendations(w, settings, week),
    ):
        done.metrics += part.metrics
        done.calibration += part.calibration
        done.confusion += part.confusion
        done.curves += part.curves
        done.gates += [row | {"version": _version(w, row["model"], week)} for row in part.gates]
    return done, [row for name in settings.models for row in _importance(w, name, week)]


def _chosen(w: Warehouse, name: str, week: dt.date) -> tuple[str, list[str], dict[str, Any], dict[str, Any]]:
    rows = w.rows(
        f"select algorithm, classes, params, explanation, is_chosen from models.{name} where week = $week order by is_chosen desc",
        {"week": week},
    )
    if not rows:
        raise MissingUpstreamError(
            f"evaluation of the week {week} reads models.{name}, which has no row of it. Materialize the models of {week} first."
        )
    algorithm, classes, params, explanation, _ = rows[0]
    return algorithm, classes or [], json.loads(params or "{}"), json.loads(explanation or "{}")


def _version(w: Warehouse, name: str, week: dt.date) -> str | None:
    rows = w.rows(f"select version from models.{name} where week = $week and is_chosen", {"week": week})
    return rows[0][0] if rows else None


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
            inertia=explanation["inertia"], least_share=least,
        )  # fmt: skip
    is_judged_later = isinstance(model, OutcomeModelSettings) or model.time is not None
    gate_split = "future" if is_judged_later else "test"
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
    for (split,) in w.rows(
        f"select distinct split from models.predictions where {where} order by split desc", parameters
    ):
        found: dict[str, np.ndarray] = {}
        people = labels = None
        for (algorithm,) in w.rows(
            f"select distinct algorithm from models.predictions where {where} and split = $split order by all",
            parameters | {"split": split},
        ):
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
        splits[split] = Scored(
            np.asarray(people), np.array([classes.index(label) for label in labels or []], dtype=int), found
        )
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
    popular = recommend(
        model, [f"nobody {i}" for i in range(1)], left_out={}, available=None, n_items=len(model.items)
    )["nobody 0"]
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
