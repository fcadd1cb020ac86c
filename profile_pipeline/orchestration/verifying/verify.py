"""Verifying: what the tables hold of sampled people and days, beside what their records in raw say, computed by other code.

Here the sample is taken, batch by batch is read and compared, and whole tables are balanced. Nothing is written. Not here:
what should be there (`verification`), which records are read (`sampled_rows`), the balances themselves (`balances`).
"""

import datetime as dt
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from profile_pipeline.cleaned.tables import (
    EVENTS,
    EXCLUDED_EVENTS,
    IDENTITIES,
    ITEMS,
    LEDGER,
    RELATIONS,
    SESSION_DAYS,
    SESSIONS,
    USERS,
)
from profile_pipeline.errors import ExpectedError
from profile_pipeline.features.matrix import user_features_table
from profile_pipeline.features.tables import BEHAVIOR, DEMAND, INTERESTS, USER_DAYS, USER_ITEM_DAYS, USER_TERM_DAYS
from profile_pipeline.orchestration.assets.cleaned import sql_parameters
from profile_pipeline.orchestration.building.cleaning import FEATURE_CONSUMERS
from profile_pipeline.orchestration.building.days import daily_partitions, day_keys, last_day_of
from profile_pipeline.orchestration.catalogue import all_tables
from profile_pipeline.orchestration.keeping.behind import Behind
from profile_pipeline.orchestration.verifying.archive_read_again import (
    ARCHIVED,
    ReadAgain,
    all_files,
    drawn_files,
    read_again,
)
from profile_pipeline.orchestration.verifying.balances import balances
from profile_pipeline.orchestration.verifying.missing import GONE, NOT_LOADED
from profile_pipeline.orchestration.verifying.profiles import ProfilesAgain
from profile_pipeline.orchestration.verifying.sampled_rows import Records, read_records, sampled_aliases
from profile_pipeline.raw.tables import EVENTS as RAW_EVENTS
from profile_pipeline.settings import Settings
from profile_pipeline.table import Table, quote_identifier
from profile_pipeline.verification.compare import Comparison, Difference
from profile_pipeline.verification.judging import CleanEvent, derived, judge
from profile_pipeline.verification.people import People
from profile_pipeline.verification.versions import relations as related
from profile_pipeline.warehouse.duckdb import Warehouse

Row = dict[str, Any]

# People whose records are held at once: it bounds memory, whatever the sample.
PEOPLE_AT_ONCE = 250
RANDOM_DAYS = 3
OF_RECORDS = (RAW_EVENTS.name, EVENTS.name, EXCLUDED_EVENTS.name, LEDGER.name)
LOADED = replace(
    RAW_EVENTS, columns=tuple(RAW_EVENTS.column(n) for n in ("file_id", "row_number", "event_date", "role"))
)


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
    left_out: set[str] = field(default_factory=set)
    archive: ReadAgain = field(default_factory=ReadAgain)

    @property
    def differences(self) -> list[Difference]:
        return self.comparison.differences


def verify(
    w: Warehouse,
    settings: Settings,
    *,
    n_people: int,
    has_new_versions: bool,
    is_outscored: Callable[[dt.date], bool] = lambda _: False,
    seed: str | None = None,
    days: Sequence[dt.date] | None = None,
    missing: Sequence[Difference] = (),
    archive: Path | None = None,
    is_every_file: bool = False,
) -> Verdict:
    """Verify some people and days, and balance all tables.

    Parameters
    ----------
    n_people
        How many aliases are drawn; the people to whom they belong are looked at with all of their aliases.
    has_new_versions
        Records of people or items were loaded that no run has taken up.
    is_outscored
        Says whether the models that serve a day were judged after it was scored.
    seed
        What draws people and days; the newest snapshot where it is not given, so that every day looks at others.
    days
        Snapshots to be compared; the newest, the oldest and three others where they are not given.
    missing
        Days and files that are not there at all; those that are known to be behind are left out.
    archive
        Where the delivered files lie; none of them is read again where it is not given.
    is_every_file
        Read all of them again; else some, and those of days that differ.

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
    behind = Behind.of(w, settings, newest=newest, has_new_versions=has_new_versions)
    aliases = sampled_aliases(w, settings, n_people=n_people, seed=seed)
    drawn = list(days) if days is not None else _drawn(built, seed)
    scored = set(w.days("select distinct as_of_date from profiles.scores"))
    behind.outscored = {day for day in drawn if day in scored and is_outscored(day)}
    verdict = Verdict(0, drawn, Comparison())
    for start in range(0, len(aliases), PEOPLE_AT_ONCE):
        _Batch(w, settings, behind, verdict).compare(aliases[start : start + PEOPLE_AT_ONCE])
    verdict.comparison.differences += [
        d for d in missing if not behind.covers(d.table, dt.date.fromisoformat(d.day) if d.day else None)
    ]
    _balance(w, settings, behind, verdict)
    if archive is not None:
        _read_archive(w, settings, archive, verdict, all_files(w) if is_every_file else drawn_files(w, seed=seed))
    # People of several batches may share what differs.
    verdict.comparison.differences = list(dict.fromkeys(verdict.differences))
    verdict.behind = behind.told()
    return verdict


def _drawn(built: Sequence[dt.date], seed: str) -> list[dt.date]:
    """Return the newest snapshot, the oldest, and some between them."""
    between = list(built[1:-1])
    # Drawn to be looked at, and the same each time: nothing secret hangs on it.
    some = random.Random(seed).sample(between, min(RANDOM_DAYS, len(between)))  # noqa: S311
    return sorted({built[0], built[-1], *some})


def _balance(w: Warehouse, settings: Settings, behind: Behind, verdict: Verdict) -> None:
    found = balances(all_tables(settings), has_events=settings.has_events, activity_days=settings.activity_days)
    verdict.n_balances = len(found)
    known = {"timezone": settings.calendar.timezone, "currency": settings.currency}
    for balance in found:
        used = {name: value for name, value in known.items() if f"${name}" in balance.query}
        for day, what, there, expected in w.rows(f"select * from ({balance.query}) order by 1, 2 limit 1000", used):
            if not behind.covers(balance.table, dt.date.fromisoformat(day) if day else None):
                told = Difference(balance.table, f"{balance.what}: {what}", "", str(there), str(expected), day or "")
                verdict.differences.append(told)


def _read_archive(w: Warehouse, settings: Settings, archive: Path, verdict: Verdict, files: Sequence[str]) -> None:
    """Read files of the archive again, and then those whose records do not go with what was made of them.

    Where something cleaned differs from raw, one of the two is wrong, and the archive says which.
    """
    told, comparison = verdict.archive, verdict.comparison
    told.of_files = len(all_files(w))
    read_again(w, settings, archive, files, told, comparison)
    read_again(w, settings, archive, _suspects(w, verdict.differences), told, comparison)


def _suspects(w: Warehouse, differences: Sequence[Difference]) -> list[str]:
    """Return the files whose records stand behind differences in raw and cleaned."""
    days = {dt.date.fromisoformat(d.day) for d in differences if d.day and d.table in OF_RECORDS}
    of_days = "select file_id from raw.events where list_contains($days, event_date)"
    queries = [
        of_days,
        *(
            f"select file_id from raw.{t.table}"
            for t in (USERS, ITEMS, RELATIONS)
            if any(d.table == t.name for d in differences)
        ),
    ]
    return [file_id for (file_id,) in w.rows(f"{' union '.join(queries)} order by 1", {"days": sorted(days)})]


class _Batch:
    """Some people: their records are read, judged and counted, and compared table by table."""

    def __init__(self, w: Warehouse, settings: Settings, behind: Behind, verdict: Verdict) -> None:
        self.w, self.settings, self.behind, self.verdict = w, settings, behind, verdict
        self.profiles = ProfilesAgain(w, settings, behind, verdict.comparison, verdict.left_out, self._table)

    def compare(self, aliases: Sequence[str]) -> None:
        records = read_records(self.w, aliases)
        judged = judge(
            records.pool,
            settings=self.settings,
            waiting=records.waiting,
            arrived_at=records.arrived_at,
            order_of_copies=records.order_of_copies,
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
            addresses=judged.addresses,
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
        if self.w.rows(f"select 1 from profiles.user_profiles where as_of_date = date '{day}' limit 1"):
            self.profiles.compare_day(people, day, snapshot, on_day)

    def _table(self, table: Table, expected: Iterable[Row], where: str, names: Sequence[str] = ()) -> None:
        columns = table.column_names
        rows = self.w.rows(f"select {', '.join(map(quote_identifier, columns))} from {table.name} where {where}")
        found = (dict(zip(columns, row, strict=True)) for row in rows)
        self.verdict.comparison.compare(
            table, found=self._settled(table, found), expected=self._settled(table, expected), names=names
        )

    def _settled(self, table: Table, rows: Iterable[Row]) -> Iterator[Row]:
        """Leave out what is known to be behind."""
        day = table.partition_column
        return (row for row in rows if not self.behind.covers(table.name, row[day] if day else None))


def remedies(differences: Iterable[Difference], settings: Settings) -> list[str]:
    """Return what mends differences, all of them: one command, and what no command does.

    One command, because of several the first may take what is wrong for right: days that are built again from a record
    that is wrong in raw agree with it.
    """
    found = list(differences)
    damaged = [d for d in found if d.column == ARCHIVED]
    unloaded = [d for d in found if d.column == NOT_LOADED]
    wrong = [d for d in found if d.column not in (ARCHIVED, NOT_LOADED)]
    told = ["restore these files from a backup, or deliver them again"] if damaged else []
    days = day_keys(daily_partitions(settings.calendar))
    if not wrong:
        return [*told, "profile-pipeline run"] if told or unloaded else []
    spans = [_span(difference, days) for difference in wrong]
    if None in spans:
        return [*told, "profile-pipeline rebuild"]
    known = [span for span in spans if span]
    return [
        *told,
        f"profile-pipeline run --from {min(first for first, _ in known)} --to {max(last for _, last in known)}",
    ]


def _span(difference: Difference, days: Sequence[dt.date]) -> tuple[dt.date, dt.date] | None:
    """Return the days that have to be built again; none where only reading the archive helps."""
    table, newest = difference.table, days[-1]
    if difference.row == GONE["week"]:
        week = dt.date.fromisoformat(difference.day)
        return week, last_day_of(week)
    if table.startswith(("raw.", "models.")):
        return None
    if not difference.day:
        return (days[0] if table in (EVENTS.name, LEDGER.name, SESSIONS.name) else newest), newest
    day = dt.date.fromisoformat(difference.day)
    # No run builds a day that is none of the calendar.
    if not days[0] <= day <= newest:
        return None
    # What is wrong of a day's events is wrong in every later snapshot; a snapshot stands alone.
    return day, (day if table in FEATURE_CONSUMERS or table.startswith(("profiles.", "applications.")) else newest)
