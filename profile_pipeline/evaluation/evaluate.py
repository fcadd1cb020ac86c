"""Judging a model of a week: every algorithm beside the baselines, intervals for the chosen one, and the gate.

Not here: metrics themselves, training, or the report.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from profile_pipeline.evaluation.metrics import classification_metrics, confusion, interval, ranking_metrics, resamples
from profile_pipeline.models.segments import LEAST_SHARE

# Of these, less is better.
LOSSES = frozenset({"log_loss", "brier"})
N_BINS, N_POINTS = 10, 101


@dataclass(frozen=True)
class Scored:
    """Rows of a split with what each algorithm says: `labels` (n,) class numbers, `probabilities` by algorithm (n, k)."""

    profile_ids: np.ndarray
    labels: np.ndarray
    probabilities: Mapping[str, np.ndarray]


@dataclass
class Evaluated:
    """Rows for the tables of evaluation."""

    metrics: list[dict[str, Any]] = field(default_factory=list)
    calibration: list[dict[str, Any]] = field(default_factory=list)
    confusion: list[dict[str, Any]] = field(default_factory=list)
    curves: list[dict[str, Any]] = field(default_factory=list)
    gates: list[dict[str, Any]] = field(default_factory=list)


def evaluate_classifier(
    splits: Mapping[str, Scored],
    *,
    model: str,
    week: dt.date,
    classes: Sequence[str],
    chosen: str,
    baselines: Sequence[str],
    gate_split: str,
    n_bootstrap: int,
    seed: int,
) -> Evaluated:
    """Evaluate all algorithms of a model on all splits.

    Parameters
    ----------
    splits
        validation, test and, for outcomes, future.
    chosen
        The algorithm that serves: it and the baselines have intervals.
    gate_split
        The split on which the lower end of the interval of the difference to the best baseline must be above 0: ROC-AUC of
        two classes, macro F1 of more.
    """
    done = Evaluated()
    gate_metric = "roc_auc" if len(classes) == 2 else "macro_f1"
    for split, scored in splits.items():
        key = {"model": model, "week": week, "split": split, "n_rows": len(scored.labels)}
        once = np.ones((1, len(scored.labels)))
        weights = resamples(scored.profile_ids, n_bootstrap, seed)
        values = {
            a: {m: float(v[0]) for m, v in classification_metrics(scored.labels, p, once).items()}
            for a, p in scored.probabilities.items()
        }
        sampled = {
            a: classification_metrics(scored.labels, scored.probabilities[a], weights) for a in (chosen, *baselines)
        }
        for algorithm, found in values.items():
            for metric, value in found.items():
                best = _best(baselines, metric, values)
                low, high = interval(value, sampled[algorithm][metric]) if algorithm in sampled else (None, None)
                is_baseline = algorithm in baselines
                done.metrics.append(key | {
                    "algorithm": algorithm, "metric": metric, "value": value, "ci_low": low, "ci_high": high,
                    "baseline": None if is_baseline else best, "baseline_value": None if is_baseline else values[best][metric],
                })  # fmt: skip
        if split == gate_split:
            best = _best(baselines, gate_metric, values)
            difference = values[chosen][gate_metric] - values[best][gate_metric]
            low, high = interval(difference, sampled[chosen][gate_metric] - sampled[best][gate_metric])
            verdict = "above" if low > 0 else "not surely above"
            done.gates.append({
                "model": model, "week": week, "is_passed": bool(low > 0),
                "reason": f"{gate_metric} on {split}: {chosen} {values[chosen][gate_metric]:.3f}, {best} {values[best][gate_metric]:.3f}, "
                f"difference {difference:+.3f} [{low:+.3f}, {high:+.3f}] is {verdict} 0",
            })  # fmt: skip
        _details(done, scored, classes, chosen, model=model, week=week, split=split)
    return done


def _best(baselines: Sequence[str], metric: str, values: Mapping[str, Mapping[str, float]]) -> str:
    sign = -1 if metric in LOSSES else 1
    return max(baselines, key=lambda b: (sign * values[b][metric], b))


def _details(
    done: Evaluated, scored: Scored, classes: Sequence[str], chosen: str, *, model: str, week: dt.date, split: str
) -> None:
    """Calibration, confusion and curves of the chosen algorithm."""
    key = {"model": model, "week": week, "algorithm": chosen, "split": split}
    p, y = scored.probabilities[chosen], scored.labels
    predicted = p.argmax(axis=1) if len(classes) > 2 else (p[:, 1] >= 0.5).astype(int)
    matrix = confusion(y, predicted, np.ones((1, len(y))), len(classes))[0]
    for i, actual in enumerate(classes):
        for j, guess in enumerate(classes):
            done.confusion.append(key | {"actual": actual, "predicted": guess, "n_rows": int(matrix[i, j])})
    for number in range(1, 2) if len(classes) == 2 else range(len(classes)):
        share, positive = p[:, number], y == number
        bins = np.minimum((share * N_BINS).astype(int), N_BINS - 1)
        for b in np.unique(bins):
            inside = bins == b
            done.calibration.append(key | {
                "class": classes[number], "bin": int(b), "mean_predicted": float(share[inside].mean()), "observed_share": float(positive[inside].mean()),
                "n_rows": int(inside.sum()),
            })  # fmt: skip
        for curve, xs, ys in _curves(positive, share):
            for point, (x, value) in enumerate(zip(xs, ys, strict=True)):
                done.curves.append(
                    key | {"curve": curve, "class": classes[number], "point": point, "x": float(x), "y": float(value)}
                )


def _curves(positive: np.ndarray, share: np.ndarray) -> list[tuple[str, np.ndarray, np.ndarray]]:
    order = np.argsort(-share, kind="stable")
    up, down = np.cumsum(positive[order]), np.cumsum(~positive[order])
    last = np.append(np.flatnonzero(np.diff(share[order]) != 0), len(order) - 1)
    keep = last[np.unique(np.linspace(0, len(last) - 1, N_POINTS).astype(int))]
    n_up, n_down = max(1, int(up[-1])), max(1, int(down[-1]))
    roc = ("roc", np.append(0, down[keep] / n_down), np.append(0, up[keep] / n_up))
    return [roc, ("pr", up[keep] / n_up, up[keep] / np.maximum(1, up[keep] + down[keep]))]


def evaluate_segments(
    *,
    model: str,
    week: dt.date,
    n_people: int,
    silhouette: float,
    shuffled_silhouette: float,
    inertia: float,
    least_share: float,
) -> Evaluated:
    """Judge segments: each holds 2 % of the people, and they are tighter than those of shuffled columns."""
    key = {"model": model, "week": week, "split": "validation", "n_rows": n_people, "ci_low": None, "ci_high": None}
    beats, is_large = silhouette > shuffled_silhouette, least_share >= LEAST_SHARE
    none = {"baseline": None, "baseline_value": None}
    told = f"silhouette {silhouette:.3f} against {shuffled_silhouette:.3f} of shuffled columns, the smallest segment holds {least_share:.1%} of the people"
    return Evaluated(
        metrics=[
            key
            | {
                "algorithm": "kmeans",
                "metric": "silhouette",
                "value": silhouette,
                "baseline": "shuffled_columns",
                "baseline_value": shuffled_silhouette,
            },
            key | none | {"algorithm": "shuffled_columns", "metric": "silhouette", "value": shuffled_silhouette},
            key | none | {"algorithm": "kmeans", "metric": "inertia", "value": inertia},
            key | none | {"algorithm": "kmeans", "metric": "least_segment_share", "value": least_share},
        ],
        gates=[
            {
                "model": model,
                "week": week,
                "is_passed": bool(beats and is_large),
                "reason": told + ("" if is_large else ", at least 2 % are needed"),
            }
        ],
    )


def not_trained(*, model: str, week: dt.date, reason: str) -> Evaluated:
    """The gate of a model that there was too little data for."""
    return Evaluated(gates=[{"model": model, "week": week, "is_passed": False, "reason": reason}])


def evaluate_rankings(
    lists: Mapping[str, Sequence[Sequence[str]]],
    truth: Sequence[frozenset[str]],
    profile_ids: Sequence[str],
    *,
    week: dt.date,
    n_items: int,
    baselines: Sequence[str],
    n_bootstrap: int,
    seed: int,
) -> Evaluated:
    """Judge recommenders on a time cut: recall@10, NDCG@10 by people, and the share of the catalogue that is ever shown."""
    key = {"model": "recommendations", "week": week, "split": "future", "n_rows": len(truth)}
    weights = resamples(np.asarray(profile_ids), n_bootstrap, seed)
    values: dict[str, dict[str, tuple[float, float | None, float | None]]] = {}
    for algorithm, shown in lists.items():
        values[algorithm] = {}
        for metric, each in ranking_metrics(shown, truth).items():
            value = float(each.mean())
            values[algorithm][metric] = (value, *interval(value, (weights @ each) / weights.sum(axis=1)))
        values[algorithm]["coverage@10"] = (
            len({item for items in shown for item in items[:10]}) / max(1, n_items),
            None,
            None,
        )
    done = Evaluated()
    for algorithm, found in values.items():
        for metric, (value, low, high) in found.items():
            by_baseline = {b: values[b][metric][0] for b in baselines}
            best = max(by_baseline, key=lambda b: by_baseline[b])
            is_baseline = algorithm in baselines
            done.metrics.append(key | {
                "algorithm": algorithm, "metric": metric, "value": value, "ci_low": low, "ci_high": high,
                "baseline": None if is_baseline else best, "baseline_value": None if is_baseline else by_baseline[best],
            })  # fmt: skip
    return done
