"""Verifying: what the tables hold of sampled people and days, beside what their records in raw say, computed by other code.

Here the sample is taken, batch by batch is read and compared, and whole tables are balanced. Nothing is written. Not here:
what should be there (`verification`), which records are read (`sampled_rows`), the balances themselves (`balances`).
"""

import datetime as dt
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from profile_pipeline.cleaned.tables import (
    EVENTS,
    EXCLUDED_EVENTS,
    IDENTITIES,
    ITEMS,
    RELATIONS,
    SESSION_DAYS,
    SESSIONS,
    USERS,
)
from profile_pipeline.errors import ExpectedError
from profile_pipeline.features.matrix import user_features_table
from profile_pipeline.features.tables import BEHAVIOR, DEMAND, INTERESTS, USER_DAYS, USER_ITEM_DAYS, USER_TERM_DAYS
from profile_pipeline.orchestration.assets.cleaned import sql_parameters
from profile_pipeline.orchestration.assets.profiles import segment_model
from profile_pipeline.orchestration.balances import balances
from profile_pipeline.orchestration.behind import Behind
from profile_pipeline.orchestration.catalogue import all_tables
from profile_pipeline.orchestration.days import daily_partitions, day_keys
from profile_pipeline.orchestration.sampled_rows import Records, read_records, sampled_aliases
from profile_pipeline.profiles.tables import TAGS, USER_PROFILES
from profile_pipeline.raw.tables import EVENTS as RAW_EVENTS
from profile_pipeline.settings import Settings
from profile_pipeline.table import Column, Table, quote_identifier
from profile_pipeline.verification.compare import Comparison, Difference
from profile_pipeline.verification.judging import CleanEvent, derived, judge
from profile_pipeline.verification.people import People
from profile_pipeline.verification.profiles import facts, user_profiles
from profile_pipeline.verification.versions import relations as related
from profile_pipeline.warehouse.duckdb import Warehouse

Row = dict[str, Any]

# People whose records are held at once: it bounds memory, whatever the sample.
PEOPLE_AT_ONCE = 250
RANDOM_DAYS = 3
SNAPSHOTS = (
    BEHAVIOR.name,
    INTERESTS.name,
    DEMAND.name,
    "features.user_features",
    "profiles.user_profiles",
    TAGS.name,
    "profiles.scores",
)
LOADED = replace(
    RAW_EVENTS, columns=tuple(RAW_EVENTS.column(n) for n in ("file_id", "row_number", "event_date", "role"))
)
FACTS = replace(TAGS, columns=(*TAGS.columns[:4], Column("kind", "VARCHAR", "fact")))


class NothingBuiltError(ExpectedError):
    """There is no table to verify."""


@dataclass
class Verdict:
    """What was compared and what differs."""

    n_people: int
    days: list[dt.date]
    comparison: Comparison
    n_balances: int = 0
    behind: list[str] = field(default_factory=list)

    @property
    def differences(self) -> list[Difference]:
        return self.comparison.differences


def verify(
    w: Warehouse,
    settings: Settings,
    *,
    n_people: int,
    has_new_versions: bool,
    seed: str | None = None,
    days: Sequence[dt.date] | None = None,
) -> Verdict:
    """Verify some people and days, and balance all tables.

    Parameters
    ----------
    n_people
        How many aliases are drawn; the people to whom they belong are looked at with all of their aliases.
    has_new_versions
        Records of people or items were loaded that no run has taken up.
    seed
        What draws people and days; the newest snapshot where it is not given, so that every day looks at others.
    days
        Snapshots to be compared; the newest, the oldest and three others where they are not given.

    Raises
    ------
    NothingBuiltError
        If there is no snapshot yet.
    """
    built = (
        []
        if not w.has_table("features.user_features")
        else w.days("select distinct as_of_date from features.user_features")
    )
    if not built:
        raise NothingBuiltError("nothing is built yet that could be verified. Run `profile-pipeline run` first.")
    seed = seed or str(built[-1])
    newest = day_keys(daily_partitions(settings.calendar))[-1]
    behind = Behind.of(w, first=settings.calendar.start, newest=newest, has_new_versions=has_new_versions)
    aliases = sampled_aliases(w, settings, n_people=n_people, seed=seed)
    drawn = list(days) if days is not None else _drawn(built, seed)
    verdict = Verdict(0, drawn, Comparison())
    for start in range(0, len(aliases), PEOPLE_AT_ONCE):
        _Batch(w, settings, behind, verdict).compare(aliases[start : start + PEOPLE_AT_ONCE])
    _balance(w, settings, behind, verdict)
    verdict.behind = behind.told()
    return verdict


def _drawn(built: Sequence[dt.date], seed: str) -> list[dt.date]:
    """Return the newest snapshot, the oldest, and some between them."""
    between = list(built[1:-1])
    # Drawn to be looked at, and the same each time: nothing secret hangs on it.
    some = random.Random(seed).sample(between, min(RANDOM_DAYS, len(between)))  # noqa: S311
    return sorted({built[0], built[-1], *some})


def _balance(w: Warehouse, settings: Settings, behind: Behind, verdict: Verdict) -> None:
    found = balances(all_tables(settings), has_events=settings.has_events)
    verdict.n_balances = len(found)
    for balance in found:
        for day, what, there, expected in w.rows(f"select * from ({balance.query}) order by 1, 2 limit 1000"):
            if not behind.covers(balance.table, dt.date.fromisoformat(day) if day else None):
                told = Difference(balance.table, f"{balance.what}: {what}", "", str(there), str(expected), day or "")
                verdict.differences.append(told)


class _Batch:
    """Some people: their records are read, judged and counted, and compared table by table."""

    def __init__(self, w: Warehouse, settings: Settings, behind: Behind, verdict: Verdict) -> None:
        self.w, self.settings, self.behind, self.verdict = w, settings, behind, verdict

    def compare(self, aliases: Sequence[str]) -> None:
        records = read_records(self.w, aliases)
        judged = judge(
            records.pool,
            settings=self.settings,
            waiting=records.waiting,
            arrived_at=records.arrived_at,
            md5_of_copy=records.md5_of_copy,
        )
        unsettled = {e.event_date for e in records.pool if e.place in judged.unsettled}
        if unsettled:
            self.behind.add_events(unsettled, tables=[t.name for t in (EVENTS, EXCLUDED_EVENTS, SESSIONS, SESSION_DAYS, USER_DAYS, USER_ITEM_DAYS, USER_TERM_DAYS)])  # fmt: skip
            self.behind.is_unfinished = True
        clean = [event for event in judged.clean if (event.file_id, event.row_number) in records.judged]
        people = People(
            self.settings,
            key=sql_parameters(self.settings)["key"],
            aliases=records.aliases,
            streams=records.streams,
            heads=records.heads,
            events=clean,
            user_records=records.users,
            item_records=records.items,
        )
        self.verdict.n_people += len(aliases)
        self._loaded(records, clean)
        excluded = [
            {"file_id": place[0], "row_number": place[1], "event_date": day, "reason_code": reason}
            for place, (day, reason) in judged.excluded.items()
            if place in records.judged
        ]
        of_record = "(file_id, row_number) in (select (file_id, row_number) from verified_records)"
        of_alias = "alias_id in (from verified_aliases)"
        of_stream = "stream_id in (from verified_streams)"
        users = "'user:' || user_id in (from verified_aliases)"
        self._table(EVENTS, (e._asdict() for e in clean), f"{of_alias} or {of_stream} or {of_record}")
        self._table(EXCLUDED_EVENTS, excluded, of_record)
        self._table(SESSIONS, people.sessions, of_stream)
        self._table(SESSION_DAYS, people.session_days, of_stream)
        self._table(USER_DAYS, people.user_days, of_alias)
        self._table(USER_ITEM_DAYS, people.user_item_days, of_alias)
        self._table(USER_TERM_DAYS, people.user_term_days, of_alias)
        self._table(USERS, people.users, users)
        self._table(ITEMS, people.items, "item_id in (select item_id from raw.events semi join verified_records using (file_id, row_number))")  # fmt: skip
        self._table(RELATIONS, related(records.relations, self.settings), users)
        self.w.temporary(
            "verified_profiles", pa.table({"profile_id": pa.array(sorted(people.profile_ids), pa.string())})
        )
        of_profile = "profile_id in (from verified_profiles)"
        self._table(IDENTITIES, people.histories.rows, f"{of_alias} or {of_profile}")
        for day in self.verdict.days:
            self._day(people, day)
        self.w.drop("verified_aliases", "verified_streams", "verified_records", "verified_profiles")

    def _loaded(self, records: Records, clean: Sequence[CleanEvent]) -> None:
        """Compare what loading derived of each record that counts: its day and its role."""
        places = {(event.file_id, event.row_number) for event in clean}
        counted = [event for event in records.pool if event.place in places]
        found, expected = [], []
        for event in counted:
            of = {"file_id": event.file_id, "row_number": event.row_number}
            found.append(of | {"event_date": event.event_date, "role": event.role})
            expected.append(found[-1] | derived(event, self.settings))
        self.verdict.comparison.compare(LOADED, found=found, expected=expected)

    def _day(self, people: People, day: dt.date) -> None:
        """Compare the snapshots of a day, and the profiles made of them."""
        matrix = user_features_table(self.settings.features.attributes, has_events=self.settings.has_events)
        snapshot = people.snapshot(day)
        on_day = f"as_of_date = date '{day}' and profile_id in (select profile_id from verified_profiles)"
        for table in (BEHAVIOR, INTERESTS, DEMAND, matrix):
            self._table(table, snapshot[table.name], on_day)
        if not self.w.rows(f"select 1 from profiles.user_profiles where as_of_date = date '{day}' limit 1"):
            return
        segments = dict(
            self.w.rows(
                f"select profile_id, class from profiles.scores where {on_day} and model = $model",
                {"model": segment_model(self.settings)},
            )
        )
        profiles = user_profiles(people, day, snapshot, segments)
        # Whether a day was final says when it was built, and nothing of the person.
        names = [name for name in USER_PROFILES.column_names if name != "is_final"]
        self._table(USER_PROFILES, profiles, on_day, names)
        told = [row | {"kind": "fact"} for row in facts(people, day, profiles, self.settings)]
        of_crm = ", ".join(f"'{name}'" for name, tag in self.settings.tags.items() if tag.fact) or "null"
        self._table(FACTS, told, f"{on_day} and kind = 'fact' and tag in ({of_crm})")

    def _table(
        self, table: Table, expected: Sequence[Row] | Iterator[Row], where: str, names: Sequence[str] = ()
    ) -> None:
        columns = table.column_names
        rows = self.w.rows(f"select {', '.join(map(quote_identifier, columns))} from {table.name} where {where}")
        found = (dict(zip(columns, row, strict=True)) for row in rows)
        self.verdict.comparison.compare(
            table, found=self._settled(table, found), expected=self._settled(table, expected), names=names
        )

    def _settled(self, table: Table, rows: Iterator[Row] | Sequence[Row]) -> Iterator[Row]:
        """Leave out what is known to be behind."""
        day = table.partition_column
        return (row for row in rows if not self.behind.covers(table.name, row[day] if day else None))


def remedy(difference: Difference, settings: Settings) -> str:
    """Return the command that mends what a difference is about."""
    table, newest = difference.table, day_keys(daily_partitions(settings.calendar))[-1]
    if table.startswith("raw."):
        return "profile-pipeline rebuild"
    if not difference.day:
        first = settings.calendar.start if table == SESSIONS.name else newest
        return f"profile-pipeline run --from {first} --to {newest}"
    # What is wrong of a day's events is wrong in every later snapshot.
    last = difference.day if table in SNAPSHOTS else newest
    return f"profile-pipeline run --from {difference.day} --to {last}"
