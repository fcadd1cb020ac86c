"""What a model has to beat: the shares of the classes, and the best single feature.

Not here: comparing (`evaluation`).
"""

from collections.abc import Sequence

import numpy as np

from profile_pipeline.models.selection import binned, edges_of, information_gain


def majority(labels: np.ndarray, n_rows: int, *, n_classes: int) -> np.ndarray:
    """Give everybody the shares of the classes among the training rows; shape (n_rows, n_classes)."""
    shares = np.bincount(labels, minlength=n_classes) / len(labels)
    return np.tile(shares, (n_rows, 1))


def one_feature(
    values: np.ndarray,
    labels: np.ndarray,
    others: Sequence[np.ndarray],
    *,
    n_classes: int,
    places: Sequence[int] | None = None,
) -> tuple[int, list[np.ndarray]]:
    """Predict by the shares of the classes in bins of the feature with the greatest gain on the training rows.

    Returns
    -------
    int, list of ndarray
        The place of the feature, and the probabilities for each of `others`, shape (n, n_classes).
    """
    gains = []
    for place in places if places is not None else range(values.shape[1]):
        bins = binned(values[:, place], edges_of(values[:, place]))
        gains.append((information_gain(bins, labels, n_classes)[0], -place))
    place = -max(gains)[1]
    edges = edges_of(values[:, place])
    bins = binned(values[:, place], edges)
    prior = np.bincount(labels, minlength=n_classes) / len(labels)
    # One person's worth of prior: an empty bin says no more than the shares of everybody.
    counts = np.array([np.bincount(labels[bins == b], minlength=n_classes) for b in range(len(edges) + 2)]) + prior
    rates = counts / counts.sum(axis=1, keepdims=True)
    return place, [rates[binned(other[:, place], edges)] for other in others]
