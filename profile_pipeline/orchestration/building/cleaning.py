"""Judging events: which days and streams a run has to judge, and the transactions that do it.

The steps of `cleaned.events`, `cleaned.excluded_events`, `cleaned.ledger` and `raw.pending`, which change together or not at
all. Not here: what makes an event count (the SQL files of cleaned), or Dagster's side of it (`assets/cleaned.py`).
"""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from profile_pipeline.cleaned.tables import EVENTS, EXCLUDED_EVENTS, LEDGER
from profile_pipeline.orchestration.building.balance import require_days_add_up
from profile_pipeline.orchestration.building.days import (
    ONE_DAY,
    RunDays,
    batches_of,
    days_between,
    kept_snapshot_days,
    touch_days,
    touch_rows,
    values_of,
)
from profile_pipeline.settings import CalendarSettings, Settings
from profile_pipeline.warehouse.duckdb import Warehouse
from profile_pipeline.warehouse.sql import bound, reading, sql_file
from profile_pipeline.wording import counted

MUCH_NEW_SHARE = 0.1
STREAM_CONSUMERS = ("cleaned.sessions",)
ALIAS_CONSUMERS = ("features.user_days", "features.user_item_days", "features.user_term_days")
DAY_CONSUMERS = ("applications.daily_metrics",)
FEATURE_CONSUMERS = ("features.behavior", "features.interests", "features.demand", "features.user_features")
PROFILE_CONSUMERS = ("profiles.scores", "profiles.tags", "profiles.user_profiles")
# The dictionary ends the daily path: until it is written a run has not come to its end.
DICTIONARY = "applications.dictionary"
DELIVERIES_OF_TAGS = ("applications.audiences", "applications.insights")
DELIVERIES = ("applications.recommendations", *DELIVERIES_OF_TAGS, DICTIONARY)
SNAPSHOT_CONSUMERS = (*FEATURE_CONSUMERS, *PROFILE_CONSUMERS)
STALE_CONSUMER = "features.stale_days"
# A snapshot's table notes under this prefix that it has been built; with all of them a day is no longer stale.
REBUILT = "rebuilt:"
# Under this prefix it is noted for each table made of features that those of a day were built: its rows, if it has some, are older.
OLDER = "older:"


@dataclass
class Judged:
    """What a run did to cleaned.events."""

    days: list[dt.date] = field(default_factory=list)
    touched_days: list[dt.date] = field(default_factory=list)
    n_cleaned: int = 0
    n_excluded: int = 0


@dataclass(frozen=True)
class Waiting:
    """What waits, sorted by how it is to be folded in."""

    whole: list[dt.date]
    rows: list[dt.date]
    outside: list[dt.date]


def waiting_days(warehouse: Warehouse, run: RunDays, *, calendar: CalendarSettings, newest: dt.date) -> Waiting:
    """Sort the days that wait: to be judged whole, by touched rows, or outside of every partition.

    A day that was never judged, or of which more than a tenth is new, is judged whole; and so is one that lay outside of the calendar
    when it was judged, and no longer does. Days outside of the calendar hold nothing that could count, and tomorrow's events wait for
    tomorrow, where it will come.
    """
    last = newest + ONE_DAY if calendar.end is None else min(newest + ONE_DAY, calendar.end)
    counts = warehouse.rows(
        "with waiting as (select event_date, cast(sum(n_events) as bigint) as n_new from raw.pending group by event_date),"
        " judged as (select event_date, cast(sum(n_cleaned + n_excluded) as bigint) as n_judged from cleaned.ledger group by event_date)"
        " select waiting.event_date, n_new, coalesce(n_judged, 0) from waiting left join judged using (event_date)"
    )
    reached = warehouse.days(
        "select distinct event_date from cleaned.excluded_events where reason_code = 'out_of_calendar' and event_date between $first and $last",
        {"first": calendar.start, "last": min(newest, last)},
    )
    whole, rows, outside = [day for day in reached if day not in run.days], [], []
    for day, n_new, n_judged in sorted(counts):
        if day < calendar.start or day > last:
            outside.append(day)
        elif day > newest or day in run.days or day in whole:
            continue
        elif n_judged == 0 or n_new > MUCH_NEW_SHARE * (n_new + n_judged):
            whole.append(day)
        else:
            rows.append(day)
    return Waiting(whole=sorted(whole), rows=rows, outside=outside)


def judge_events(
    warehouse: Warehouse,
    settings: Settings,
    run: RunDays,
    *,
    newest: dt.date,
    parameters: Mapping[str, Any],
    say: Callable[[str], None],
) -> Judged:
    """Judge the events of a run's days and, in a refresh, all that waits; note what derived tables have to follow."""
    waiting = waiting_days(warehouse, run, calendar=settings.calendar, newest=newest)
    extra = waiting.whole if run.is_refresh else []
    judged = Judged(days=sorted({*run.days, *extra}))
    # What lies outside of the calendar doesn't count, but of two records with one id it may be the one that stands.
    whole = [*waiting.outside, *judged.days]
    _find_touched_streams(warehouse, whole, waiting.rows if run.is_refresh else [])
    if run.is_refresh:
        missing = _days_without_snapshot(warehouse, extra, newest=newest)
        kept = kept_snapshot_days(missing, newest=newest, daily_snapshots=settings.daily_snapshots)
        touch_days(warehouse, SNAPSHOT_CONSUMERS, kept)
        # Nothing waits for its own days any more once they are judged: a killed run leaves these for the next.
        touch_days(warehouse, FEATURE_CONSUMERS, run.days)
    if run.includes_stale:
        touch_days(warehouse, SNAPSHOT_CONSUMERS, warehouse.days("select as_of_date from features.stale_days"))
    if run.is_refresh:
        # A day that was opened again after it was judged holds nothing new.
        warehouse.execute(
            f"delete from raw.pending as p using ({values_of(waiting.rows)}) as d where p.event_date = d.event_date and p.file_id is null"
        )
    # First what newcomers displace, as long as they wait: who is killed in between finds them, and with them what they displace, again.
    judged.touched_days = _judge_touched_streams(warehouse, parameters, judged)
    _find_duplicates_of(warehouse, whole)
    for batch in batches_of(warehouse, waiting.outside, events_per_batch=settings.events_per_chunk):
        _judge_days(warehouse, batch, parameters, judged, is_partition=False)
    batches = batches_of(warehouse, judged.days, events_per_batch=settings.events_per_chunk)
    for number, batch in enumerate(batches, start=1):
        _judge_days(warehouse, batch, parameters, judged, is_partition=True)
        say(
            f"judged {counted(len(batch), 'day')} from {batch[0]} to {batch[-1]} ({number} of {counted(len(batches), 'chunk')})"
        )
    warehouse.drop("touched_streams", "touched_pending", "duplicate_records")
    return judged


def _days_without_snapshot(warehouse: Warehouse, judged: list[dt.date], *, newest: dt.date) -> list[dt.date]:
    """Return the days that have no snapshot yet, or an outdated one: those judged whole, and days after them on which nothing
    happened. Without the latter a week whose last day is a holiday would have no cohort.
    """
    if not judged:
        return []
    present = set(warehouse.days("select distinct as_of_date from features.user_features"))
    return [day for day in days_between(judged[0], newest) if day in judged or day not in present]


def _find_touched_streams(warehouse: Warehouse, whole: list[dt.date], rows: list[dt.date]) -> None:
    """Make `touched_streams` (event_date, stream_id): what has to be judged again although its day is not judged whole.

    These are the streams of waiting rows on days that are folded row by row, and those of judged rows that share an id with a
    waiting row: the newcomer may displace them, whichever day they are on.
    """
    listed = values_of([*whole, *rows])
    warehouse.temporary(
        "touched_pending",
        f"select p.file_id, p.event_date from raw.pending as p semi join ({listed}) as d using (event_date) where p.file_id is not null",
    )
    others = warehouse.days("select distinct event_date from cleaned.ledger where n_cleaned + n_excluded > 0")
    if not rows and set(others) <= set(whole):
        warehouse.temporary(
            "touched_streams", "select null::date as event_date, null::varchar as stream_id where false"
        )
        return
    warehouse.temporary(
        "touched_streams",
        # Few of all records share a hash with one that waits: what is written as text is written of these.
        "with waiting as (select event_hash from raw.events semi join touched_pending using (file_id, event_date)),"
        " suspects as (select * from raw.events semi join waiting using (event_hash)),"
        f" identified as ({reading(sql_file('cleaned.identified_events'), {'raw.events': 'suspects'})}),"
        f" elsewhere as (select * from identified anti join ({values_of(whole)}) as w using (event_date)),"
        " incoming as (select * from identified semi join touched_pending using (file_id, event_date)),"
        " partners as (select i.* from elsewhere as i semi join incoming as n on n.event_hash = i.event_hash and n.event_id = i.event_id"
        " semi join (from cleaned.ledger where n_cleaned + n_excluded > 0) as l on l.file_id = i.file_id and l.event_date = i.event_date)"
        " select event_date, stream_id from elsewhere semi join touched_pending using (file_id, event_date)"
        " union select event_date, stream_id from partners",
    )


def _listed(days: Iterable[dt.date]) -> str:
    return ", ".join(f"date '{day.isoformat()}'" for day in days) or "null"


def _find_duplicates(warehouse: Warehouse, hashes: str | None) -> None:
    """Make `duplicate_records`: what loses to another record with its id, for the hashes that a query names, or for all."""
    scope = f"semi join ({hashes}) using (event_hash)" if hashes else ""
    warehouse.temporary(
        "shared_hashes", f"select event_hash from raw.events {scope} group by event_hash having count(*) > 1"
    )
    warehouse.temporary("duplicate_records", sql_file("cleaned.duplicate_records"))
    warehouse.drop("shared_hashes")


def _find_duplicates_of(warehouse: Warehouse, days: list[dt.date]) -> None:
    """Make `duplicate_records` of some days, once for all chunks: for each of them all of raw would be read again.

    Where most of what is loaded lies on these days, to look for their hashes costs more than to look for all.
    """
    among = f"event_date in ({_listed(days)})"
    is_most = warehouse.scalar(
        f"select coalesce(2 * sum(n_loaded) filter (where {among}) >= sum(n_loaded), false) from cleaned.ledger"
    )
    _find_duplicates(warehouse, None if is_most else f"select event_hash from raw.events where {among}")


def _find_excluded(warehouse: Warehouse, parameters: Mapping[str, Any]) -> None:
    """Make `excluded_records`: those of `scoped_events` that do not count."""
    for name, file in (("bot_days", "cleaned.bot_days"), ("excluded_records", "cleaned.excluded_events")):
        warehouse.temporary(name, sql_file(file), bound(sql_file(file), parameters))
    warehouse.drop("bot_days")


def _judge_days(
    warehouse: Warehouse,
    days: list[dt.date],
    parameters: Mapping[str, Any],
    judged: Judged,
    *,
    is_partition: bool,
) -> None:
    """Judge all events of some days, in one transaction with its ledger."""
    # The range is there for speed: blocks of other days are not looked at.
    among = f"event_date between date '{days[0].isoformat()}' and date '{days[-1].isoformat()}' and event_date in ({_listed(days)})"
    with warehouse.transaction():
        before = _fingerprints(warehouse, among)
        scope = f"select * from ({sql_file('cleaned.identified_events')}) where {among}"
        warehouse.execute(f"create or replace temp view scoped_events as {scope}")
        _find_excluded(warehouse, parameters)
        for table in (EVENTS, EXCLUDED_EVENTS):
            warehouse.execute(f"delete from {table.name} where {among}")
        events = sql_file("cleaned.events")
        judged.n_cleaned += warehouse.insert(EVENTS, events, bound(events, parameters))
        judged.n_excluded += warehouse.insert(EXCLUDED_EVENTS, "select * from excluded_records")
        warehouse.drop("excluded_records")
        warehouse.execute(f"delete from raw.pending where {among}")
        write_ledger(warehouse, days)
        if is_partition:
            touch_days(warehouse, (*STREAM_CONSUMERS, *ALIAS_CONSUMERS, *DAY_CONSUMERS), days)
            outdate_snapshots(warehouse, _changed_days(warehouse, among, before))


def outdate_snapshots(warehouse: Warehouse, days: list[dt.date]) -> None:
    """Note that what changed on some days outdates the snapshots from the first of them on.

    What a killed run has noted as built before that is outdated with them.
    """
    if days:
        touch_days(warehouse, (STALE_CONSUMER,), days)
        warehouse.execute(
            "delete from cleaned.touched where starts_with(consumer, $rebuilt) and event_date >= $first",
            {"rebuilt": REBUILT, "first": min(days)},
        )


def _changed_days(warehouse: Warehouse, among: str, before: dict[dt.date, tuple[int, int]]) -> list[dt.date]:
    """Return the days whose events are not what they were. Where there were none, nothing has to be hashed."""
    if not before:
        return warehouse.days(f"select distinct event_date from cleaned.events where {among}")
    after = _fingerprints(warehouse, among)
    return sorted(day for day in before.keys() | after.keys() if before.get(day) != after.get(day))


def _fingerprints(warehouse: Warehouse, among: str) -> dict[dt.date, tuple[int, int]]:
    """Count and order-free hash of the events of each day: a day judged again with the same result outdates nothing."""
    return {
        day: (n, mixed)
        for day, n, mixed in warehouse.rows(
            "select event_date, count(*), bit_xor(hash(event_id, event_time, role, alias_id, stream_id, device_id, page, order_id, item_id,"
            f" category, brand, query, quantity, value, amount)) from cleaned.events where {among} group by event_date"
        )
    }


def _find_left_waiting(warehouse: Warehouse) -> None:
    """Make `left_waiting`: records of the touched days that wait and that this run does not take up."""
    files = "select file_id, event_date from raw.pending semi join touched_streams using (event_date) anti join touched_pending using (file_id, event_date)"
    place = "(event_date, file_id, row_number)"
    warehouse.temporary(
        "left_waiting",
        # Of what was recovered a part of a file waits on a day, and the rest of it has been judged.
        f"select file_id, row_number from raw.events semi join ({files}) using (file_id, event_date)"
        f" anti join cleaned.events using {place} anti join cleaned.excluded_events using {place}",
    )


def _judge_touched_streams(warehouse: Warehouse, parameters: Mapping[str, Any], judged: Judged) -> list[dt.date]:
    """Judge the touched streams of other days again and write only what differs; return the days that changed."""
    days = warehouse.days("select distinct event_date from touched_streams")
    if not days:
        return []
    scope = (
        f"select e.* from ({sql_file('cleaned.identified_events')}) as e semi join touched_streams as s"
        " on s.event_date = e.event_date and s.stream_id is not distinct from e.stream_id"
        " anti join left_waiting as w on w.file_id = e.file_id and w.row_number = e.row_number"
        f" where e.event_date between date '{days[0].isoformat()}' and date '{days[-1].isoformat()}'"
    )
    with warehouse.transaction():
        _find_left_waiting(warehouse)
        warehouse.temporary("touched_events", scope)
        warehouse.execute("create or replace temp view scoped_events as select * from touched_events")
        _find_duplicates(warehouse, "select event_hash from touched_events")
        _find_excluded(warehouse, parameters)
        events = ", ".join(EVENTS.column_names)
        text = sql_file("cleaned.events")
        old = "join touched_events as j on j.file_id = t.file_id and j.row_number = t.row_number and j.event_date = t.event_date"
        warehouse.temporary("old_events", f"select t.* from cleaned.events as t semi {old}")
        warehouse.temporary("fresh_events", f"select {events} from ({text})", bound(text, parameters))
        warehouse.temporary("gone_events", f"select {events} from old_events except select {events} from fresh_events")
        warehouse.temporary("new_events", f"select {events} from fresh_events except select {events} from old_events")
        warehouse.execute(
            "delete from cleaned.events as t using gone_events as g"
            " where t.event_date = g.event_date and t.file_id = g.file_id and t.row_number = g.row_number"
        )
        judged.n_cleaned += warehouse.insert(EVENTS, "select * from new_events")
        warehouse.execute(
            "delete from cleaned.excluded_events as t using touched_events as j"
            " where t.event_date = j.event_date and t.file_id = j.file_id and t.row_number = j.row_number"
        )
        judged.n_excluded += warehouse.insert(EXCLUDED_EVENTS, "select * from excluded_records")
        warehouse.drop("excluded_records")
        warehouse.execute(
            "delete from raw.pending as p using touched_pending as t where p.file_id = t.file_id and p.event_date = t.event_date"
            " and p.event_date in (select event_date from touched_streams)"
        )
        write_ledger(warehouse, days)
        changed = "select * from gone_events union all select * from new_events"
        touch_rows(
            warehouse,
            STREAM_CONSUMERS,
            f"select event_date, stream_id, null as alias_id from ({changed}) where stream_id is not null",
        )
        touch_rows(
            warehouse,
            ALIAS_CONSUMERS,
            f"select event_date, null as stream_id, alias_id from ({changed}) where alias_id is not null",
        )
        changed_days = warehouse.days(f"select distinct event_date from ({changed})")
        touch_days(warehouse, DAY_CONSUMERS, changed_days)
        outdate_snapshots(warehouse, changed_days)
        warehouse.drop("left_waiting", "touched_events", "old_events", "fresh_events", "gone_events", "new_events")
    return changed_days


def write_ledger(warehouse: Warehouse, days: list[dt.date]) -> None:
    """Write the ledger of these days and refuse to commit unless every loaded event is in exactly one place.

    Raises
    ------
    CountingError
        With the days and files that do not add up.
    """
    warehouse.temporary("ledger_days", values_of(days))
    warehouse.execute("delete from cleaned.ledger as t using ledger_days as d where t.event_date = d.event_date")
    warehouse.insert(LEDGER, sql_file("cleaned.ledger"))
    require_days_add_up(warehouse.rows)
    warehouse.drop("ledger_days")
