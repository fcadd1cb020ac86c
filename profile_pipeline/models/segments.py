"""Segments: K-means on what people do, named so that a name means the same people week after week.

MacQueen's and Lloyd's K-means as in scikit-learn, ten starts: with one start the optimum is missed now and then. Not here:
gates, reports, or the features themselves.
"""

import datetime as dt
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sklearn
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.impute import SimpleImputer
from sklearn.metrics import silhouette_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from threadpoolctl import threadpool_limits

from profile_pipeline.models.algorithms import SklearnScorer, compressed
from profile_pipeline.models.artifact import ArtifactError, digest_of, load_skops, stored_bytes, to_bytes
from profile_pipeline.models.contest import NotTrained
from profile_pipeline.models.frame import Frame
from profile_pipeline.models.inputs import SEGMENT_FEATURES
from profile_pipeline.settings import SegmentModelSettings

LEAST_SHARE = 0.02
SILHOUETTE_ROWS = 2_000
N_TRAITS = 6
MAX_ITERATIONS = 300


def kmeans(values: np.ndarray, k: int, *, seed: int, n_init: int = 10) -> KMeans:
    """Fit K-means with several starts.

    Examples
    --------
    >>> centres = kmeans(np.array([[1, 1], [1, 2], [2, 2], [2, 3]]), 2, seed=0).cluster_centers_
    >>> sorted(centres.tolist())
    [[1.0, 1.5], [2.0, 2.5]]
    """
    return KMeans(n_clusters=k, n_init=n_init, max_iter=MAX_ITERATIONS, random_state=seed).fit(
        np.asarray(values, dtype=float)
    )


def _fit_scaling(values: np.ndarray) -> Pipeline:
    """Fill, clip and standardise: what lies beyond all but one person in a hundred counts no more than that border.

    Without the clip a few strangers make clusters of their own, and everybody else is one.
    """
    imputer = SimpleImputer(strategy="constant", fill_value=0.0, keep_empty_features=True).fit(values)
    filled = imputer.transform(values)
    clip = MinMaxScaler(clip=True).fit(np.clip(filled, *np.quantile(filled, [0.01, 0.99], axis=0)))
    same = clip.data_range_ == 0
    clip.scale_[same] = clip.min_[same] = 0.0
    return Pipeline([("impute", imputer), ("clip", clip), ("scale", StandardScaler().fit(clip.transform(filled)))])


def _polished(fitted: KMeans, values: np.ndarray) -> KMeans:
    """Let centres found on a sample settle on all rows: a few of Lloyd's passes, at a fraction of the cost of starts on all."""
    return KMeans(n_clusters=fitted.n_clusters, init=fitted.cluster_centers_, n_init=1, max_iter=MAX_ITERATIONS).fit(
        values
    )


@dataclass(frozen=True)
class Segmented:
    """Segments of a week: the row for the table, who is in which, what they are like, and how good they are."""

    row: dict[str, Any]
    profile_ids: np.ndarray
    segments: np.ndarray
    traits: list[dict[str, Any]]
    silhouette: float
    shuffled_silhouette: float
    inertia: float
    least_share: float


def train_segments(
    frame: Frame,
    *,
    model: str,
    week: dt.date,
    settings: SegmentModelSettings,
    seed: int,
    train_dates: tuple[dt.date, dt.date],
    before: Mapping[str, str],
    names_used: Sequence[str] = (),
    named_after: dt.date | None = None,
) -> Segmented | NotTrained:
    """Find segments and name them after those of an earlier week.

    Parameters
    ----------
    before
        Person to segment, in that week; empty where there is none.
    names_used
        Names that it and those before it have given: a new segment gets a new one.
    named_after
        That week, kept with the model: see `naming_chain`.
    """
    if len(frame) < 10 * settings.k_max:
        return NotTrained(f"not_trained: needs {10 * settings.k_max} people, found {len(frame)}")
    features = [name for name in settings.features or SEGMENT_FEATURES if name in frame.names]
    if not features:
        return NotTrained(f"not_trained: needs one of the features {', '.join(settings.features or SEGMENT_FEATURES)}")
    values = compressed(frame.columns(features))
    rng = np.random.default_rng(seed)
    sample = np.sort(rng.choice(len(frame), min(len(frame), settings.max_fit_rows), replace=False))
    looked_at = np.sort(rng.choice(len(frame), min(len(frame), SILHOUETTE_ROWS), replace=False))
    with threadpool_limits(1):
        scaling = _fit_scaling(values[sample])
        scaled = scaling.transform(values)
        n_kinds = len(np.unique(scaled[sample], axis=0))
        if n_kinds <= settings.k_min:
            return NotTrained(
                f"not_trained: needs more than {settings.k_min} people who differ in what they do, found {n_kinds}"
            )
        silhouettes, inertias, shares_by_k, fits = {}, {}, {}, {}
        for k in range(settings.k_min, min(settings.k_max, n_kinds - 1) + 1):
            fits[k] = kmeans(scaled[sample], k, seed=seed, n_init=settings.n_init)
            inertias[k] = float(fits[k].inertia_)
            shares_by_k[k] = float(np.bincount(fits[k].labels_, minlength=k).min() / len(sample))
            silhouettes[k] = _silhouette(scaled[looked_at], fits[k].predict(scaled[looked_at]), seed)
        # A number of segments of which one would be too small to pass the gate is no choice if there is another.
        large = [k for k, share in shares_by_k.items() if share >= LEAST_SHARE] or list(fits)
        k = max(large, key=lambda n: (round(silhouettes[n], 4), -n))
        fitted = _polished(fits[k], scaled) if len(sample) < len(scaled) else fits[k]
        shuffled = np.column_stack([rng.permutation(column) for column in scaled[looked_at].T])
        shuffled_fit = kmeans(shuffled, k, seed=seed, n_init=3)
        shuffled_silhouette = _silhouette(shuffled, shuffled_fit.labels_, seed)
        clusters = fitted.predict(scaled)
    names = matched_names(frame.profile_ids, clusters, k, before, names_used)
    pipeline = Pipeline([*scaling.steps, ("model", fitted)])
    artifact, artifact_format = to_bytes(SklearnScorer(pipeline))
    shares = np.bincount(clusters, minlength=k) / len(clusters)
    row = {
        "model": model, "week": week, "algorithm": "kmeans", "is_chosen": True, "feature_names": features, "n_train": len(sample),
        "params": json.dumps({"k": k, "n_init": settings.n_init, "k_min": settings.k_min, "k_max": settings.k_max, "named_after": str(named_after) if named_after else None}),
        "train_from_date": train_dates[0], "train_to_date": train_dates[1], "seed": seed, "classes": names, "calibration": None, "reference": None,
        "data_fingerprint": frame.fingerprint([""] * len(frame)),
        "library_versions": json.dumps({"scikit-learn": sklearn.__version__, "numpy": np.__version__}),
        "explanation": json.dumps({
            "silhouette_by_k": silhouettes, "inertia_by_k": inertias, "least_share_by_k": shares_by_k, "inertia": float(fitted.inertia_), "iterations": int(fitted.n_iter_), "most_iterations": MAX_ITERATIONS,
            "is_converged": bool(fitted.n_iter_ < MAX_ITERATIONS), "shuffled_silhouette": shuffled_silhouette,
        }),
        "artifact": artifact, "artifact_format": artifact_format, "artifact_sha256": digest_of(artifact),
    }  # fmt: skip
    labels = np.array(names, dtype=object)[clusters]
    return Segmented(
        row, frame.profile_ids, labels, _traits(frame.columns(features), scaled, clusters, names, features, model=model, week=week),
        silhouettes[k], shuffled_silhouette, float(fitted.inertia_), float(shares.min()),
    )  # fmt: skip


def _silhouette(values: np.ndarray, labels: np.ndarray, seed: int) -> float:
    return float(silhouette_score(values, labels, random_state=seed)) if len(set(labels.tolist())) > 1 else -1.0


def naming_chain(
    week: dt.date, trained: Iterable[dt.date], recorded: Mapping[dt.date, dt.date | None]
) -> list[dt.date]:
    """Return the weeks from which the segments of a week have their names, nearest first.

    A week is named after the newest that is trained before it, and stays so: a week trained later in between changes no name.

    Examples
    --------
    >>> d = dt.date
    >>> naming_chain(d(2026, 1, 19), [d(2026, 1, 5), d(2026, 1, 12)], {d(2026, 1, 12): None})
    [datetime.date(2026, 1, 12)]
    """
    known = sorted(trained)
    chain: list[dt.date] = []
    at: dt.date | None = week
    while at is not None:
        newest = max((other for other in known if other < at), default=None)
        at = recorded.get(at, newest)
        if at is not None:
            chain.append(at)
    return chain


def matched_names(
    profile_ids: Sequence[str] | np.ndarray,
    clusters: np.ndarray,
    k: int,
    before: Mapping[str, str],
    names_used: Sequence[str] = (),
) -> list[str]:
    """Name clusters after the segments whose people they hold: the matching that keeps most people's name.

    A person's segment then changes only if the person moved, not because the algorithm numbered its clusters otherwise.
    """
    old = sorted(set(before.values()))
    shared = np.zeros((k, len(old)))
    place = {name: i for i, name in enumerate(old)}
    for person, cluster in zip(profile_ids, clusters, strict=True):
        if person in before:
            shared[cluster, place[before[person]]] += 1
    names: dict[int, str] = {}
    if len(old):
        for cluster, column in zip(*linear_sum_assignment(-shared), strict=True):
            if shared[cluster, column] > 0:
                names[int(cluster)] = old[column]
    taken = {*names.values(), *names_used, *old}
    fresh = (f"s{i}" for i in range(1, 10_000) if f"s{i}" not in taken)
    return [names[cluster] if cluster in names else next(fresh) for cluster in range(k)]


def _traits(
    raw: np.ndarray,
    scaled: np.ndarray,
    clusters: np.ndarray,
    names: Sequence[str],
    features: Sequence[str],
    *,
    model: str,
    week: dt.date,
) -> list[dict[str, Any]]:
    """What distinguishes each segment: the features whose mean lies furthest from everybody's, on the model's scale."""
    rows = []
    overall = [_mean(column) for column in raw.T]
    for cluster, segment in enumerate(names):
        inside = clusters == cluster
        z = scaled[inside].mean(axis=0)
        means = [_mean(column) for column in raw[inside].T]
        for rank, i in enumerate(np.argsort(-np.abs(z), kind="stable")[:N_TRAITS], start=1):
            rows.append({
                "week": week, "model": model, "segment": segment, "feature": features[i], "mean": means[i], "overall_mean": overall[i], "z_score": float(z[i]),
                "rank": rank, "n_people": int(inside.sum()), "people_share": float(inside.mean()),
            })  # fmt: skip
    return rows


def _mean(column: np.ndarray) -> float | None:
    """The mean of what is known; None where nothing is."""
    known = column[~np.isnan(column)]
    return float(known.mean()) if len(known) else None


def assign(row: Mapping[str, Any], frame: Frame) -> tuple[np.ndarray, np.ndarray]:
    """Put people into the segments of a stored model.

    Returns
    -------
    segments, scores
        Shape (n,): the name, and 1 - d1/d2 of the distances to the two nearest centres, 0 on the border, 1 at the centre.
    """
    pipeline = load_skops(stored_bytes(row))
    if not isinstance(pipeline, Pipeline):
        raise ArtifactError(f"found a {type(pipeline).__name__}, expected a pipeline")
    with threadpool_limits(1):
        distances = pipeline.transform(compressed(frame.columns(row["feature_names"])))
    order = np.argsort(distances, axis=1, kind="stable")
    nearest = np.take_along_axis(distances, order[:, :2], axis=1)
    scores = 1 - nearest[:, 0] / np.maximum(nearest[:, 1], 1e-12)
    return np.array(list(row["classes"]), dtype=object)[order[:, 0]], scores
