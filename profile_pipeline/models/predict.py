"""Scoring people with a stored model, in batches.

Not here: training, or where the rows come from.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from profile_pipeline.features.matrix import CATEGORY_PREFIX, INTEREST_PREFIX, ITEM_PREFIX
from profile_pipeline.models.artifact import from_bytes, stored_bytes
from profile_pipeline.models.calibrate import probabilities
from profile_pipeline.models.frame import Frame

BATCH_ROWS = 50_000


@dataclass(frozen=True)
class Predicted:
    """Scores of people: of two classes the positive one only.

    Attributes
    ----------
    classes
        The k classes that are told.
    probabilities, scores, percentiles
        Shape (n, k).
    """

    classes: tuple[str, ...]
    probabilities: np.ndarray
    scores: np.ndarray
    percentiles: np.ndarray


def share_names_of(feature_names: list[str]) -> list[str]:
    """Return the interests and categories that a model's features need."""
    return [name for name in feature_names if name.startswith((INTEREST_PREFIX, CATEGORY_PREFIX))]


def item_names_of(feature_names: list[str]) -> list[str]:
    """Return the items that a model's features need."""
    return [name.removeprefix(ITEM_PREFIX) for name in feature_names if name.startswith(ITEM_PREFIX)]


def predict(row: Mapping[str, Any], frame: Frame) -> Predicted:
    """Score the people of a frame with a row of the model's table."""
    scorer = from_bytes(stored_bytes(row), row["artifact_format"])
    calibration, reference, classes = (
        json.loads(row["calibration"]),
        json.loads(row["reference"]),
        tuple(row["classes"]),
    )
    features = frame.features(row["feature_names"])
    with threadpool_limits(1):
        parts = [scorer.scores(features.rows(slice(i, i + BATCH_ROWS))) for i in range(0, len(features), BATCH_ROWS)]
    scores = np.vstack(parts) if parts else np.empty((0, len(calibration)))
    p = probabilities(scores, calibration) if len(scores) else np.empty((0, len(classes)))
    grid = np.linspace(0, 1, len(reference[0]))
    percentiles = np.column_stack(
        [np.interp(scores[:, i], *_strictly(reference[i], grid)) for i in range(scores.shape[1])]
    )
    if len(classes) == 2:
        return Predicted(classes[1:], p[:, 1:], scores, percentiles)
    return Predicted(classes, p, scores, percentiles)


def _strictly(points: list[float], grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Quantiles without repeats, each with its highest share."""
    values, last = np.unique(points, return_index=True)
    shares = grid[np.append(last[1:], len(points)) - 1]
    return values, shares
