"""Which features a model reads: those that tell something about the label in people it was not chosen on.

Not here: the importance of a fitted model. Importance on training rows keeps noise; this does not.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2

N_BINS = 8
SIGNIFICANCE = 0.01


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


def information_gain(bins: np.ndarray, labels: np.ndarray, n_classes: int) -> tuple[float, float]:
    """Return the information gain in bits, and the p-value of so much by chance (G-test: 2 n ln 2 gain is chi-squared)."""
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
    return g / (2 * n * np.log(2)), float(chi2.sf(g, freedom))


def select_features(
    names: Sequence[str],
    values: np.ndarray,
    labels: np.ndarray,
    *,
    n_classes: int,
    max_features: int,
    groups: np.ndarray,
) -> list[Selected]:
    """Judge every feature on training rows.

    A feature is kept if its gain is significant after Bonferroni's correction among half of the people, and again, by itself,
    among the other half; of those, the `max_features` of greatest gain. A feature that tells nothing passes both with a
    chance of one in a hundred times one in a hundred thousand.

    Parameters
    ----------
    names
        m names.
    values
        Shape (n, m); NaN is a value like any other.
    labels
        Shape (n,), class numbers.
    groups
        Shape (n,), 0 or 1 by person: the halves.
    """
    limit = SIGNIFICANCE / max(1, len(names))
    first, second = groups == 0, groups == 1
    judged: list[tuple[float, int, str]] = []
    results: dict[int, Selected] = {}
    for place, name in enumerate(names):
        column = values[:, place]
        edges = edges_of(column[first])
        bins = binned(column, edges)
        if len(np.unique(bins)) < 2:
            results[place] = Selected(name, 0.0, False, "the same for everybody")
            continue
        gain, p_first = information_gain(bins[first], labels[first], n_classes)
        _, p_second = information_gain(bins[second], labels[second], n_classes)
        if p_first >= limit:
            results[place] = Selected(name, gain, False, f"no more than chance (p {p_first:.2g}, needs {limit:.1g})")
        elif p_second >= SIGNIFICANCE:
            results[place] = Selected(
                name, gain, False, f"not confirmed by the other half of the people (p {p_second:.2g})"
            )
        else:
            judged.append((gain, place, name))
    judged.sort(key=lambda entry: (-entry[0], entry[2]))
    for rank, (gain, place, name) in enumerate(judged, start=1):
        is_kept = rank <= max_features
        results[place] = Selected(
            name,
            gain,
            is_kept,
            f"gain {gain:.4f} bits, place {rank}" + ("" if is_kept else f", only {max_features} are kept"),
        )
    return [results[place] for place in range(len(names))]
