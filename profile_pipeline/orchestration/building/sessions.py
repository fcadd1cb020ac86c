"""Cutting sessions of a run: whole days in chunks, then touched streams until nothing spills over midnight.

Not here: what a session is (the SQL files of cleaned and `cleaned.sessions`).
"""

import datetime as dt
from collections.abc import Callable

from profile_pipeline.cleaned.sessions import cut_long_chains
from profile_pipeline.cleaned.tables import SESSION_DAYS, SESSIONS
from profile_pipeline.orchestration.building.cleaning import DAY_CONSUMERS
from profile_pipeline.orchestration.building.days import (
    ONE_DAY,
    RunDays,
    chunks_of,
    days_between,
    days_to_build,
    settle_days,
    touch_days,
    touch_rows,
    touched_rows_query,
)
from profile_pipeline.warehouse.duckdb import Warehouse
from profile_pipeline.warehouse.sql import sql_file

CONSUMER = "cleaned.sessions"
TILES = "features.user_days"

# Where a stream's last session of the day before began: from there it is cut anew, which gives what cutting everything gives.
CARRIED = """
    select stream_id, session_id, started_at, first_event_id
    from cleaned.sessions
    where event_date = $day_before
    qualify row_number() over (partition by stream_id order by started_at desc, first_event_id desc) = 1
"""


def cut_sessions(
    warehouse: Warehouse, run: RunDays, *, events_per_chunk: int, say: Callable[[str], None]
) -> list[dt.date]:
    """Cut the sessions of a run's days and of the touched streams of other days; return the days built whole."""
    days = days_to_build(warehouse, CONSUMER, run)
    for first, last in chunks_of(warehouse, days, events_per_chunk=events_per_chunk):
        with warehouse.transaction():
            _cut(warehouse, first, last, streams=None)
            _touch_next_day(warehouse, last, streams=None)
            touch_days(warehouse, (TILES,), days_between(first, last))
            settle_days(warehouse, CONSUMER, days_between(first, last))
        say(f"cut sessions of {first} to {last}")
    while stretch := _touched_stretch(warehouse, events_per_chunk=events_per_chunk):
        with warehouse.transaction():
            _follow_streams(warehouse, *stretch)
    return days


def _touched_stretch(warehouse: Warehouse, *, events_per_chunk: int) -> tuple[dt.date, dt.date] | None:
    """Return the first touched day and the last one that is cut with it, None where no stream is touched.

    A day that is noted whole has no sessions yet: what comes before it ends there.
    """
    touched = warehouse.days(f"select distinct event_date from ({touched_rows_query()})", {"consumer": CONSUMER})
    if not touched:
        return None
    whole = warehouse.days(
        "select distinct event_date from cleaned.touched where consumer = $consumer and stream_id is null",
        {"consumer": CONSUMER},
    )
    end = min((day for day in whole if day > touched[0]), default=touched[-1] + ONE_DAY)
    between = [day for day in days_between(touched[0], touched[-1]) if day < end]
    first, last = chunks_of(warehouse, between, events_per_chunk=events_per_chunk)[0]
    return first, max(day for day in touched if day <= last)


def _follow_streams(warehouse: Warehouse, first: dt.date, last: dt.date) -> None:
    """Cut the streams that are touched in a stretch of days anew, all of it, and note for the tiles where that changed something."""
    warehouse.temporary(
        "touched_streams",
        f"select distinct stream_id from ({touched_rows_query()}) where event_date between $first_day and $last_day",
        {"consumer": CONSUMER, "first_day": first, "last_day": last},
    )
    standing = (
        "select event_date, stream_id, session_id, alias_id, n_sessions, session_seconds from cleaned.session_days"
        f" semi join touched_streams using (stream_id) where event_date between date '{first}' and date '{last}'"
    )
    warehouse.temporary("old_session_days", standing)
    _cut(warehouse, first, last, streams="touched_streams")
    touch_rows(
        warehouse,
        (TILES,),
        "select event_date, null as stream_id, alias_id from"
        f" ((from old_session_days except {standing}) union all ({standing} except from old_session_days))",
    )
    _touch_next_day(warehouse, last, streams="touched_streams")
    settle_days(warehouse, CONSUMER, days_between(first, last))
    warehouse.drop("touched_streams", "old_session_days")


def _cut(warehouse: Warehouse, first: dt.date, last: dt.date, *, streams: str | None) -> None:
    """Cut the sessions of a stretch of days anew, of all streams or of those in a relation."""
    only = f"semi join {streams} using (stream_id)" if streams else ""
    warehouse.temporary("carried", f"select * from ({CARRIED}) {only}", {"day_before": first - ONE_DAY})
    warehouse.execute(
        "create or replace temp view session_input as"
        f" select stream_id, event_date, event_time, event_id, alias_id, page, role from cleaned.events {only}"
        f" where stream_id is not null and event_date between date '{first}' and date '{last}'"
        " union all select e.stream_id, e.event_date, e.event_time, e.event_id, e.alias_id, e.page, e.role from cleaned.events as e"
        f" join carried as c on c.stream_id = e.stream_id where e.event_date = date '{first - ONE_DAY}'"
        " and (e.event_time > c.started_at or (e.event_time = c.started_at and e.event_id >= c.first_event_id))"
    )
    warehouse.temporary("session_chains", sql_file("cleaned.session_chains"))
    warehouse.temporary("session_cuts", sql_file("cleaned.session_cuts"))
    cuts = cut_long_chains(warehouse.rows(sql_file("cleaned.long_chain_events")))
    if cuts:
        warehouse.execute("insert into session_cuts select unnest($cuts)", {"cuts": cuts})
    warehouse.execute(f"create or replace temp view session_events as {sql_file('cleaned.session_events')}")
    # What metrics of a day say of its sessions: it is judged with the day, but a session of the day before may have come to be another.
    touched = "carried" if streams is None else f"(from {streams} union select stream_id from carried)"
    counted = (
        "select event_date, stream_id, session_id, alias_id, is_converted from cleaned.sessions"
        f" semi join {touched} using (stream_id)"
        f" where event_date between date '{first - ONE_DAY}' and date '{last if streams else first - ONE_DAY}'"
    )
    warehouse.temporary("old_sessions", counted)
    condition = (
        f"event_date between $first_day and $last_day {'and stream_id in (from ' + streams + ')' if streams else ''}"
    )
    bounds = {"first_day": first, "last_day": last}
    for table in (SESSIONS, SESSION_DAYS):
        warehouse.execute(f"delete from {table.name} where {condition}", bounds)
    warehouse.execute(
        "delete from cleaned.sessions as t using carried as c where t.event_date = $day_before and t.session_id = c.session_id",
        {"day_before": first - ONE_DAY},
    )
    warehouse.temporary("fresh_sessions", sql_file("cleaned.sessions"))
    warehouse.insert(SESSIONS, "select * from fresh_sessions")
    touch_rows(
        warehouse,
        DAY_CONSUMERS,
        "select event_date, null as stream_id, null as alias_id from"
        f" ((from old_sessions except {counted}) union all ({counted} except from old_sessions))",
    )
    warehouse.insert(SESSION_DAYS, sql_file("cleaned.session_days"), bounds)
    warehouse.drop("carried", "session_chains", "session_cuts", "fresh_sessions", "old_sessions")


def _touch_next_day(warehouse: Warehouse, last: dt.date, *, streams: str | None) -> None:
    """Note the streams whose last session may go on, or went on before, over the midnight after `last`.

    Only days whose events are judged and whose sessions are cut already have to follow; a day noted whole takes them along.
    """
    only = f"semi join {streams} using (stream_id)" if streams else ""
    after = last + ONE_DAY
    touch_rows(
        warehouse,
        (CONSUMER,),
        "with sessions as (select stream_id, max(ended_at) as ended_at from cleaned.sessions"
        f" {only} where event_date = date '{last.isoformat()}' group by stream_id),"
        f" nexts as (select stream_id, min(event_time) as event_time from cleaned.events {only}"
        f" where event_date = date '{after.isoformat()}' and stream_id is not null group by stream_id),"
        " reached as (select n.stream_id from nexts as n join sessions as s using (stream_id)"
        " where n.event_time <= s.ended_at + interval 30 minute),"
        " was_reached as (select distinct d.stream_id from cleaned.session_days as d"
        f" {only} where d.event_date = date '{after.isoformat()}' and not exists (select 1 from cleaned.sessions as s"
        f" where s.session_id = d.session_id and s.event_date = date '{after.isoformat()}'))"
        f" select date '{after.isoformat()}' as event_date, stream_id, null as alias_id from reached"
        f" union select date '{after.isoformat()}' as event_date, stream_id, null as alias_id from was_reached",
    )
