"""Training the models of a week: what is read under the lease, trained without it, and written in one transaction.

Not here: the models (`models/`), or Dagster's side (`assets/models.py`).
"""

import datetime as dt
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from profile_pipeline.models.contest import NotTrained, Trained, train_classifier
from profile_pipeline.models.frame import Frame
from profile_pipeline.models.inputs import ITEM_ALGORITHM, forbidden_features
from profile_pipeline.models.labels import (
    attribute_labels,
    cohorts_of,
    latest,
    outcome_class,
    outcome_classes,
    outcome_labels,
)
from profile_pipeline.models.population import population_sql
from profile_pipeline.models.segments import Segmented, naming_chain, train_segments
from profile_pipeline.models.tables import POPULATION, PREDICTIONS, SEGMENT_MEMBERS, SEGMENT_TRAITS, SELECTED_FEATURES
from profile_pipeline.orchestration.building.days import last_day_of
from profile_pipeline.orchestration.building.frames import (
    popular_categories,
    popular_interests,
    popular_items,
    read_frame,
)
from profile_pipeline.orchestration.building.model_rows import write_rows
from profile_pipeline.orchestration.building.naming import NamedAfter, recorded_names, trained_weeks
from profile_pipeline.settings import AttributeModelSettings, OutcomeModelSettings, SegmentModelSettings, Settings
from profile_pipeline.table import Table
from profile_pipeline.warehouse.duckdb import Warehouse


@dataclass
class Material:
    """What the models of a week are trained on, read from the warehouse."""

    frames: dict[dt.date, Frame] = field(default_factory=dict)
    labels: dict[str, dict[dt.date, dict[str, str]]] = field(default_factory=dict)
    times: dict[str, dict[str, float]] = field(default_factory=dict)
    segments_before: dict[str, dict[str, str]] = field(default_factory=dict)
    segment_names: dict[str, list[str]] = field(default_factory=dict)
    named_after: dict[str, dt.date | None] = field(default_factory=dict)


def read_material(
    w: Warehouse, settings: Settings, week: dt.date, names: list[str], named_after: NamedAfter
) -> Material:
    """Read frames and labels of the models of a week.

    Parameters
    ----------
    named_after
        What is known beforehand of the weeks after which segments are named.
    """
    material = Material()
    recorded = recorded_names(w, settings)
    end = last_day_of(week)
    days: set[dt.date] = set()
    for name in names:
        model = settings.models[name]
        if isinstance(model, AttributeModelSettings):
            sql, parameters = attribute_labels(model, end)
            rows = w.rows(sql, parameters)
            material.labels[name] = {end: {person: label for person, label, _ in rows}}
            material.times[name] = {person: time for person, _, time in rows}
            days.add(end)
        elif isinstance(model, OutcomeModelSettings):
            found = cohorts_of(week, calendar_start=settings.calendar.start, horizon_days=model.horizon_days)
            material.labels[name] = {}
            for cohort in (*found.train, *((found.future,) if found.future else ())):
                sql, parameters = outcome_labels(model, cohort)
                material.labels[name][cohort] = {p: outcome_class(name, model, h) for p, h in w.rows(sql, parameters)}
                days.add(cohort)
        else:
            days.add(end)
            known = {**recorded[name], **named_after.get(name, {})}
            _read_names(w, material, name, naming_chain(week, trained_weeks(w, name), known))
    present = set(w.days("select distinct as_of_date from features.user_features"))
    if days & present:
        reads_items = ITEM_ALGORITHM in (*settings.training.algorithms, settings.training.default_algorithm)
        has_attributes = any(isinstance(settings.models[name], AttributeModelSettings) for name in names)
        items = popular_items(w, end) if reads_items and has_attributes and end in present else []
        # Cohorts are joined row by row, so they have the columns of the oldest; the newest frame has its own.
        oldest = min(days & present)
        shares = {
            known_on: [*popular_interests(w, known_on), *popular_categories(w, settings.features.categories, known_on)]
            for known_on in {oldest, end} & present
        }
        for day in sorted(days & present):
            # Outcomes have a row by person and cohort: with all items of each they would not fit.
            material.frames[day] = read_frame(
                w, settings, day, shares[end if day == end else oldest], items if day == end else []
            )
    return material


def _read_names(w: Warehouse, material: Material, name: str, chain: list[dt.date]) -> None:
    """Read who was in which segment of the first of these weeks, and all names that they have given."""
    after = material.named_after[name] = chain[0] if chain else None
    members = "select profile_id, segment from models.segment_members where model = $m and week = $w"
    material.segments_before[name] = dict(w.rows(members, {"m": name, "w": after}))
    given = "select distinct segment from models.segment_traits where model = $m and list_contains($weeks, week)"
    material.segment_names[name] = sorted(segment for (segment,) in w.rows(given, {"m": name, "weeks": chain}))


def train_week(
    material: Material,
    settings: Settings,
    week: dt.date,
    names: list[str],
    *,
    hold_contest: bool,
    say: Callable[[str], None],
) -> dict[str, Trained | Segmented | NotTrained]:
    """Train the models of a week; nothing is read or written."""
    end = last_day_of(week)
    results: dict[str, Trained | Segmented | NotTrained] = {}
    for name in names:
        model = settings.models[name]
        common: dict[str, Any] = {"model": name, "week": week, "seed": settings.seed}
        if isinstance(model, SegmentModelSettings):
            frame = material.frames.get(end)
            results[name] = (
                NotTrained(f"not_trained: needs features.user_features of {end}")
                if frame is None
                else train_segments(
                    frame,
                    settings=model,
                    train_dates=(settings.calendar.start, end),
                    before=material.segments_before[name],
                    names_used=material.segment_names[name],
                    named_after=material.named_after[name],
                    **common,
                )
            )
        elif isinstance(model, AttributeModelSettings):
            results[name] = _train_attribute(material, settings, model, end, hold_contest=hold_contest, **common)
        else:
            results[name] = _train_outcome(material, settings, model, hold_contest=hold_contest, **common)
        outcome = results[name]
        say(
            f"{name} of week {week}: {outcome.reason if isinstance(outcome, NotTrained) else outcome.chosen if isinstance(outcome, Trained) else 'k-means'}"
        )
    return results


def _train_attribute(
    material: Material,
    settings: Settings,
    options: AttributeModelSettings,
    end: dt.date,
    *,
    hold_contest: bool,
    **common: Any,
) -> Trained | NotTrained:
    labels = material.labels[common["model"]][end]
    frame = material.frames.get(end)
    if frame is None:
        return NotTrained(f"not_trained: needs features.user_features of {end}")
    keep = np.array([p in labels for p in frame.profile_ids], dtype=bool)
    labelled = frame.rows(keep).without(forbidden_features(frame.names, options.leave_out, options.label))
    told = [labels[p] for p in labelled.profile_ids]
    classes = sorted(set(told))
    if len(classes) < 2:
        return NotTrained(f"not_trained: needs two classes of {options.label}, found {len(classes)}")
    future = None
    if options.time is not None:
        times = material.times[common["model"]]
        is_late = latest([times.get(p) for p in labelled.profile_ids])
        if not is_late.any() or is_late.all():
            return NotTrained(f"not_trained: needs two times or more in {options.time}")
        future = (labelled.rows(is_late), [label for label, late in zip(told, is_late, strict=True) if late])
        told = [label for label, late in zip(told, is_late, strict=True) if not late]
        labelled = labelled.rows(~is_late)
    return train_classifier(
        labelled, told, classes=classes, training=settings.training, train_dates=(settings.calendar.start, end), hold_contest=hold_contest,
        min_labels=options.min_labels, future=future, **common,
    )  # fmt: skip


def _train_outcome(
    material: Material, settings: Settings, options: OutcomeModelSettings, *, hold_contest: bool, **common: Any
) -> Trained | NotTrained:
    name, week = common["model"], common["week"]
    found = cohorts_of(week, calendar_start=settings.calendar.start, horizon_days=options.horizon_days)
    if not found.train or found.future is None:
        return NotTrained(
            f"not_trained: needs a cohort from day 28 on whose {options.horizon_days} days ended {options.horizon_days} days before the newest closed one"
        )
    missing = [day for day in (*found.train, found.future) if day not in material.frames]
    if missing:
        return NotTrained(f"not_trained: needs features.user_features of {', '.join(map(str, missing))}")

    def rows_of(days: tuple[dt.date, ...]) -> tuple[Frame, list[str]]:
        frames, told = [], []
        for day in days:
            labels = material.labels[name][day]
            frame = material.frames[day]
            part = frame.rows(np.array([p in labels for p in frame.profile_ids], dtype=bool))
            part = part.without(forbidden_features(frame.names, options.leave_out))
            frames.append(part)
            told += [labels[p] for p in part.profile_ids]
        joined = Frame(
            np.concatenate([f.profile_ids for f in frames]),
            np.concatenate([f.cohorts for f in frames]),
            frames[0].names,
            np.vstack([f.values for f in frames]),
        )
        return joined, told

    train, labels = rows_of(found.train)
    future = rows_of((found.future,))
    if not len(future[0]):
        return NotTrained(
            f"not_trained: needs people who were active in the {options.active_days} days before {found.future}"
        )
    last = found.train[-1] + dt.timedelta(days=options.horizon_days)
    return train_classifier(
        train, labels, classes=outcome_classes(name), training=settings.training, train_dates=(settings.calendar.start, last),
        hold_contest=hold_contest, min_labels=options.min_labels, future=future, **common,
    )  # fmt: skip


def predictions_table(name: str, week: dt.date, trained: Trained) -> pa.Table:
    """Return the rows of `models.predictions`: of two classes the positive one only."""
    columns: dict[str, list[Any]] = {
        c: []
        for c in ("week", "model", "algorithm", "split", "as_of_date", "profile_id", "class", "probability", "actual")
    }
    for split, scored in trained.splits.items():
        days = scored.cohorts.astype("datetime64[D]").astype(object).tolist()
        actual = [trained.classes[i] for i in scored.labels]
        for algorithm, p in scored.probabilities.items():
            for number in range(1, 2) if len(trained.classes) == 2 else range(len(trained.classes)):
                n = len(actual)
                columns["week"] += [week] * n
                columns["model"] += [name] * n
                columns["algorithm"] += [algorithm] * n
                columns["split"] += [split] * n
                columns["as_of_date"] += days
                columns["profile_id"] += scored.profile_ids.tolist()
                columns["class"] += [trained.classes[number]] * n
                columns["probability"] += p[:, number].tolist()
                columns["actual"] += actual
    return pa.table(columns)


def write_model(
    w: Warehouse, table: Table, name: str, week: dt.date, result: Trained | Segmented | NotTrained, settings: Settings
) -> None:
    """Write all that a model of a week leaves, in the transaction of its week."""
    version_of = settings.fingerprint("models", "training", "seed")
    rows: list[dict[str, Any]] = []
    selected: list[dict[str, Any]] = []
    traits: list[dict[str, Any]] = []
    members: list[dict[str, Any]] = []
    if isinstance(result, NotTrained):
        rows = [
            {
                "model": name,
                "week": week,
                "algorithm": "none",
                "is_chosen": False,
                "explanation": json.dumps({"not_trained": result.reason}),
            }
        ]
    elif isinstance(result, Segmented):
        rows, traits = [result.row], result.traits
        members = [
            {"week": week, "model": name, "profile_id": p, "segment": s}
            for p, s in zip(result.profile_ids.tolist(), result.segments.tolist(), strict=True)
        ]
    else:
        rows = [
            row
            | {
                "explanation": json.dumps(
                    json.loads(row["explanation"]) | ({"importance": result.importance} if row["is_chosen"] else {})
                )
            }
            for row in result.rows
        ]
        selected = [
            {
                "week": week,
                "feature": s.feature,
                "model": name,
                "importance": s.importance,
                "is_kept": s.is_kept,
                "reason": s.reason,
            }
            for s in result.selected
        ]
    for row in rows:
        row["version"] = hashlib.sha256(
            f"{version_of}|{row.get('data_fingerprint')}|{row['algorithm']}".encode()
        ).hexdigest()[:12]
    write_rows(w, table, rows, week=week)
    write_rows(w, SELECTED_FEATURES, selected, week=week, model=name)
    write_rows(w, SEGMENT_TRAITS, traits, week=week, model=name)
    write_rows(w, SEGMENT_MEMBERS, members, week=week, model=name)
    w.execute("delete from models.predictions where week = $week and model = $model", {"week": week, "model": name})
    if isinstance(result, Trained):
        w.insert(PREDICTIONS, predictions_table(name, week, result))


def write_population(w: Warehouse, week: dt.date) -> None:
    w.replace_days(POPULATION, population_sql(), [week], {"week": week, "as_of_date": last_day_of(week)})
