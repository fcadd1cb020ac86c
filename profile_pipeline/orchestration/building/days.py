"""Which days a run is about: partitions, ranges, and what waits in the warehouse.

Here is the arithmetic of days between Dagster's partitions and the tables `raw.pending` and `cleaned.touched`. Not here: what
is computed for a day.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import dagster as dg
import pyarrow as pa

from profile_pipeline.errors import ExpectedError
from profile_pipeline.settings import CalendarSettings
from profile_pipeline.warehouse.duckdb import Warehouse

RANGE_START_TAG = "dagster/asset_partition_range_start"
RANGE_END_TAG = "dagster/asset_partition_range_end"
REFRESH_TAG = "profile_pipeline/refresh"
STALE_TAG = "profile_pipeline/stale"
FILES_TAG = "profile_pipeline/files"
RECOVER_TAG = "profile_pipeline/recover"
SEED_TAG = "profile_pipeline/seed"
RELOAD_TAG = "profile_pipeline/reload"
OPEN_END = dt.date(9999, 12, 31)
ONE_DAY = dt.timedelta(days=1)
WEEK_DAYS = 7


class DaysError(ExpectedError):
    """The days asked for can't be built; the text says which can."""


def daily_partitions(calendar: CalendarSettings) -> dg.DailyPartitionsDefinition:
    """All days of the calendar; without an end, today is one."""
    end = str(calendar.end + ONE_DAY) if calendar.end else None
    return dg.DailyPartitionsDefinition(
        start_date=str(calendar.start), end_date=end, timezone=calendar.timezone, end_offset=0 if end else 1
    )


def weekly_partitions(calendar: CalendarSettings) -> dg.WeeklyPartitionsDefinition:
    """All weeks of the calendar that have ended, named by their Monday; a closed calendar may be too short for one."""
    end = calendar.end + ONE_DAY if calendar.end else None
    first_week = calendar.start + dt.timedelta(days=-calendar.start.weekday() % WEEK_DAYS)
    if calendar.end and last_day_of(first_week) > calendar.end:
        # Dagster counts the first week even if it reaches beyond the end: only what ends where it starts has none.
        end = calendar.start
    return dg.WeeklyPartitionsDefinition(
        start_date=str(calendar.start), end_date=str(end) if end else None, timezone=calendar.timezone, day_offset=1
    )


def day_keys(partitions: dg.TimeWindowPartitionsDefinition) -> list[dt.date]:
    """The days (or Mondays) that are partitions now, in order."""
    return [dt.date.fromisoformat(key) for key in partitions.get_partition_keys()]


def ended_weeks(calendar: CalendarSettings) -> list[dt.date]:
    """The Mondays of all weeks that have ended, in order.

    Raises
    ------
    DaysError
        If there is none: models are of whole weeks.
    """
    weeks = day_keys(weekly_partitions(calendar))
    if not weeks:
        raise DaysError(
            f"`calendar` of profile.yaml: found {calendar.start} to {calendar.end or 'today'}, expected a week, Monday to Sunday,"
            " that has ended: models are of whole weeks"
        )
    return weeks


def first_open_day(calendar: CalendarSettings) -> dt.date:
    """The first day that has not ended yet: rows of days before it are final."""
    closed = dg.DailyPartitionsDefinition(
        start_date=str(calendar.start), timezone=calendar.timezone
    ).get_last_partition_key()
    return dt.date.fromisoformat(closed) + ONE_DAY if closed else calendar.start


def last_day_of(week: dt.date) -> dt.date:
    """The Sunday of a week that is named by its Monday."""
    return week + dt.timedelta(days=WEEK_DAYS - 1)


def stretches(days: Iterable[dt.date]) -> list[tuple[dt.date, dt.date]]:
    """Group days into stretches without a hole.

    Examples
    --------
    >>> d = dt.date
    >>> stretches([d(2026, 1, 1), d(2026, 1, 2), d(2026, 1, 5)]) == [(d(2026, 1, 1), d(2026, 1, 2)), (d(2026, 1, 5), d(2026, 1, 5))]
    True
    """
    found: list[tuple[dt.date, dt.date]] = []
    for day in sorted(set(days)):
        if found and day - found[-1][1] == ONE_DAY:
            found[-1] = (found[-1][0], day)
        else:
            found.append((day, day))
    return found


def days_between(first: dt.date, last: dt.date) -> list[dt.date]:
    """All days from first to last, both included."""
    return [first + dt.timedelta(days=n) for n in range((last - first).days + 1)]


@dataclass(frozen=True)
class RunDays:
    """The partitions of a run, and whether it also folds in what waits for other days."""

    first: dt.date
    last: dt.date
    is_refresh: bool
    includes_stale: bool

    @property
    def days(self) -> list[dt.date]:
        return days_between(self.first, self.last)

    @classmethod
    def of(cls, context: dg.AssetExecutionContext) -> "RunDays":
        """Read the partitions and tags of a run.

        Raises
        ------
        DaysError
            If a range ends before it starts or leaves the calendar.
        """
        known = (
            set(context.assets_def.partitions_def.get_partition_keys()) if context.assets_def.partitions_def else set()
        )
        first, last = partitions_of(context, sorted(dt.date.fromisoformat(key) for key in known))
        tags = context.run.tags
        return cls(
            first=first,
            last=last,
            is_refresh=tags.get(REFRESH_TAG) == "true",
            includes_stale=tags.get(STALE_TAG) == "true",
        )


def checked_range(first: dt.date, last: dt.date, known: Sequence[dt.date]) -> None:
    """Refuse a range that Dagster would run empty and green, or stop in the middle of.

    Raises
    ------
    DaysError
        With the range that can be built.
    """
    if not known:
        raise DaysError("the calendar has no day yet: `calendar.start` of profile.yaml lies in the future")
    if first > last or first < known[0] or last > known[-1]:
        raise DaysError(
            f"found the range {first} to {last}, expected days from {known[0]} to {known[-1]}, the first not after the last"
        )


def partitions_of(context: dg.AssetExecutionContext, known: Sequence[dt.date]) -> tuple[dt.date, dt.date]:
    """Return the first and last partition of a run, be they days or weeks.

    Raises
    ------
    DaysError
        If the run has none, or its range can't be built: Dagster would say so in words of its own.
    """
    tags = context.run.tags
    if RANGE_START_TAG in tags and RANGE_END_TAG in tags:
        start, end = tags[RANGE_START_TAG], tags[RANGE_END_TAG]
    elif context.has_partition_key:
        start = end = context.partition_key
    else:
        raise DaysError(
            "found a run without a partition, expected a day, a week or a range of them: choose some where you materialize,"
            " or run `profile-pipeline run --from … --to …`"
        )
    first, last = dt.date.fromisoformat(start), dt.date.fromisoformat(end)
    checked_range(first, last, known)
    return first, last


def kept_snapshot_days(days: Iterable[dt.date], *, newest: dt.date, daily_snapshots: int) -> list[dt.date]:
    """Of days that a refresh found, those whose snapshots are kept: the last ones, and every week's last day."""
    return sorted(
        day
        for day in set(days)
        if day <= newest and (day > newest - dt.timedelta(days=daily_snapshots) or day.isoweekday() == WEEK_DAYS)
    )


# ---- cleaned.touched: what changed in cleaned and a table derived from it has not followed yet


def values_of(days: Iterable[dt.date]) -> str:
    """A query of one column event_date that holds these days."""
    rows = ", ".join(f"(date '{day.isoformat()}')" for day in days)
    return (
        f"select * from (values {rows}) as v(event_date)"
        if rows
        else "select cast(null as date) as event_date where false"
    )


def touch_days(warehouse: Warehouse, consumers: Iterable[str], days: Iterable[dt.date]) -> None:
    """Note whole days for tables that have to follow."""
    touch_rows(
        warehouse,
        consumers,
        f"select event_date, cast(null as varchar) as stream_id, cast(null as varchar) as alias_id from ({values_of(days)})",
    )


def touch_rows(warehouse: Warehouse, consumers: Iterable[str], rows: str) -> None:
    """Note the (event_date, stream_id, alias_id) of a query for tables that have to follow."""
    warehouse.execute(
        f"insert into cleaned.touched select c.consumer, event_date, stream_id, alias_id from"
        f" (select distinct event_date, stream_id, alias_id from ({rows})) as r cross join (select unnest($consumers) as consumer) as c"
        f" where not exists (select 1 from cleaned.touched as t"
        f" where t.consumer = c.consumer and t.event_date = r.event_date and t.stream_id is not distinct from r.stream_id"
        f" and t.alias_id is not distinct from r.alias_id)",
        {"consumers": list(consumers)},
    )


def days_to_build(warehouse: Warehouse, consumer: str, run: RunDays) -> list[dt.date]:
    """The whole days that a table has to build in this run: its partitions and, in a refresh, the days noted for it."""
    noted = warehouse.days(
        "select distinct event_date from cleaned.touched where consumer = $consumer and stream_id is null and alias_id is null",
        {"consumer": consumer},
    )
    return sorted({*run.days, *(noted if run.is_refresh else ())})


def hold_snapshot_days(warehouse: Warehouse, days: Sequence[dt.date]) -> None:
    """Let queries of snapshots and profiles read which days they are about, as `snapshot_days(as_of_date)`."""
    warehouse.temporary("snapshot_days", pa.table({"as_of_date": pa.array(days, pa.date32())}))


def settle_days(warehouse: Warehouse, consumer: str, days: Iterable[dt.date]) -> None:
    """Forget what was noted for days that a table has now built whole."""
    warehouse.execute(
        "delete from cleaned.touched where consumer = $consumer and list_contains($days, event_date)",
        {"consumer": consumer, "days": list(days)},
    )


def touched_rows_query(consumer_parameter: str = "$consumer") -> str:
    """The rows noted for a table on days that it has built: a day noted whole is not built, its rows wait with it."""
    return (
        f"select event_date, stream_id, alias_id from cleaned.touched as t where consumer = {consumer_parameter}"
        " and (stream_id is not null or alias_id is not null) and not exists (select 1 from cleaned.touched as w"
        " where w.consumer = t.consumer and w.event_date = t.event_date and w.stream_id is null and w.alias_id is null)"
    )


def settle_rows(warehouse: Warehouse, consumer: str, rows: str) -> None:
    """Forget the rows, of a relation with event_date, stream_id and alias_id, that a table has followed."""
    warehouse.execute(
        f"delete from cleaned.touched as t using {rows} as r where t.consumer = $consumer and t.event_date = r.event_date"
        " and t.stream_id is not distinct from r.stream_id and t.alias_id is not distinct from r.alias_id",
        {"consumer": consumer},
    )


def batches_of(warehouse: Warehouse, days: Iterable[dt.date], *, events_per_batch: int) -> list[list[dt.date]]:
    """Cut days, in order, into lists of at most so many loaded events (at least one day each): this bounds memory."""
    counts = dict(
        warehouse.rows("select event_date, cast(sum(n_loaded) as bigint) from cleaned.ledger group by event_date")
    )
    batches: list[list[dt.date]] = []
    held = 0
    for day in sorted(days):
        held += counts.get(day, 0)
        if not batches or held > events_per_batch:
            batches.append([])
            held = counts.get(day, 0)
        batches[-1].append(day)
    return batches


def chunks_of(warehouse: Warehouse, days: Iterable[dt.date], *, events_per_chunk: int) -> list[tuple[dt.date, dt.date]]:
    """Cut days into stretches without a hole of at most so many loaded events (at least one day each)."""
    return [
        stretch
        for batch in batches_of(warehouse, days, events_per_batch=events_per_chunk)
        for stretch in stretches(batch)
    ]
