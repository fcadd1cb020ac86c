"""From scores to probabilities, fitted on scores of rows that the model had not seen.

Two classes: a sigmoid; Platt, "Probabilistic outputs for support vector machines" (1999), with his smoothed targets. More classes:
a softmax with one slope for all and an offset each, the bias-corrected temperature scaling of Alexandari, Kundaje and Shrikumar,
"Maximum likelihood with bias-corrected calibration" (2020). Not here: the models.
"""

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_softmax, softmax

# Slope and offset of each column of scores.
Calibration = list[list[float]]


def fit_calibration(scores: np.ndarray, labels: np.ndarray, *, n_classes: int) -> Calibration:
    """Fit scores, shape (n, k), to class numbers, shape (n,); of two classes k is 1."""
    spread = float(np.std(scores)) or 1.0
    z = scores / spread
    if n_classes == 2:
        return _fit_sigmoid(z[:, 0], labels == 1, spread)
    return _fit_softmax(z, labels, spread, n_classes)


def _fit_sigmoid(z: np.ndarray, positive: np.ndarray, spread: float) -> Calibration:
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    target = np.where(positive, (n_positive + 1) / (n_positive + 2), 1 / (n_negative + 2))

    def loss(ab: np.ndarray) -> float:
        t = ab[0] * z + ab[1]
        return float(np.mean(np.logaddexp(0, t) - target * t))

    start = np.array([1.0, np.log((n_positive + 1) / (n_negative + 1))])
    best = minimize(loss, x0=start, method="L-BFGS-B", bounds=[(0, None), (None, None)])
    return [[float(best.x[0] / spread), float(best.x[1])]]


def _fit_softmax(z: np.ndarray, labels: np.ndarray, spread: float, n_classes: int) -> Calibration:
    rows = np.arange(len(labels))

    def loss(ab: np.ndarray) -> float:
        # The small term keeps the offset of a class that no row has finite.
        return float(-log_softmax(ab[0] * z + ab[1:], axis=1)[rows, labels].mean() + 1e-4 * (ab[1:] ** 2).mean())

    start = np.concatenate([[1.0], np.log(np.bincount(labels, minlength=n_classes) + 1.0)])
    start[1:] -= start[1:].mean()
    best = minimize(loss, x0=start, method="L-BFGS-B", bounds=[(0, None), *[(None, None)] * n_classes])
    return [[float(best.x[0] / spread), float(offset)] for offset in best.x[1:]]


def probabilities(scores: np.ndarray, calibration: Calibration) -> np.ndarray:
    """Return probabilities, shape (n, classes), rows summing to 1; of two classes the positive one is last."""
    slopes, offsets = np.array(calibration).T
    margins = scores * slopes + offsets
    if margins.shape[1] == 1:
        positive = expit(margins[:, 0])
        return np.column_stack([1 - positive, positive])
    return np.asarray(softmax(margins, axis=1))
