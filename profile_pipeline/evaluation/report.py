"""The page of a week: how far each model may be trusted, and why. One file, no network, readable by people.

Not here: reading tables (`orchestration.building.reporting`), or drawing (`plots`).
"""

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from profile_pipeline.evaluation.plots import (
    calibration_plot,
    choice_plot,
    confusion_plot,
    curve_plot,
    importance_plot,
    metric_plot,
    segments_plot,
    tree_plot,
)

MAIN_METRICS = (
    "roc_auc",
    "macro_roc_auc",
    "pr_auc",
    "macro_pr_auc",
    "accuracy",
    "precision",
    "recall",
    "f1",
    "macro_precision",
    "macro_recall",
    "macro_f1",
    "log_loss",
    "brier",
)
SPLIT_WORDS = {
    "future": "newest cohort, all people",
    "test": "people held out",
    "validation": "folds by person, in training",
}
N_WEIGHTS = 10


@dataclass(frozen=True)
class ModelPart:
    """Rows of the tables about one model of the week."""

    name: str
    task: str
    rows: list[dict[str, Any]]
    gate: dict[str, Any] | None
    metrics: list[dict[str, Any]] = field(default_factory=list)
    calibration: list[dict[str, Any]] = field(default_factory=list)
    confusion: list[dict[str, Any]] = field(default_factory=list)
    curves: list[dict[str, Any]] = field(default_factory=list)
    importance: list[dict[str, Any]] = field(default_factory=list)
    selected: list[dict[str, Any]] = field(default_factory=list)
    traits: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class ReportInput:
    """All rows that the page of a week tells."""

    week: dt.date
    models: list[ModelPart]
    recommendations: list[dict[str, Any]]
    training: dict[str, Any]
    is_contest_week: bool


def render_report(source: ReportInput) -> str:
    """Return the page as HTML."""
    environment = Environment(
        loader=PackageLoader("profile_pipeline.evaluation", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figure"] = lambda value: "" if value is None else f"{value:.3f}"
    page = environment.get_template("report.html").render(
        week=source.week,
        week_end=source.week + dt.timedelta(days=6),
        parts=[_part(part) for part in source.models],
        recommendations=source.recommendations,
        recommender_plots=[
            Markup(metric_plot([r for r in source.recommendations if r["metric"] == metric], title=metric))
            for metric in ("recall@10", "ndcg@10", "coverage@10")
            if any(r["metric"] == metric for r in source.recommendations)
        ],
        training=source.training,
        is_contest_week=source.is_contest_week,
    )
    return page


def _part(part: ModelPart) -> dict[str, Any]:
    """What the template tells of one model."""
    chosen = next((row for row in part.rows if row["is_chosen"]), None)
    told: dict[str, Any] = {
        "part": part,
        "chosen": chosen,
        "plots": [],
        "tree": None,
        "weights": [],
        "segments": [],
        "skipped": {},
    }
    if chosen is None:
        return told
    explanation = chosen["explanation"]
    told["skipped"] = explanation.get("skipped", {})
    if part.task == "segments":
        k = str(chosen["params"]["k"])
        told["plots"] = [
            Markup(segments_plot(part.traits, title="Segments, in standard deviations from everybody")),
            Markup(choice_plot(explanation["silhouette_by_k"], explanation["inertia_by_k"], chosen=k)),
        ]
        told["segments"] = _segments(part.traits)
        return told
    split = "future" if any(r["split"] == "future" for r in part.metrics) else "test"
    gate_metric = "roc_auc" if len(chosen["classes"]) == 2 else "macro_f1"
    mine = [r for r in part.metrics if r["split"] == split]
    of_split = {
        name: [r for r in rows if r["split"] == split]
        for name, rows in (("calibration", part.calibration), ("confusion", part.confusion), ("curves", part.curves))
    }
    plots = [metric_plot([r for r in mine if r["metric"] == gate_metric], title=f"{gate_metric}, {SPLIT_WORDS[split]}")]
    if of_split["curves"]:
        plots += [
            curve_plot(of_split["curves"], curve="roc", title="ROC"),
            curve_plot(of_split["curves"], curve="pr", title="Precision and recall"),
        ]
    if of_split["calibration"]:
        plots.append(calibration_plot(of_split["calibration"], title="Calibration"))
    if of_split["confusion"]:
        plots.append(confusion_plot(of_split["confusion"], classes=chosen["classes"], title="Confusion"))
    if part.importance:
        plots.append(importance_plot(part.importance, title="What it rests on"))
    told["plots"] = [Markup(plot) for plot in plots]
    told["tables"] = [
        (name, SPLIT_WORDS[name], _table(part.metrics, name))
        for name in ("future", "test", "validation")
        if any(r["split"] == name for r in part.metrics)
    ]
    trees = [row for row in part.rows if row["explanation"].get("nodes")]
    if trees:
        best = max(trees, key=lambda row: row["explanation"]["validation_score"])
        told["tree"] = (best["algorithm"], Markup(tree_plot(best["explanation"]["nodes"], chosen["classes"])))
    for row in part.rows:
        if row["explanation"].get("w"):
            strongest = sorted(
                row["explanation"]["w"].items(), key=lambda item: (-max(abs(v) for v in item[1]), item[0])
            )[:N_WEIGHTS]
            told["weights"].append((row["algorithm"], strongest, row["explanation"]["b"]))
    return told


def _table(metrics: list[dict[str, Any]], split: str) -> dict[str, Any]:
    rows = [r for r in metrics if r["split"] == split]
    names = [m for m in MAIN_METRICS if any(r["metric"] == m for r in rows)]
    cells = {(r["algorithm"], r["metric"]): r for r in rows}
    baselines = {r["algorithm"] for r in rows if r["baseline"] is None}
    algorithms = sorted({r["algorithm"] for r in rows}, key=lambda a: (a in baselines, a))
    return {"names": names, "algorithms": algorithms, "baselines": baselines, "cells": cells}


def _segments(traits: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Say in words what distinguishes each segment."""
    found = []
    for segment in sorted({t["segment"] for t in traits}):
        mine = sorted((t for t in traits if t["segment"] == segment), key=lambda t: t["rank"])
        words = [
            f"{'high' if t['z_score'] > 0 else 'low'} {t['feature']} ({_short(t['mean'])} against {_short(t['overall_mean'])})"
            for t in mine[:4]
        ]
        found.append(
            {
                "segment": segment,
                "n_people": mine[0]["n_people"],
                "people_share": mine[0]["people_share"],
                "words": "; ".join(words),
            }
        )
    return found


def _short(value: float | None) -> str:
    return "none" if value is None else f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
