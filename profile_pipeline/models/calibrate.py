"""From scores to probabilities: a sigmoid by class, fitted on scores of rows that the model had not seen.

Platt, "Probabilistic outputs for support vector machines" (1999), with his smoothed targets. Not here: the models.
"""

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

Calibration = list[list[float]]


def fit_calibration(scores: np.ndarray, labels: np.ndarray, *, n_classes: int) -> Calibration:
    """Fit slope and offset of each column of scores, shape (n, k), to class numbers, shape (n,)."""
    found: Calibration = []
    for column in range(scores.shape[1]):
        positive = labels == (1 if n_classes == 2 else column)
        n_positive, n_negative = int(positive.sum()), int((~positive).sum())
        target = np.where(positive, (n_positive + 1) / (n_positive + 2), 1 / (n_negative + 2))
        x = scores[:, column]
        spread = float(np.std(x)) or 1.0
        z = x / spread

        def loss(ab: np.ndarray, z: np.ndarray = z, target: np.ndarray = target) -> float:
            t = ab[0] * z + ab[1]
            return float(np.mean(np.logaddexp(0, t) - target * t))

        best = minimize(
            loss,
            x0=np.array([1.0, np.log((n_positive + 1) / (n_negative + 1))]),
            method="L-BFGS-B",
            bounds=[(0, None), (None, None)],
        )
        found.append([float(best.x[0] / spread), float(best.x[1])])
    return found


def probabilities(scores: np.ndarray, calibration: Calibration) -> np.ndarray:
    """Return probabilities, shape (n, classes), rows summing to 1; of two classes the positive one is last."""
    parts = np.column_stack([expit(slope * scores[:, i] + offset) for i, (slope, offset) in enumerate(calibration)])
    if parts.shape[1] == 1:
        return np.column_stack([1 - parts[:, 0], parts[:, 0]])
    return parts / np.maximum(parts.sum(axis=1, keepdims=True), 1e-12)
