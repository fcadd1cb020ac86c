"""Labels: the only code that looks past the day as of which something was known.

Here are cohorts, and the queries that give a label. Not here: features, or models.
"""

import datetime as dt
import difflib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from profile_pipeline.features.matrix import CRM_COLUMNS, known_value
from profile_pipeline.raw.roles import COUNT_OF_ROLE
from profile_pipeline.settings import ATTRIBUTE_NAME, AttributeModelSettings, OutcomeModelSettings
from profile_pipeline.warehouse.sql import sql_file

FIRST_COHORT_DAY = 28
LATEST_SHARE = 0.2
WEEK = dt.timedelta(days=7)


class LabelError(Exception):
    """A label can't be made; the text says what to set."""


@dataclass(frozen=True)
class Cohorts:
    """Days as of which people are looked at: to train on, and the newest one whose outcome is known, to be judged by."""

    train: tuple[dt.date, ...]
    future: dt.date | None


def cohorts_of(week: dt.date, *, calendar_start: dt.date, horizon_days: int) -> Cohorts:
    """Return the cohorts of an outcome model of a week.

    Cohorts are week ends from the calendar's 28th day on. `future` is the newest whose horizon had ended by the end of the week;
    the training cohorts lie a whole horizon before it, so that no label of theirs overlaps with it.

    Examples
    --------
    >>> monday = dt.date(2026, 1, 5)
    >>> cohorts_of(monday + 7 * WEEK, calendar_start=monday, horizon_days=14).train == (monday + dt.timedelta(days=27),)
    True
    """
    horizon = dt.timedelta(days=horizon_days)
    end = week + dt.timedelta(days=6)
    first_day = calendar_start + dt.timedelta(days=FIRST_COHORT_DAY - 1)
    days = []
    day = end
    while day >= first_day:
        days.append(day)
        day -= WEEK
    closed = [day for day in days if day + horizon <= end]
    if not closed:
        return Cohorts((), None)
    future = closed[0]
    return Cohorts(tuple(sorted(day for day in closed if day + horizon <= future)), future)


def outcome_labels(settings: OutcomeModelSettings, cohort: dt.date) -> tuple[str, dict[str, Any]]:
    """Return the query of (profile_id, has_happened) and its parameters."""
    roles = None if settings.happens == "any" else settings.happens
    measure = "tiles.n_events" if roles is None else " + ".join(f"tiles.{COUNT_OF_ROLE[role]}" for role in roles)
    text = sql_file("models.outcome_labels").replace("{measure}", measure)
    return text, {
        "cohort": cohort,
        "active_after": cohort - dt.timedelta(days=settings.active_days),
        "label_until": cohort + dt.timedelta(days=settings.horizon_days),
    }


def label_expression(settings: AttributeModelSettings, *, of: str, as_of_date: str) -> str:
    """Return the SQL of an attribute model's label: what the CRM knows, in bands where there are some.

    Parameters
    ----------
    of
        Name of the relation that holds the CRM's columns.
    as_of_date
        SQL of the day as of which an age is told.

    Raises
    ------
    LabelError
        If the CRM has no such column.
    """
    name = settings.label
    path = name.removeprefix("attributes.")
    if path == name and name not in CRM_COLUMNS:
        near = difflib.get_close_matches(name, CRM_COLUMNS, n=3)
        raise LabelError(
            f"found the label {name!r}, expected attributes.<name> or one of {', '.join(CRM_COLUMNS)}"
            + (f"; did you mean {' or '.join(near)}?" if near else "")
        )
    if path != name and (path in CRM_COLUMNS or not ATTRIBUTE_NAME.match(path)):
        raise LabelError(f"found the label {name!r}, expected attributes.<name> of an attribute without quotes")
    known = known_value(path, of=of)
    if not settings.bands:
        return known
    if name == "birth_year":
        return banded(f"(year({as_of_date}) - {of}.birth_year)", settings.bands)
    if name == "birth_date":
        return banded(f"date_sub('year', {of}.birth_date, {as_of_date})", settings.bands)
    return banded(f"try_cast({known} as double)", settings.bands)


def check_labels(models: Mapping[str, object]) -> list[str]:
    """Return the faults of the labels of all attribute models."""
    faults = []
    for name, model in models.items():
        if isinstance(model, AttributeModelSettings):
            try:
                label_expression(model, of="users", as_of_date="$as_of_date")
            except LabelError as error:
                faults.append(f"models.{name}.label: {error}")
    return faults


def attribute_labels(settings: AttributeModelSettings, as_of_date: dt.date) -> tuple[str, dict[str, Any]]:
    """Return the query of (profile_id, label, time) and its parameters; time is null where the model names none."""
    expression = label_expression(settings, of="users", as_of_date="$as_of_date")
    time = "cast(null as varchar)" if settings.time is None else known_value(settings.time, of="users")
    text = sql_file("models.attribute_labels").replace("{label}", expression).replace("{time}", time)
    return text, {"as_of_date": as_of_date}


def latest(times: Sequence[float | None]) -> np.ndarray:
    """Say which rows are the last fifth by time; rows of one time stay together, rows without one are none of them.

    Examples
    --------
    >>> latest([1.0, 5.0, 2.0, 3.0, 4.0, None]).tolist()
    [False, True, False, False, False, False]
    """
    known = np.array([np.nan if time is None else time for time in times], dtype=float)
    told = np.sort(known[~np.isnan(known)])
    if not len(told):
        return np.zeros(len(known), dtype=bool)
    border = told[min(len(told) - 1, int(np.ceil(len(told) * (1 - LATEST_SHARE))))]
    return known >= border


def banded(expression: str, bands: tuple[int, ...]) -> str:
    """Return an expression that names the band of a number: under the first, between, from the last on."""
    cases = [f"when {expression} < {bands[0]} then 'under {bands[0]}'"]
    cases += [f"when {expression} < {high} then '{low} to {high - 1}'" for low, high in itertools.pairwise(bands)]
    return f"case when {expression} is null then null {' '.join(cases)} else '{bands[-1]} and over' end"
