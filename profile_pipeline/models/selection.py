"""Which features a model reads: those that tell something about the label in people it was not chosen on.

Not here: the importance of a fitted model. Importance on training rows keeps noise; this does not.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2

N_BINS = 8
SIGNIFICANCE = 0.01
N_SHUFFLES, PRIOR_ROWS = 5, 5.0


@dataclass(frozen=True)
class Selected:
    """A feature that was looked at."""

    feature: str
    importance: float
    is_kept: bool
    reason: str


def binned(column: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Give each value its bin; what is not known has a bin of its own."""
    return np.where(np.isnan(column), len(edges) + 1, np.searchsorted(edges, column, side="right"))


def edges_of(column: np.ndarray) -> np.ndarray:
    """Return inner quantile borders; fewer where values repeat."""
    known = column[~np.isnan(column)]
    return np.unique(np.quantile(known, np.linspace(0, 1, N_BINS + 1)[1:-1])) if len(known) else np.empty(0)


def information_gain(
    bins: np.ndarray, labels: np.ndarray, n_classes: int, *, weight: float = 1.0
) -> tuple[float, float]:
    """Return the information gain in bits, and the p-value of so much by chance (G-test: 2 n ln 2 gain is chi-squared).

    `weight` is what a row counts in the test: people by rows, where rows repeat people.
    """
    n_bins = int(bins.max()) + 1
    counts = (
        np.bincount(bins * n_classes + labels, minlength=n_bins * n_classes).reshape(n_bins, n_classes).astype(float)
    )
    counts = counts[counts.sum(axis=1) > 0]
    n = counts.sum()
    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0, keepdims=True) / n
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(counts > 0, counts * np.log(counts / expected), 0.0)
    g = 2 * float(terms.sum())
    freedom = max(1, (counts.shape[0] - 1) * (n_classes - 1))
    return g / (2 * n * np.log(2)), float(chi2.sf(g * weight, freedom))


def held_out_gain(bins: np.ndarray, labels: np.ndarray, groups: np.ndarray, n_classes: int, *, seed: int) -> float:
    """Return what is lost, in bits a row, when the feature is shuffled among people whom its class rates were not counted on.

    Both halves take both parts; below zero the rates of one half say less of the other than no knowledge at all.
    """
    rng = np.random.default_rng(seed)
    n_bins = int(bins.max()) + 1
    losses = []
    for half in (0, 1):
        inside = groups == half
        counts = np.bincount(bins[inside] * n_classes + labels[inside], minlength=n_bins * n_classes).astype(float)
        counts = counts.reshape(n_bins, n_classes)
        prior = counts.sum(axis=0, keepdims=True) + 1
        counts += PRIOR_ROWS * prior / prior.sum()
        surprise = -np.log2(counts / counts.sum(axis=1, keepdims=True))
        other, truth = bins[~inside], labels[~inside]
        shuffled = [surprise[rng.permutation(other), truth].mean() for _ in range(N_SHUFFLES)]
        losses.append(float(np.mean(shuffled) - surprise[other, truth].mean()))
    return float(np.mean(losses))


def select_features(
    names: Sequence[str],
    values: np.ndarray,
    labels: np.ndarray,
    *,
    n_classes: int,
    max_features: int,
    people: np.ndarray,
    groups: np.ndarray,
    seed: int,
) -> list[Selected]:
    """Judge every feature on training rows.

    A feature is kept if its binned information gain is significant after Bonferroni's correction, and if shuffling it among
    people it was not counted on loses something; of those, the `max_features` of greatest gain. Of features that tell nothing
    one is kept in a hundred selections.

    Parameters
    ----------
    names
        m names.
    values
        Shape (n, m); NaN is a value like any other.
    labels
        Shape (n,), class numbers.
    people
        Shape (n,): whose row it is. Rows of one person tell less than rows of several, so the test counts people.
    groups
        Shape (n,), 0 or 1 by person: the halves.
    """
    limit = SIGNIFICANCE / max(1, len(names))
    people_share = len(np.unique(people)) / max(1, len(people))
    judged: list[tuple[float, int, str]] = []
    lost: dict[int, float] = {}
    results: dict[int, Selected] = {}
    for place, name in enumerate(names):
        column = values[:, place]
        bins = binned(column, edges_of(column))
        if len(np.unique(bins)) < 2:
            results[place] = Selected(name, 0.0, False, "the same for everybody")
            continue
        gain, p = information_gain(bins, labels, n_classes, weight=people_share)
        if p >= limit:
            results[place] = Selected(name, gain, False, f"no more than chance (p {p:.2g}, needs {limit:.1g})")
            continue
        lost[place] = held_out_gain(bins, labels, groups, n_classes, seed=seed)
        if lost[place] <= 0:
            results[place] = Selected(name, gain, False, "shuffling it among people held out loses nothing")
        else:
            judged.append((gain, place, name))
    judged.sort(key=lambda entry: (-entry[0], entry[2]))
    for rank, (gain, place, name) in enumerate(judged, start=1):
        is_kept = rank <= max_features
        results[place] = Selected(
            name,
            gain,
            is_kept,
            f"gain {gain:.4f} bits, place {rank}; {lost[place]:.4f} bits lost when shuffled among people held out"
            + ("" if is_kept else f"; only {max_features} are kept"),
        )
    return [results[place] for place in range(len(names))]
