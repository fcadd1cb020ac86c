"""What is not there at all, and that no comparison of rows can see: whole days that Dagster says were built, and files of the archive.

Not here: rows that differ (`verify`), or loading what is missing (`reloading`).
"""

import datetime as dt
from collections.abc import Callable

import dagster as dg

from profile_pipeline.features.tables import BEHAVIOR, DEMAND, USER_FEATURES
from profile_pipeline.orchestration.keeping.reloading import lost_files
from profile_pipeline.orchestration.table_assets import key_of
from profile_pipeline.paths import Paths
from profile_pipeline.profiles.tables import USER_PROFILES
from profile_pipeline.raw.archive import told_by_sidecars
from profile_pipeline.raw.tables import FILES
from profile_pipeline.settings import Settings
from profile_pipeline.verification.compare import Difference
from profile_pipeline.warehouse.duckdb import Warehouse

# The column of a difference that is a file of which nothing was noted.
NOT_LOADED = "a row of its own"
# A row for each person who was known that day: days of them are never empty once somebody is.
OF_EVERYBODY = (USER_FEATURES.name, USER_PROFILES.name)
OF_EVENTS = (BEHAVIOR.name, DEMAND.name)
DAILY_METRICS = "applications.daily_metrics"


def missing(w: Warehouse, settings: Settings, paths: Paths, instance: dg.DagsterInstance) -> list[Difference]:
    """Return the days and files that should be there and are not."""
    return [*_missing_days(w, settings, instance), *_missing_files(w, paths)]


def _missing_days(w: Warehouse, settings: Settings, instance: dg.DagsterInstance) -> list[Difference]:
    tables = [*OF_EVERYBODY, *(OF_EVENTS if settings.has_events else ())]
    inhabited = _days_with_people(w, settings)
    found = []
    for table in tables:
        present = set(w.days(f"select distinct as_of_date from {table}"))
        found += [(table, day) for day in _built(instance, table) - present if inhabited(day)]
    if settings.has_events:
        present = set(w.days(f"select distinct event_date from {DAILY_METRICS}"))
        found += [(DAILY_METRICS, day) for day in _built(instance, DAILY_METRICS) - present]
    return [
        Difference(table, "all rows of the day", "", "none", "those that were built", str(day))
        for table, day in sorted(found)
    ]


def _built(instance: dg.DagsterInstance, table: str) -> set[dt.date]:
    return {dt.date.fromisoformat(day) for day in instance.get_materialized_partitions(key_of(table))}


def _days_with_people(w: Warehouse, settings: Settings) -> Callable[[dt.date], bool]:
    """Return what says whether somebody is in the snapshots of a day: who did something not too long before, or is in the CRM."""
    if not settings.has_events:
        known = w.days("select min(valid_from) from cleaned.users having count(*) > 0")
        return lambda day: any(first <= day for first in known)
    days, within = (
        w.days("select distinct event_date from cleaned.events where alias_id is not null"),
        settings.activity_days,
    )
    return lambda day: any(0 <= (day - seen).days < within for seen in days)


def _missing_files(w: Warehouse, paths: Paths) -> list[Difference]:
    """Files that were delivered and are in no table; those that wait where they were delivered are no loss."""
    known = {file_id for (file_id,) in w.rows(f"select distinct file_id from {FILES.name}")}
    return [
        Difference(FILES.name, f"file_id {file_id}", NOT_LOADED, "none", "one: the archive holds the file")
        for file_id in sorted(lost_files(paths, told_by_sidecars(paths.archive)[0], known=known))
    ]
