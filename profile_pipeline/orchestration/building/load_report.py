"""What came of a load, in words that a person can act on: what was refused or does not count, why, and what to do.

Not here: loading (`ingesting`), judging (`cleaning`), or the counts that the asset shows.
"""

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from profile_pipeline.cleaned.reasons import OF_EVENTS
from profile_pipeline.errors import ExpectedError
from profile_pipeline.raw.archive import why_unreadable
from profile_pipeline.raw.landing import LandingFile, not_followed
from profile_pipeline.raw.readers.reasons import NO_SOURCE, remedy_of
from profile_pipeline.settings import Settings
from profile_pipeline.warehouse.duckdb import Warehouse
from profile_pipeline.wording import counted

MOST_LINES = 5
# What the archive has lost is loaded as of the time at which it arrived.
NEWEST = "(loaded_at = (select max(loaded_at) from raw.files) or list_contains($reloaded, file_id))"


class NothingCountsError(ExpectedError):
    """Nothing that has been loaded so far can become a profile; the text says why."""


def load_report(
    warehouse: Warehouse, settings: Settings, *, newest_day: dt.date, reloaded: Sequence[str] = ()
) -> list[str]:
    """Return what is wrong with the newest load, a line each; empty where nothing is.

    Parameters
    ----------
    reloaded
        Ids of files that this load has taken from the archive.

    Raises
    ------
    NothingCountsError
        If no record was ever loaded, or no event lies within the calendar, or where no source brings events no record of a person
        is from before its end: a run would build empty tables.
    """
    told = [
        *_files(warehouse, settings, reloaded),
        *_records(warehouse, reloaded),
        *_days(warehouse, settings, newest_day),
    ]
    if not warehouse.rows("select 1 from raw.files where n_loaded > 0 limit 1"):
        raise NothingCountsError("\n".join(["no record was loaded", *told]))
    within = "select 1 from raw.events where event_date between $start and $newest limit 1"
    has_events = warehouse.rows("select 1 from raw.events limit 1")
    if has_events and not warehouse.rows(within, {"start": settings.calendar.start, "newest": newest_day}):
        raise NothingCountsError("\n".join(["no event counts", *told]))
    if not settings.has_events:
        _require_people(warehouse, settings, newest_day)
    return told


def _require_people(warehouse: Warehouse, settings: Settings, newest_day: dt.date) -> None:
    ((n_records, day),) = warehouse.rows(
        "select count(*), cast(min(coalesce(updated_at at time zone 'UTC' at time zone $timezone, $start)) as date) from raw.users",
        {"timezone": settings.calendar.timezone, "start": settings.calendar.start},
    )
    if not n_records:
        raise NothingCountsError(
            "no person counts: found no event and no record of a person. Add a source of table: events, or of table: users"
        )
    if day > newest_day:
        raise NothingCountsError(
            f"no person counts: found {counted(n_records, 'record')} of people, the first of {day}, expected one of {newest_day} or before."
            " Set calendar: in profile.yaml, or see whether time_format is right"
        )


def left_report(landing: Path, waiting: Sequence[LandingFile]) -> list[str]:
    """Return what an ingest has left in the landing folder and why, a line each.

    Parameters
    ----------
    waiting
        The files that lie there now.
    """
    told = not_followed(landing) + [
        (file.name, why_unreadable(file.path) or "it changed or came while files were read; the next run takes it")
        for file in waiting
        if file.path.is_relative_to(landing)
    ]
    lines = [f"left alone: {name}: {why}" for name, why in told[:MOST_LINES]]
    return lines + ([f"left alone: {len(told) - MOST_LINES} more in {landing}"] if len(told) > MOST_LINES else [])


def _files(warehouse: Warehouse, settings: Settings, reloaded: Sequence[str]) -> list[str]:
    # A file that was refused makes the run end as a bad one: why is told first.
    rows = warehouse.rows(
        "select path, reason, count(*) over () from raw.files"
        f" where status = 'rejected' and {NEWEST} order by reason = $no_source, path limit {MOST_LINES}",
        {"reloaded": list(reloaded), "no_source": NO_SOURCE},
    )
    patterns = ", ".join(source.path for source in settings.sources.values())
    told = []
    for path, reason, _ in rows:
        why = f"no source claims it; the paths of sources: are {patterns}" if reason == NO_SOURCE else reason
        told.append(f"not loaded: {path}: {why.rstrip('.?')}. {_sentence(remedy_of(reason))}")
    if rows and rows[0][2] > MOST_LINES:
        told.append(f"not loaded: {counted(rows[0][2] - MOST_LINES, 'more file')}; see raw.files")
    return told


def _records(warehouse: Warehouse, reloaded: Sequence[str]) -> list[str]:
    rows = warehouse.rows(
        "select source, reason_code, count(*) as n from raw.rejected_records"
        f" where {NEWEST} and dismissed_at is null group by source, reason_code order by n desc limit {MOST_LINES}",
        {"reloaded": list(reloaded)},
    )
    return [
        # What stands in a record may be of a person: it is shown to who asks, and not in the output of every run.
        f"rejected: {counted(n, 'record')} of {source}: {reason}, shown by `profile-pipeline rejected show --source {source} --reason {reason}`."
        f" {_sentence(remedy_of(reason))}"
        for source, reason, n in rows
    ]


def _days(warehouse: Warehouse, settings: Settings, newest_day: dt.date) -> list[str]:
    start = settings.calendar.start
    ((n, first, last),) = warehouse.rows(
        "select sum(n_events), min(event_date), max(event_date) from raw.pending"
        " where file_id is not null and (event_date < $start or event_date > $newest)",
        {"start": start, "newest": newest_day},
    )
    if not n:
        return []
    return [
        f"not counted: {counted(int(n), 'event')} of {first} to {last}, outside of the calendar, {start} to {newest_day}."
        " Set calendar: in profile.yaml, or see whether time_format is right"
    ]


def not_counted(warehouse: Warehouse) -> Counter[tuple[str, str]]:
    """Return how many events do not count, by source and reason; those outside of the calendar were told when they were loaded."""
    rows = warehouse.rows(
        "with counts as (select file_id, reason_code, count(*) as n from cleaned.excluded_events where reason_code <> 'out_of_calendar' group by all)"
        " select source, reason_code, cast(sum(n) as bigint) from counts"
        " join (from raw.files where status = 'loaded') as f using (file_id) group by all"
    )
    return Counter({(source, reason): n for source, reason, n in rows})


def exclusion_report(newly: Counter[tuple[str, str]]) -> list[str]:
    """Return which events do not count and why, a line for each source and reason, the most first.

    Examples
    --------
    >>> exclusion_report(Counter({("web", "bot_user_agent"): 286}))
    ["not counted: 286 events of web: bot_user_agent (its user agent is a program's). Nothing, or see user_agents of bots:"]
    """
    told = [
        f"not counted: {counted(n, 'event')} of {source}: {reason} ({OF_EVENTS[reason][0]}). {_sentence(OF_EVENTS[reason][1])}"
        for (source, reason), n in sorted(newly.items(), key=lambda one: (-one[1], one[0]))
    ]
    more = f"not counted: for {counted(len(told) - MOST_LINES, 'more reason')}; see cleaned.excluded_events"
    return told[:MOST_LINES] + ([more] if len(told) > MOST_LINES else [])


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
