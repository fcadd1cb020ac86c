"""Labels: the only code that looks past the day as of which something was known.

Here are cohorts, and the queries that give a label. Not here: features, or models.
"""

import datetime as dt
import difflib
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from profile_pipeline.cleaned.tables import USERS
from profile_pipeline.raw.roles import COUNT_OF_ROLE
from profile_pipeline.settings import AttributeModelSettings, OutcomeModelSettings
from profile_pipeline.warehouse.sql import sql_file

FIRST_COHORT_DAY = 28
WEEK = dt.timedelta(days=7)
LABEL_COLUMNS = tuple(
    c.name for c in USERS.columns if c.name not in ("user_id", "attributes", "is_timeless", "valid_from", "valid_to")
)


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
    closed = closed_cohorts(week, calendar_start=calendar_start, horizon_days=horizon_days)
    if not closed:
        return Cohorts((), None)
    future = closed[-1]
    horizon = dt.timedelta(days=horizon_days)
    return Cohorts(tuple(day for day in closed if day + horizon <= future), future)


def closed_cohorts(week: dt.date, *, calendar_start: dt.date, horizon_days: int) -> tuple[dt.date, ...]:
    """Return all cohorts whose horizon had ended by the end of a week, in order: week ends from the calendar's 28th day on.

    They are what the models of that week and of those before it were trained on or judged by.
    """
    end = week + dt.timedelta(days=6)
    first_day = calendar_start + dt.timedelta(days=FIRST_COHORT_DAY - 1)
    days = (end - n * WEEK for n in range((end - first_day) // WEEK, -1, -1))
    return tuple(day for day in days if day + dt.timedelta(days=horizon_days) <= end)


def outcome_classes(name: str) -> tuple[str, str]:
    """Return the two classes of an outcome; the positive one, last, has the model's name."""
    return (f"no_{name}", name)


def outcome_class(name: str, settings: OutcomeModelSettings, has_happened: bool) -> str:
    """Return the class of a person by whether what is predicted, or what must stay away, has happened."""
    return outcome_classes(name)[has_happened != settings.is_absence]


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
    if name.startswith("attributes."):
        path = name.removeprefix("attributes.")
        if not path.replace("_", "").isalnum():
            raise LabelError(f"found the label {name!r}, expected attributes.<name> of letters, digits and underscores")
        known = f"json_extract_string({of}.attributes, '$.{path}')"
    elif name in LABEL_COLUMNS:
        known = f"{of}.{name}"
    else:
        near = difflib.get_close_matches(name, LABEL_COLUMNS, n=3)
        raise LabelError(
            f"found the label {name!r}, expected attributes.<name> or one of {', '.join(LABEL_COLUMNS)}"
            + (f"; did you mean {' or '.join(near)}?" if near else "")
        )
    if not settings.bands:
        return f"nullif(cast({known} as varchar), '')"
    if name == "birth_year":
        return banded(f"(year({as_of_date}) - {known})", settings.bands)
    if name == "birth_date":
        return banded(f"date_sub('year', {known}, {as_of_date})", settings.bands)
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
    """Return the query of (profile_id, label) and its parameters."""
    expression = label_expression(settings, of="users", as_of_date="$as_of_date")
    return sql_file("models.attribute_labels").replace("{label}", expression), {"as_of_date": as_of_date}


def banded(expression: str, bands: tuple[int, ...]) -> str:
    """Return an expression that names the band of a number: under the first, between, from the last on."""
    cases = [f"when {expression} < {bands[0]} then 'under {bands[0]}'"]
    cases += [f"when {expression} < {high} then '{low} to {high - 1}'" for low, high in itertools.pairwise(bands)]
    return f"case when {expression} is null then null {' '.join(cases)} else '{bands[-1]} and over' end"
