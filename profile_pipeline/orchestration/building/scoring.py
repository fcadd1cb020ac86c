"""Scoring the people of a day with the models that serve it.

Imported by a step when it runs, because it brings scikit-learn along. Not here: predicting (`models.predict`), Dagster.
"""

import datetime as dt
from typing import Any

import numpy as np
import pyarrow as pa

from profile_pipeline.models.frame import Frame
from profile_pipeline.models.predict import item_names_of, predict, share_names_of
from profile_pipeline.models.segments import assign
from profile_pipeline.orchestration.building.frames import read_frame
from profile_pipeline.settings import SegmentModelSettings, Settings
from profile_pipeline.warehouse.duckdb import Warehouse


def score_day(w: Warehouse, settings: Settings, day: dt.date, *, is_final: bool) -> pa.Table:
    """Score the people of a day by the newest models that passed their gates and whose weeks had ended."""
    parts: list[pa.Table] = []
    for name, model in settings.models.items():
        row = serving_model(w, name, day)
        if row is None:
            continue
        frame = read_frame(w, settings, day, share_names_of(row["feature_names"]), item_names_of(row["feature_names"]))
        if isinstance(model, SegmentModelSettings):
            segments, sure = assign(row, frame)
            none = np.full(len(frame), np.nan)
            parts.append(_score_rows(frame, day, name, row["week"], segments, none, sure, none, is_final=is_final))
            continue
        predicted = predict(row, frame)
        for i, label in enumerate(predicted.classes):
            classes = np.full(len(frame), label, dtype=object)
            parts.append(
                _score_rows(
                    frame,
                    day,
                    name,
                    row["week"],
                    classes,
                    predicted.probabilities[:, i],
                    predicted.scores[:, i],
                    predicted.percentiles[:, i],
                    is_final=is_final,
                )
            )
    empty = np.empty(0)
    nobody = Frame(np.empty(0, dtype=object), empty, (), np.empty((0, 0)))
    return (
        pa.concat_tables(parts)
        if parts
        else _score_rows(nobody, day, "", day, empty, empty, empty, empty, is_final=is_final)
    )


def serving_model(w: Warehouse, name: str, day: dt.date) -> dict[str, Any] | None:
    """Return the row of the model that serves a day: the newest that passed its gate and whose week ended before."""
    rows = w.dicts(
        f"select m.* from models.{name} as m join evaluation.gates as g on g.model = m.model and g.week = m.week and g.version = m.version and g.is_passed"
        " where m.is_chosen and m.week + 7 <= $day order by m.week desc limit 1",
        {"day": day},
    )
    return rows[0] if rows else None


def _score_rows(
    frame: Frame,
    day: dt.date,
    model: str,
    week: dt.date,
    classes: np.ndarray,
    probability: np.ndarray,
    score: np.ndarray,
    percentile: np.ndarray,
    *,
    is_final: bool,
) -> pa.Table:
    n = len(frame)
    return pa.table({
        "profile_id": pa.array(frame.profile_ids.tolist(), pa.string()), "as_of_date": pa.array([day] * n, pa.date32()), "model": pa.array([model] * n, pa.string()),
        "class": pa.array(classes.tolist(), pa.string()), "week": pa.array([week] * n, pa.date32()), "probability": pa.array(probability, pa.float64(), from_pandas=True),
        "score": pa.array(score, pa.float64()), "percentile": pa.array(percentile, pa.float64(), from_pandas=True), "is_final": pa.array([is_final] * n, pa.bool_()),
    })  # fmt: skip
