"""Reading what the weekly report tells, from the tables of the warehouse.

Not here: the page (`evaluation.report`).
"""

import datetime as dt
import json

from profile_pipeline.evaluation.report import ModelPart, ReportInput
from profile_pipeline.settings import Settings
from profile_pipeline.warehouse.duckdb import Warehouse


def read_report(w: Warehouse, settings: Settings, week: dt.date) -> ReportInput:
    """Read all rows of a week."""
    at = {"week": week}
    parts = []
    for name in settings.models:
        of = at | {"model": name}
        where = "week = $week and model = $model"
        rows = w.dicts(
            f"select * exclude (artifact) from models.{name} where week = $week order by is_chosen desc, algorithm", at
        )
        for row in rows:
            row["explanation"] = json.loads(row["explanation"] or "{}")
            row["params"] = json.loads(row["params"] or "{}")
        parts.append(
            ModelPart(
                name=name,
                task=settings.models[name].task,
                rows=rows,
                gate=next(iter(w.dicts(f"select * from evaluation.gates where {where}", of)), None),
                metrics=w.dicts(
                    f"select * from evaluation.metrics where {where} order by split, algorithm, metric", of
                ),
                calibration=w.dicts(
                    f"select * from evaluation.calibration where {where} order by split, class, bin", of
                ),
                confusion=w.dicts(f"select * from evaluation.confusion where {where}", of),
                curves=w.dicts(
                    f"select * from evaluation.curves where {where} order by split, curve, class, point", of
                ),
                importance=w.dicts(f"select * from evaluation.importance where {where} order by rank", of),
                selected=w.dicts(
                    f"select * from models.selected_features where {where} order by importance desc, feature", of
                ),
                traits=w.dicts(f"select * from models.segment_traits where {where} order by segment, rank", of),
            )
        )
    return ReportInput(
        week=week,
        models=parts,
        recommendations=w.dicts(
            "select * from evaluation.metrics where week = $week and model = 'recommendations' order by metric, algorithm",
            at,
        ),
        training=settings.training.model_dump(mode="json"),
        is_contest_week=any(len(part.rows) > 1 for part in parts),
    )
