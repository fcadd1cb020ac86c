"""What has not followed yet: days that a killed run or waiting records leave, and snapshots that are marked as outdated.

What is known to be behind is no fault: it is named and left out when tables are verified. Not here: bringing it up to date
(`running`).
"""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, field

import dagster as dg

from profile_pipeline.applications.tables import DAILY_METRICS
from profile_pipeline.orchestration.building.cleaning import (
    ALIAS_CONSUMERS,
    DELIVERIES,
    FEATURE_CONSUMERS,
    OLDER,
    PROFILE_CONSUMERS,
    SNAPSHOT_CONSUMERS,
    STALE_CONSUMER,
    STREAM_CONSUMERS,
)
from profile_pipeline.orchestration.building.days import ONE_DAY, WEEK_DAYS
from profile_pipeline.orchestration.keeping.built_with import (
    days_of_other_tags,
    has_other_full_sources,
    other_deliveries,
)
from profile_pipeline.orchestration.table_assets import key_of
from profile_pipeline.profiles.tables import TAGS
from profile_pipeline.settings import Settings
from profile_pipeline.warehouse.duckdb import Warehouse
from profile_pipeline.wording import counted

VERSIONED = ("users", "items", "relations")
# What a load tells with each table (`assets.raw`).
COUNTS_OF_A_LOAD = ("records_loaded", "records_recovered")
LOADS_LOOKED_AT = 1_000


def has_new_versions(w: Warehouse, instance: dg.DagsterInstance, settings: Settings) -> bool:
    """Say whether records of people, items or relations have no version yet, or one of other settings; they wait for no day.

    The rows say when they were loaded: a killed ingest may have loaded them and not told Dagster. Rows that are loaded again from the
    archive say when they first were, and Dagster says when that was.
    """
    for table in VERSIONED:
        if has_other_full_sources(w.rows, settings, table):
            return True
        built = instance.get_latest_materialization_event(key_of(f"cleaned.{table}"))
        built_at = built.timestamp if built else 0.0
        loaded_at = w.scalar(f"select epoch(max(loaded_at)) from raw.{table}") or 0.0
        if loaded_at > built_at or _was_loaded_after(instance, f"raw.{table}", built_at):
            return True
    return False


def _was_loaded_after(instance: dg.DagsterInstance, table: str, timestamp: float) -> bool:
    wanted = dg.AssetRecordsFilter(asset_key=key_of(table), after_timestamp=timestamp)
    return any(
        _has_loaded(record.asset_materialization)
        for record in instance.fetch_materializations(wanted, limit=LOADS_LOOKED_AT).records
    )


def _has_loaded(told: dg.AssetMaterialization | None) -> bool:
    """Say whether a load has brought records, or does not say."""
    counts = [told.metadata.get(name) for name in COUNTS_OF_A_LOAD] if told else []
    said = [count.value for count in counts if count is not None]
    return not said or any(said)


def is_outscored(instance: dg.DagsterInstance, day: dt.date) -> bool:
    """Say whether a model that may serve a day was judged after the day was scored, or when that was is not known."""
    weeks = [dt.date.fromisoformat(week) for week in instance.get_materialized_partitions(key_of("evaluation.gates"))]
    judged = [_built_at(instance, "evaluation.gates", week) for week in weeks if week + WEEK_DAYS * ONE_DAY <= day]
    return max(judged, default=0.0) > _built_at(instance, "profiles.scores", day)


def _built_at(instance: dg.DagsterInstance, table: str, partition: dt.date) -> float:
    wanted = dg.AssetRecordsFilter(asset_key=key_of(table), asset_partitions=[str(partition)])
    found = instance.fetch_materializations(wanted, limit=1).records
    return found[0].timestamp if found else 0.0


def days_of_older_profiles(w: Warehouse) -> list[dt.date]:
    """Return the days whose profiles are older than their features: a refresh has built the snapshot anew, and the profiles are to follow."""
    return w.days(
        "select distinct event_date from cleaned.touched where list_contains($consumers, consumer)"
        " and event_date in (select as_of_date from profiles.user_profiles)",
        {"consumers": [OLDER + name for name in PROFILE_CONSUMERS]},
    )


def are_deliveries_older(w: Warehouse, day: dt.date) -> bool:
    """Say whether applications of a day were made before its features. Those of past days stay what was delivered then."""
    consumers = [OLDER + name for name in DELIVERIES]
    noted = "select 1 from cleaned.touched where list_contains($consumers, consumer) and event_date = $day limit 1"
    return bool(w.rows(noted, {"consumers": consumers, "day": day}))


@dataclass
class Behind:
    """Days of tables that are known to be behind.

    Attributes
    ----------
    waiting
        Days of the calendar on which records wait to be judged.
    stale
        Snapshots that are marked as outdated.
    days
        Days of events by table, where its rows have not followed.
    snapshots_from
        The first day from which a snapshot may rest on what has not followed.
    outscored
        Days that were scored before the models that serve them were judged.
    older_profiles
        Days whose profiles have not followed their features.
    other_tags
        Days whose tags were made by other settings.
    is_unfinished
        A run has not come to its end: what is not kept by day may be behind too.
    """

    waiting: list[dt.date]
    stale: list[dt.date]
    days: dict[str, set[dt.date]] = field(default_factory=dict)
    snapshots_from: dt.date | None = None
    older_profiles: list[dt.date] = field(default_factory=list)
    is_unfinished: bool = False
    outscored: set[dt.date] = field(default_factory=set)
    other_tags: set[dt.date] = field(default_factory=set)

    @classmethod
    def of(cls, w: Warehouse, settings: Settings, *, newest: dt.date, has_new_versions: bool) -> "Behind":
        """Look at what the warehouse notes of itself.

        Parameters
        ----------
        newest
            The newest day of the calendar: what waits outside of it is in no table, and never behind.
        """
        first = settings.calendar.start
        notes: dict[str, set[dt.date]] = {}
        for consumer, day in w.rows("select distinct consumer, event_date from cleaned.touched"):
            notes.setdefault(consumer, set()).add(day)
        waiting = w.days(
            "select distinct event_date from raw.pending where file_id is not null and event_date between $first and $newest",
            {"first": first, "newest": newest},
        )
        found = cls(
            waiting,
            w.days("select as_of_date from features.stale_days"),
            is_unfinished=has_new_versions or any(notes.get(name) for name in FEATURE_CONSUMERS),
            older_profiles=days_of_older_profiles(w),
            other_tags=days_of_other_tags(w.rows, settings),
        )
        for name in SNAPSHOT_CONSUMERS:
            found.days[name] = {*found.stale, *notes.get(name, set()), *notes.get(OLDER + name, set())}
        # Those of past days stay what was delivered then.
        delivered = {newest} & set(w.days("select distinct as_of_date from profiles.user_profiles"))
        others = other_deliveries(w.rows, settings)
        for name in DELIVERIES:
            behind = notes.get(OLDER + name, set()) | found.other_tags | (delivered if name in others else set())
            found.days[name] = behind & delivered
        measured = set(w.days(f"select distinct event_date from {DAILY_METRICS.name}"))
        found.days[DAILY_METRICS.name] = notes.get(DAILY_METRICS.name, set()) & measured
        sessions = notes.get(STREAM_CONSUMERS[0], set())
        found.add_events(sessions, tables=("cleaned.sessions", "cleaned.session_days", "features.user_days"))
        for tile in ALIAS_CONSUMERS:
            found.days.setdefault(tile, set()).update(notes.get(tile, set()))
        changed = [day for name in (*STREAM_CONSUMERS, *ALIAS_CONSUMERS, STALE_CONSUMER) for day in notes.get(name, ())]
        found._snapshots_wait(changed)
        if has_new_versions:
            found._snapshots_wait([first])
        return found

    def add_events(self, days: Iterable[dt.date], *, tables: Iterable[str]) -> None:
        """Note days of events that tables have not followed; a session may reach over midnight on either side."""
        around = {day + n * ONE_DAY for day in days for n in (-1, 0, 1)}
        for table in tables:
            self.days.setdefault(table, set()).update(around)
        self._snapshots_wait(around)

    def _snapshots_wait(self, days: Iterable[dt.date]) -> None:
        self.snapshots_from = min([*days, *([self.snapshots_from] if self.snapshots_from else [])], default=None)

    def covers(self, table: str, day: dt.date | None) -> bool:
        """Say whether a row of a table, of a day or of none, is known to be behind."""
        if day is None:
            return self.is_unfinished or bool(self.days.get(table)) if not table.startswith("raw.") else False
        if day in self.days.get(table, ()) or (table == TAGS.name and day in self.other_tags):
            return True
        is_of_profiles = table.startswith(("profiles.", "applications."))
        if is_of_profiles and day in self.outscored:
            return True
        is_snapshot = table in FEATURE_CONSUMERS or is_of_profiles
        return is_snapshot and (day in self.stale or (self.snapshots_from is not None and day >= self.snapshots_from))

    def told(self) -> list[str]:
        """Return what is behind, in words, with the command that helps."""
        said = []
        if self.waiting:
            said.append(
                f"{counted(len(self.waiting), 'day has', 'days have')} records that wait: {_listed(self.waiting)}: profile-pipeline run"
            )
        if self.stale:
            said.append(
                f"{counted(len(self.stale), 'snapshot is', 'snapshots are')} outdated by late events: {_listed(self.stale)}: profile-pipeline run --stale"
            )
        if days := {day for name in DELIVERIES for day in self.days.get(name, ())}:
            said.append(
                f"applications of {_listed(sorted(days))} have not followed their features, tags or settings: profile-pipeline run"
            )
        if metrics := self.days.get(DAILY_METRICS.name):
            said.append(
                f"daily metrics of {counted(len(metrics), 'day')} have not followed: {_listed(sorted(metrics))}: profile-pipeline run"
            )
        if self.older_profiles:
            said.append(
                f"profiles of {counted(len(self.older_profiles), 'day')} have not followed their features: {_listed(self.older_profiles)}: profile-pipeline run"
            )
        if self.other_tags:
            said.append(
                f"tags of {counted(len(self.other_tags), 'day')} were made by other settings of tags: {_listed(sorted(self.other_tags))}:"
                " those of the newest day follow with profile-pipeline run, those of past days stay what was delivered"
            )
        said += [
            f"the models that serve {day} were judged after it was scored: profile-pipeline run --from {day} --to {day}"
            for day in sorted(self.outscored)
        ]
        if self.is_unfinished or (self.snapshots_from is not None):
            said.append(
                "what was loaded last, or what a killed run has left, is not followed everywhere: profile-pipeline run"
            )
        return said


def _listed(days: list[dt.date]) -> str:
    return ", ".join(map(str, days[:5])) + (", …" if len(days) > 5 else "")
