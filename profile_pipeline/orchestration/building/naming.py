"""After which week the segments of a week are named: kept with the model, so that training it again, or a rebuild, gives the same names.

Not here: how a name is given (`models.segments`).
"""

import datetime as dt
import json
from collections.abc import Mapping

from profile_pipeline.settings import SegmentModelSettings, Settings
from profile_pipeline.table import quote_identifier
from profile_pipeline.warehouse.duckdb import Warehouse

# A rebuild tells with this tag of a run what the tables that stand say.
NAMED_AFTER_TAG = "profile_pipeline/named_after"
NamedAfter = Mapping[str, Mapping[dt.date, dt.date | None]]


def trained_weeks(w: Warehouse, name: str) -> list[dt.date]:
    """Return the weeks that have segments."""
    return w.days(f"select week from models.{quote_identifier(name)} where is_chosen")


def recorded_names(w: Warehouse, settings: Settings) -> NamedAfter:
    """Return by model of segments and week after which week it is named; weeks of releases that did not keep it are not in it."""
    found: dict[str, dict[dt.date, dt.date | None]] = {}
    for name, model in settings.models.items():
        if isinstance(model, SegmentModelSettings):
            rows = w.rows(f"select week, params from models.{quote_identifier(name)} where is_chosen")
            told = {week: json.loads(params) for week, params in rows}
            found[name] = {week: _day(said["named_after"]) for week, said in told.items() if "named_after" in said}
    return found


def written(told: NamedAfter) -> dict[str, str]:
    """Return the tag of a run that tells it."""
    plain = {
        name: {str(week): str(after) if after else None for week, after in weeks.items()}
        for name, weeks in told.items()
    }
    return {NAMED_AFTER_TAG: json.dumps(plain)}


def told_by(tags: Mapping[str, str]) -> NamedAfter:
    """Return what the tag of a run tells; nothing where it has none."""
    return {
        name: {dt.date.fromisoformat(week): _day(after) for week, after in weeks.items()}
        for name, weeks in json.loads(tags.get(NAMED_AFTER_TAG, "{}")).items()
    }


def _day(text: str | None) -> dt.date | None:
    return dt.date.fromisoformat(text) if text else None
