"""Training a classifier: features selected and models compared within folds by person, the best fitted once on all of them.

What was evaluated is what serves: the model that scores the people held out is the one that is stored. Not here: metrics with
intervals (`evaluation`), labels, storage.
"""

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

import lightgbm
import numpy as np
import sklearn
from sklearn.metrics import f1_score, roc_auc_score
from sklearn.tree import export_text
from threadpoolctl import threadpool_limits

from profile_pipeline.features.matrix import ITEM_PREFIX
from profile_pipeline.models.algorithms import (
    PARAMETERS,
    ItemScorer,
    Scorer,
    SklearnScorer,
    fit,
)
from profile_pipeline.models.artifact import digest_of, to_bytes
from profile_pipeline.models.baselines import majority, one_feature
from profile_pipeline.models.calibrate import Calibration, fit_calibration, probabilities
from profile_pipeline.models.frame import Features, Frame, folds, held_out
from profile_pipeline.models.inputs import ITEM_ALGORITHM
from profile_pipeline.models.selection import Selected, select_features
from profile_pipeline.settings import Algorithm, TrainingSettings

LEAST_OF_A_CLASS = 10
N_REFERENCE = 101
N_WEIGHTS = 40
FALLBACK: Algorithm = "logistic_regression"
MAJORITY, ONE_FEATURE = "majority", "one_feature"
BASELINES = (MAJORITY, ONE_FEATURE)


@dataclass(frozen=True)
class NotTrained:
    """Why a model of a week could not be trained."""

    reason: str


@dataclass(frozen=True)
class SplitScores:
    """What every algorithm and baseline says of the rows of a split that it was not fitted on.

    Attributes
    ----------
    labels
        Shape (n,), class numbers.
    probabilities
        By algorithm, shape (n, n_classes).
    """

    profile_ids: np.ndarray
    cohorts: np.ndarray
    labels: np.ndarray
    probabilities: dict[str, np.ndarray]


@dataclass(frozen=True)
class Trained:
    """A model of a week: rows for its table, and what evaluation needs."""

    classes: tuple[str, ...]
    chosen: str
    rows: list[dict[str, Any]]
    splits: dict[str, SplitScores]
    selected: list[Selected]
    importance: list[tuple[str, float]] = field(default_factory=list)


def train_classifier(
    frame: Frame,
    labels: Sequence[str],
    *,
    model: str,
    week: dt.date,
    classes: Sequence[str],
    training: TrainingSettings,
    train_dates: tuple[dt.date, dt.date],
    hold_contest: bool,
    seed: int,
    min_labels: int,
    future: tuple[Frame, Sequence[str]] | None = None,
) -> Trained | NotTrained:
    """Train a model of a week.

    Parameters
    ----------
    frame, labels
        Labelled rows; people held out are told apart here, by a stable hash.
    classes
        In order; of two the positive one is last.
    train_dates
        First and last day of the data, labels included.
    hold_contest
        Compare all algorithms of the settings; else fit the default one.
    future
        Rows of the newest cohort, for outcomes.
    """
    y_all = np.array([classes.index(label) for label in labels], dtype=int)
    is_held = held_out(frame.profile_ids, training.held_out_share)
    train, test = frame.rows(~is_held), frame.rows(is_held)
    y, y_test = y_all[~is_held], y_all[is_held]
    n_classes = len(classes)
    reason = _too_little(y, y_test, classes, min_labels)
    if reason:
        return NotTrained(reason)
    if not frame.names:
        return NotTrained("not_trained: needs a feature; name some in features.attributes or features.categories")
    if len(train) > training.max_train_rows:
        keep = np.sort(np.random.default_rng(seed).choice(len(train), training.max_train_rows, replace=False))
        train, y = train.rows(keep), y[keep]
    halves = folds(train.profile_ids, 2, seed + 1)
    fold_of = folds(train.profile_ids, training.folds, seed)
    names = list(train.names)
    splits = {"test": test.values} | ({"future": future[0].values} if future else {})
    with threadpool_limits(1):
        algorithms: list[Algorithm] = (
            [a for a in get_args(Algorithm) if a in training.algorithms]
            if hold_contest
            else [training.default_algorithm]
        )
        skipped = {}
        if ITEM_ALGORITHM in algorithms and train.items is None:
            algorithms.remove(ITEM_ALGORITHM)
            skipped[ITEM_ALGORITHM] = "no item that enough people were occupied with"
        if "rbf_svm_exact" in algorithms and len(train) > training.exact_kernel_rows:
            algorithms.remove("rbf_svm_exact")
            skipped["rbf_svm_exact"] = (
                f"{len(train)} rows, the exact kernel is fitted up to {training.exact_kernel_rows}"
            )
        algorithms = algorithms or [FALLBACK]
        out_of_fold = _out_of_fold(train, y, fold_of, algorithms, n_classes=n_classes, training=training, seed=seed)
        selected = select_features(
            names,
            train.values,
            y,
            n_classes=n_classes,
            max_features=training.max_features,
            people=train.profile_ids,
            groups=halves,
            seed=seed,
        )
        kept = [s.feature for s in selected if s.is_kept] or [max(selected, key=lambda s: s.importance).feature]
        reads = {a: _read_by(a, kept, train) for a in algorithms}
        fitted = {a: fit(a, train.features(reads[a]), y, n_classes=n_classes, seed=seed) for a in algorithms}
        calibrations = {a: fit_calibration(out_of_fold[a], y, n_classes=n_classes) for a in algorithms}
        quality = {a: _quality(probabilities(out_of_fold[a], calibrations[a]), y, n_classes) for a in algorithms}
        # Ties, to the third digit, go to the simpler one, which stands first.
        chosen = max(algorithms, key=lambda a: (round(quality[a], 3), -algorithms.index(a)))
        place, feature_rates = one_feature(train.values, y, list(splits.values()), n_classes=n_classes)
        rates = dict(zip(splits, feature_rates, strict=True))
        rates["validation"] = _one_feature_out_of_fold(
            train.values, y, fold_of, n_folds=training.folds, n_classes=n_classes
        )
        scored = {
            "validation": SplitScores(
                train.profile_ids,
                train.cohorts,
                y,
                {a: probabilities(out_of_fold[a], calibrations[a]) for a in algorithms},
            )
        }
        judged = {"test": (test, y_test)}
        if future is not None:
            judged["future"] = (future[0], np.array([classes.index(label) for label in future[1]], dtype=np.int64))
        for split, (rows, truth) in judged.items():
            scored[split] = SplitScores(
                rows.profile_ids,
                rows.cohorts,
                truth,
                {a: probabilities(fitted[a].scores(rows.features(reads[a])), calibrations[a]) for a in algorithms},
            )
        for split, scores in scored.items():
            scores.probabilities[MAJORITY] = majority(y, len(scores.labels), n_classes=n_classes)
            scores.probabilities[ONE_FEATURE] = rates[split]
        importance = _importance(
            fitted[chosen],
            calibrations[chosen],
            test.features(reads[chosen]),
            y_test,
            kept,
            n_classes=n_classes,
            seed=seed,
        )
        held_scores = fitted[chosen].scores(test.features(reads[chosen]))
    common = {
        "model": model, "week": week, "n_train": len(train), "train_from_date": train_dates[0], "train_to_date": train_dates[1],
        "seed": seed, "data_fingerprint": train.fingerprint([classes[i] for i in y]), "classes": list(classes),
        "library_versions": json.dumps({"scikit-learn": sklearn.__version__, "lightgbm": lightgbm.__version__, "numpy": np.__version__}),
    }  # fmt: skip
    records: list[dict[str, Any]] = []
    for algorithm in algorithms:
        artifact, artifact_format = to_bytes(fitted[algorithm]) if algorithm == chosen else (None, None)
        records.append(common | {
            "algorithm": algorithm, "feature_names": reads[algorithm], "params": json.dumps(PARAMETERS[algorithm]), "is_chosen": algorithm == chosen,
            "calibration": json.dumps(calibrations[algorithm]), "reference": json.dumps(_reference(held_scores)) if algorithm == chosen else None,
            "explanation": json.dumps(_explained(fitted[algorithm], reads[algorithm], classes) | {"validation_score": quality[algorithm], "one_feature": names[place], "skipped": skipped}),
            "artifact": artifact, "artifact_format": artifact_format, "artifact_sha256": digest_of(artifact),
        })  # fmt: skip
    return Trained(tuple(classes), chosen, records, scored, selected, importance)


def _too_little(y: np.ndarray, y_test: np.ndarray, classes: Sequence[str], min_labels: int) -> str | None:
    if len(y) + len(y_test) < min_labels:
        return f"not_trained: needs {min_labels} labelled rows, found {len(y) + len(y_test)}"
    for number, name in enumerate(classes):
        n = int((y == number).sum())
        if n < LEAST_OF_A_CLASS or not (y_test == number).any():
            return f"not_trained: needs {LEAST_OF_A_CLASS} training rows and one held out of class {name!r}, found {n} and {int((y_test == number).sum())}"
    return None


def _one_feature_out_of_fold(
    values: np.ndarray, y: np.ndarray, fold_of: np.ndarray, *, n_folds: int, n_classes: int
) -> np.ndarray:
    """The baseline of each row by the rows of the other folds, as algorithms are judged; shape (n, n_classes)."""
    rates = np.zeros((len(y), n_classes))
    for fold in range(n_folds):
        inside, outside = fold_of != fold, fold_of == fold
        rates[outside] = one_feature(values[inside], y[inside], [values[outside]], n_classes=n_classes)[1][0]
    return rates


def _read_by(algorithm: str, kept: list[str], train: Frame) -> list[str]:
    """Return the feature names of an algorithm: those selected, and for the one that reads items the items, whose weights it shrinks."""
    if algorithm == ITEM_ALGORITHM and train.items is not None:
        return [*kept, *(f"{ITEM_PREFIX}{name}" for name in train.items.names)]
    return kept


def _out_of_fold(
    train: Frame,
    y: np.ndarray,
    fold_of: np.ndarray,
    algorithms: Sequence[str],
    *,
    n_classes: int,
    training: TrainingSettings,
    seed: int,
) -> dict[str, np.ndarray]:
    """Score each row by models that have not seen its person, their features selected without them too."""
    width = 1 if n_classes == 2 else n_classes
    scores = {a: np.zeros((len(train), width)) for a in algorithms}
    for fold in range(training.folds):
        inside, outside = fold_of != fold, fold_of == fold
        part = train.rows(inside)
        halves = folds(part.profile_ids, 2, seed + 1)
        selected = select_features(
            train.names,
            part.values,
            y[inside],
            n_classes=n_classes,
            max_features=training.max_features,
            people=part.profile_ids,
            groups=halves,
            seed=seed,
        )
        kept = [s.feature for s in selected if s.is_kept] or [max(selected, key=lambda s: s.importance).feature]
        others = train.rows(outside)
        for a in algorithms:
            names = _read_by(a, kept, train)
            fitted = fit(a, part.features(names), y[inside], n_classes=n_classes, seed=seed)
            scores[a][outside] = fitted.scores(others.features(names))
    return scores


def _quality(p: np.ndarray, y: np.ndarray, n_classes: int) -> float:
    """ROC-AUC of two classes, macro F1 of more: what the gate looks at."""
    if n_classes == 2:
        return float(roc_auc_score(y, p[:, 1]))
    return float(f1_score(y, p.argmax(axis=1), average="macro", zero_division=0))


def _importance(
    scorer: Scorer,
    calibration: Calibration,
    features: Features,
    y: np.ndarray,
    names: Sequence[str],
    *,
    n_classes: int,
    seed: int,
) -> list[tuple[str, float]]:
    """Loss of quality when a feature, or all items at once, is shuffled among the people held out; mean of three shuffles."""
    rng = np.random.default_rng(seed)

    def quality(of: Features) -> float:
        return _quality(probabilities(scorer.scores(of), calibration), y, n_classes)

    base = quality(features)
    found = []
    for place, name in enumerate(names):
        losses = []
        for _ in range(3):
            values = features.values.copy()
            values[:, place] = rng.permutation(values[:, place])
            losses.append(base - quality(Features(values, features.items)))
        found.append((name, float(np.mean(losses))))
    if features.items is not None:
        orders = [rng.permutation(len(features)) for _ in range(3)]
        losses = [base - quality(Features(features.values, features.items.rows(order))) for order in orders]
        found.append((f"{len(features.items.names)} items", float(np.mean(losses))))
    return sorted(found, key=lambda entry: (-entry[1], entry[0]))


def _reference(scores: np.ndarray) -> list[list[float]]:
    """Quantiles of the held-out people's scores by class: a percentile does not move with whom else is there."""
    return [np.quantile(scores[:, i], np.linspace(0, 1, N_REFERENCE)).tolist() for i in range(scores.shape[1])]


def _explained(scorer: Scorer, names: Sequence[str], classes: Sequence[str]) -> dict[str, Any]:
    """What can be shown of a model: the tree, or weights and offset; of many items the heaviest."""
    if isinstance(scorer, ItemScorer):
        weights = scorer.model.coef_[:, : len(names)]
        heaviest = np.argsort(-np.abs(weights).max(axis=0), kind="stable")[:N_WEIGHTS]
        return {
            "w": {names[i]: [float(row[i]) for row in weights] for i in heaviest},
            "b": [float(v) for v in np.atleast_1d(scorer.model.intercept_)],
        }
    if not isinstance(scorer, SklearnScorer):
        return {}
    model = scorer.pipeline.named_steps["model"]
    if hasattr(model, "tree_"):
        return {
            "tree": export_text(
                model, feature_names=list(names), class_names=list(classes), max_depth=4, show_weights=True
            ),
            "nodes": _nodes(scorer, names),
        }
    if hasattr(model, "coef_") and model.coef_.shape[1] == len(names):
        return {
            "w": {name: [float(row[i]) for row in model.coef_] for i, name in enumerate(names)},
            "b": [float(v) for v in np.atleast_1d(model.intercept_)],
        }
    return {}


def _nodes(scorer: SklearnScorer, names: Sequence[str]) -> list[dict[str, Any]]:
    """The tree's nodes with thresholds in the units of the features: the scale of the fit undone."""
    steps = scorer.pipeline.named_steps
    tree, scaler = steps["model"].tree_, steps["scale"]
    nodes = []
    for i in range(tree.node_count):
        place = int(tree.feature[i])
        threshold = None
        if place >= 0:
            squeezed = float(tree.threshold[i]) * float(scaler.scale_[place]) + float(scaler.mean_[place])
            threshold = float(np.sign(squeezed) * np.expm1(abs(squeezed)))
        nodes.append({
            "feature": names[place] if place >= 0 else None, "threshold": threshold, "left": int(tree.children_left[i]), "right": int(tree.children_right[i]),
            "n": int(tree.n_node_samples[i]), "shares": [float(v) for v in tree.value[i][0] / tree.value[i][0].sum()],
        })  # fmt: skip
    return nodes
