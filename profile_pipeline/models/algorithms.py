"""The algorithms that compete: each fits numbers to classes and gives a score for every class.

All are seeded, run on one thread and scale within the fit, so that nothing of a held-out row leaks into it. Not here: choosing
between them (`contest`), calibration, storage.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import lightgbm as lgb
import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.impute import SimpleImputer
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from profile_pipeline.models.frame import Features
from profile_pipeline.models.inputs import ITEM_ALGORITHM


class Scorer(Protocol):
    """Something fitted that scores rows."""

    def scores(self, features: Features) -> np.ndarray:
        """Return raw scores, shape (n, k); of two classes k is 1, the positive one's margin."""
        ...


@dataclass(frozen=True)
class SklearnScorer:
    """A fitted pipeline of scikit-learn."""

    pipeline: Pipeline

    def scores(self, features: Features) -> np.ndarray:
        prepared = compressed(features.values)
        if hasattr(self.pipeline, "decision_function"):
            margins = np.asarray(self.pipeline.decision_function(prepared), dtype=float)
            return margins.reshape(len(features), -1)
        shares = np.clip(self.pipeline.predict_proba(prepared), 1e-6, 1 - 1e-6)
        margins = np.log(shares / (1 - shares))
        return margins[:, 1:] if margins.shape[1] == 2 else margins


@dataclass(frozen=True)
class LightgbmScorer:
    """A fitted booster."""

    booster: lgb.Booster

    def scores(self, features: Features) -> np.ndarray:
        scores = self.booster.predict(features.values, raw_score=True, num_threads=1)
        return np.asarray(scores, dtype=float).reshape(len(features), -1)


@dataclass(frozen=True)
class ItemScorer:
    """Logistic regression on what people did with items beside their other features.

    Items weigh by tf-idf, so that what everybody did tells little; beside each stands how far the person's rating lies from the
    person's mean. Linear models on such rows beat trees on aggregates; Weinsberg et al., "BlurMe" (2012), have the task.
    """

    prepare: Pipeline
    weigh: TfidfTransformer
    model: LogisticRegression

    def scores(self, features: Features) -> np.ndarray:
        rows = sparse.hstack(_item_blocks(self.prepare, self.weigh, features)).tocsr()
        return np.asarray(self.model.decision_function(rows), dtype=float).reshape(len(features), -1)


def _item_blocks(prepare: Pipeline, weigh: TfidfTransformer, features: Features) -> list[sparse.csr_matrix]:
    """The blocks of columns that the model of items reads: features, items by tf-idf, deviations of ratings."""
    if features.items is None:
        raise ValueError("an algorithm that reads items was given none")
    n_items = np.maximum(1, np.diff(features.items.deviations.indptr))
    return [
        sparse.csr_matrix(prepare.transform(compressed(features.values))),
        weigh.transform(features.items.counts),
        sparse.csr_matrix(sparse.diags(1 / np.sqrt(n_items)) @ features.items.deviations),
    ]


def compressed(values: np.ndarray) -> np.ndarray:
    """Return values on a scale on which counts are not ruled by a few: sign(x) ln(1 + |x|)."""
    return np.sign(values) * np.log1p(np.abs(values))


def _pipeline(estimator: Any, *more: tuple[str, Any]) -> Pipeline:
    return Pipeline(
        [
            ("impute", SimpleImputer(strategy="median", keep_empty_features=True)),
            ("scale", StandardScaler()),
            *more,
            ("model", estimator),
        ]
    )


PARAMETERS: dict[str, dict[str, Any]] = {
    "logistic_regression": {"C": 0.1, "max_iter": 500, "class_weight": None},
    "naive_bayes": {"var_smoothing": 1e-3},
    "decision_tree_entropy": {"criterion": "entropy", "max_depth": 4, "min_samples_leaf": 25},
    "decision_tree_gini": {"criterion": "gini", "max_depth": 4, "min_samples_leaf": 25},
    "linear_svm": {"C": 0.003, "loss": "squared_hinge", "dual": False},
    ITEM_ALGORITHM: {"C": 1.5, "feature_scale": 0.25, "deviation_scale": 0.5, "max_iter": 500},
    "rbf_svm_nystroem": {"n_components": 120, "gamma": 0.01, "C": 0.1},
    "rbf_svm_exact": {"C": 1.0, "gamma": "scale"},
    "lightgbm": {
        "num_leaves": 15,
        "learning_rate": 0.06,
        "n_rounds": 90,
        "min_data_in_leaf": 25,
        "feature_fraction": 0.7,
        "lambda_l2": 5.0,
    },
}


def fit(name: str, features: Features, labels: np.ndarray, *, n_classes: int, seed: int) -> Scorer:
    """Fit an algorithm by name.

    Parameters
    ----------
    features
        What the algorithm reads of n people, NaN where not known.
    labels
        Shape (n,), class numbers from 0.
    """
    p = dict(PARAMETERS[name])
    values = features.values
    if name == ITEM_ALGORITHM:
        return _fit_items(features, labels, seed=seed, **p)
    if name == "lightgbm":
        n_rounds = p.pop("n_rounds")
        objective = {"objective": "binary"} if n_classes == 2 else {"objective": "multiclass", "num_class": n_classes}
        options = (
            p
            | objective
            | {"verbosity": -1, "num_threads": 1, "deterministic": True, "force_col_wise": True, "seed": seed}
        )
        return LightgbmScorer(
            lgb.train(options, lgb.Dataset(values, labels, free_raw_data=True), num_boost_round=n_rounds)
        )
    if name == "logistic_regression":
        pipeline = _pipeline(LogisticRegression(random_state=seed, **p))
    elif name == "naive_bayes":
        pipeline = _pipeline(GaussianNB(**p))
    elif name.startswith("decision_tree"):
        pipeline = _pipeline(DecisionTreeClassifier(random_state=seed, **p))
    elif name == "linear_svm":
        pipeline = _pipeline(LinearSVC(random_state=seed, max_iter=3000, **p))
    elif name == "rbf_svm_nystroem":
        kernel = Nystroem(
            kernel="rbf",
            gamma=p["gamma"],
            n_components=min(p["n_components"], len(values)),
            random_state=seed,
            n_jobs=1,
        )
        pipeline = _pipeline(LogisticRegression(C=p["C"], max_iter=500, random_state=seed), ("kernel", kernel))
    else:
        pipeline = _pipeline(SVC(kernel="rbf", decision_function_shape="ovr", random_state=seed, **p))
    return SklearnScorer(pipeline.fit(compressed(values), labels))


def _fit_items(
    features: Features,
    labels: np.ndarray,
    *,
    seed: int,
    C: float,
    max_iter: int,
    feature_scale: float,
    deviation_scale: float,
) -> ItemScorer:
    """Fit with each block scaled, so that one penalty suits all, and undo the scale in the weights: scoring need not know it."""
    if features.items is None:
        raise ValueError("an algorithm that reads items was given none")
    prepare = Pipeline(
        [("impute", SimpleImputer(strategy="median", keep_empty_features=True)), ("scale", StandardScaler())]
    ).fit(compressed(features.values))
    weigh = TfidfTransformer(sublinear_tf=True).fit(features.items.counts)
    blocks = _item_blocks(prepare, weigh, features)
    scales = np.concatenate(
        [np.full(b.shape[1], s) for b, s in zip(blocks, (feature_scale, 1.0, deviation_scale), strict=True)]
    )
    rows = sparse.csr_matrix(sparse.hstack(blocks) @ sparse.diags(scales))
    model = LogisticRegression(C=C, max_iter=max_iter, random_state=seed).fit(rows, labels)
    model.coef_ = model.coef_ * scales
    return ItemScorer(prepare, weigh, model)
