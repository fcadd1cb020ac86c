"""When an event was: its time from one column, from a day and a time of day in two, from a day that was given, or from year, month and day.

Not here: which column is called a time (`tables`), how a time is written (`times`), or the times of other tables.
"""

import re
from dataclasses import replace

from profile_pipeline.raw.proposing.dialect import SampleError
from profile_pipeline.raw.proposing.kinds import ColumnKind
from profile_pipeline.raw.proposing.sample import Sample, sql_of
from profile_pipeline.raw.proposing.tables import FEWEST_TIMES, Assigned, times_by_content
from profile_pipeline.raw.proposing.times import PER_SECOND, formats_of, n_reading, reads_as, time_format_of
from profile_pipeline.raw.proposing.vocabulary import folded, meanings_of

_DAY_LENGTH, LONGEST = len("2026-01-31"), 40
_CLOCKS = frozenset({"clock", "timeofday", "hhmm", "hhmmss", "localtime", "clocktime", "时刻", "钟点"})
_DATE_OR_TIME = re.compile("date|time|日期|时间")
_PARTS = ("year", "month", "day")


def with_event_time(sample: Sample, found: Assigned, day: str | None) -> Assigned:
    """Return the same with the time of events as it is to be written, and what is to be told of it.

    Parameters
    ----------
    day
        Day of events whose file does not say it, YYYY-MM-DD.

    Raises
    ------
    SampleError
        If there are times of day without a day.
    """
    if found.table != "events":
        unused = f"--day {day} is not used: it is of events, and this is taken for {found.table}"
        return replace(found, guesses=(*found.guesses, unused)) if day else found
    kind = found.columns.get("event_time")
    if kind is not None and kind.time is None:
        return _of_times_of_day(sample, found, kind, day)
    if kind is not None:
        return _of_column(sample, found, kind, day)
    parts = {folded(k.name): k for k in sample.columns}
    if set(_PARTS) <= parts.keys():
        year, month, day_of_month = (sql_of(parts[name]) for name in _PARTS)
        text = f"{year} || '-' || lpad({month}, 2, '0') || '-' || lpad({day_of_month}, 2, '0')"
        return _with(found, ColumnKind(parts["day"].name, text, (), parts["day"].n_looked_at))
    return _with(found, _constant(day), _put_on(sample, day)) if day else found


def unread_times(sample: Sample) -> str | None:
    """Return which column is called a time and reads as one in part only, what does not, and what helps; None where there is none."""
    for kind in sample.columns:
        told = formats_of(kind.values) if "event_time" in meanings_of(kind.name) and kind.time is None else []
        if told and told[0][1] >= FEWEST_TIMES * len(kind.values):
            (first, n), *others = told
            example = next((v for v in kind.values if not reads_as(v, first.written)), None)
            if example is None:
                continue
            ways = [first.written, *(other.written for other, _ in others[:1])]
            tried = (
                f"try_cast({sql_of(kind)} as timestamp)" if way == "iso" else f"try_strptime({sql_of(kind)}, '{way}')"
                for way in ways
            )
            helps = (
                f" (or describe the source in profile.yaml by hand, with event_time: coalesce({', '.join(tried)}))"
                if others and not set(ways) & set(PER_SECOND)
                else ""
            )
            return (
                f"{kind.name} reads as a time in {n:,} of {len(kind.values):,} records looked at ({first.written}), and not where it is such as"
                f" {example[:LONGEST]!r}. Write all its times in one way where the file is made{helps}"
            )
    return None


def _with(found: Assigned, kind: ColumnKind, *notes: str) -> Assigned:
    return replace(found, columns=found.columns | {"event_time": kind}, guesses=(*found.guesses, *notes))


def _constant(day: str) -> ColumnKind:
    return ColumnKind("--day", f"'{day}'", (day,), 1)


def _put_on(sample: Sample, day: str) -> str:
    """Why all events are on one day, although a column may be called a time."""
    called = [k.name for k in sample.columns if "event_time" in meanings_of(k.name) and not k.is_blank]
    although = f", although {', '.join(called)} may say when: it can't be read as a time" if called else ""
    return f"no column says when{although}: every event is put on {day}"


def _of_column(sample: Sample, found: Assigned, kind: ColumnKind, day: str | None) -> Assigned:
    """The time of a column that says the day, with the time of day of another one where there is one."""
    assert kind.time is not None
    notes = [f"--day {day} is not used: {kind.name} says when"] if day else []
    unread = [v for v in kind.values if not reads_as(v, kind.time.written)]
    if unread:
        notes.append(
            f"{kind.name}: {len(unread):,} of {len(kind.values):,} records looked at do not read as a time ({kind.time.written}), such as"
            f" {unread[0][:LONGEST]!r}; such records are refused"
        )
    if kind.time.written == "epoch":
        notes.append(f"{kind.name} counts from 1970 in several units: each is told by its size (time_format: epoch)")
    clocks = [k for k in sample.columns if k.is_time_of_day and k.name != kind.name]
    if kind.has_clock or not clocks:
        return _with(found, kind, *notes)
    clock = _clock(kind, clocks)
    whole = _together(kind, clock) if clock is not None else None
    if whole is None:
        names = ", ".join(k.name for k in clocks)
        return _with(
            found, kind, *notes, f"{names}: a time of day that is not used, so that every event of a day is at midnight"
        )
    return _with(found, whole, *notes, f"{kind.name} and {clock.name if clock else ''} are taken together as the time")


def _clock(date: ColumnKind, clocks: list[ColumnKind]) -> ColumnKind | None:
    """The column of times of day that is called when something was, or as the date is, and not how long or until when."""
    alike = [k for k in clocks if _DATE_OR_TIME.sub("", folded(k.name)) == _DATE_OR_TIME.sub("", folded(date.name))]
    named = [k for k in clocks if "event_time" in meanings_of(k.name) or folded(k.name) in _CLOCKS]
    return next((found[0] for found in (alike, named) if len(found) == 1), None)


def _together(date: ColumnKind, clock: ColumnKind) -> ColumnKind | None:
    """A day and a time of day as one column; None where no format reads them."""
    assert date.time is not None
    days = [v for v in date.values if reads_as(v, date.time.written)]
    is_cut = date.time.written == "iso" and any(len(v) > _DAY_LENGTH for v in days)
    texts = tuple(
        f"{days[i % len(days)][: _DAY_LENGTH if is_cut else None]} {clock.values[i % len(clock.values)]}"
        for i in range(max(len(days), len(clock.values)))
    )
    found = time_format_of(texts)
    if found is None or n_reading(texts, found.written) < len(texts):
        return None
    day = f"substr({sql_of(date)}, 1, {_DAY_LENGTH})" if is_cut else sql_of(date)
    return ColumnKind(date.name, f"{day} || ' ' || {sql_of(clock)}", texts, date.n_looked_at)


def _of_times_of_day(sample: Sample, found: Assigned, kind: ColumnKind, day: str | None) -> Assigned:
    """Times of day, with the day that another column says or that is given."""
    taken = {k.name for k in found.columns.values()}
    dates = [k for k in times_by_content(sample.columns) if not k.has_clock and k.name not in taken]
    whole = _together(dates[0], kind) if len(dates) == 1 else None
    if whole is not None:
        unused = [f"--day {day} is not used: {dates[0].name} says the day"] if day else []
        return _with(found, whole, *unused, f"{dates[0].name} and {kind.name} are taken together as the time")
    if day is None:
        raise SampleError(
            f"{kind.name} holds times of day without a date. If all records are of one day, give it with --day YYYY-MM-DD"
        )
    texts = tuple(f"{day} {value}" for value in kind.values)
    return _with(found, ColumnKind(kind.name, f"'{day} ' || {sql_of(kind)}", texts, kind.n_looked_at))
