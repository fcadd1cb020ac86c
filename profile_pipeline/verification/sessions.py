"""Where sessions of a stream begin and end: one event after the other, over the whole history of the stream.

Not here: how a run takes them up day by day (`cleaned/`), which is what this is held against.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from profile_pipeline.verification.judging import CleanEvent
from profile_pipeline.verification.values import session_of, strength

LONGEST_GAP = dt.timedelta(minutes=30)
LONGEST = dt.timedelta(hours=24)
MICROSECOND = dt.timedelta(microseconds=1)

Row = dict[str, Any]


def cut(events: Iterable[CleanEvent]) -> tuple[list[Row], list[Row]]:
    """Return the rows of `cleaned.sessions` and of `cleaned.session_days` of whole streams."""
    streams: dict[str, list[CleanEvent]] = defaultdict(list)
    for event in events:
        if event.stream_id is not None:
            streams[event.stream_id].append(event)
    sessions: list[Row] = []
    days: list[Row] = []
    for stream_id, of_stream in streams.items():
        of_stream.sort(key=lambda e: (e.event_time, e.event_id))
        for session in _sessions_of(of_stream):
            session_id = session_of(stream_id, session[0].event_id)
            sessions.append(_row(stream_id, session_id, session))
            days += _days(stream_id, session_id, session)
    return sessions, days


def _sessions_of(events: Sequence[CleanEvent]) -> Iterator[list[CleanEvent]]:
    session: list[CleanEvent] = []
    user: str | None = None
    for event in events:
        named = event.alias_id if event.alias_id and event.alias_id.startswith("user:") else None
        if session and (
            event.event_time - session[-1].event_time > LONGEST_GAP
            or event.event_time - session[0].event_time > LONGEST
            # A day of 23 hours fits between two nights of one session.
            or (event.event_date - session[0].event_date).days > 1
            or (named is not None and user is not None and named != user)
        ):
            yield session
            session, user = [], None
        session.append(event)
        user = named or user
    if session:
        yield session


def _row(stream_id: str, session_id: str, session: Sequence[CleanEvent]) -> Row:
    pages = [event.page for event in session if event.page is not None]
    return {
        "session_id": session_id,
        "stream_id": stream_id,
        "alias_id": min((e.alias_id for e in session if e.alias_id is not None), key=strength),
        "event_date": session[0].event_date,
        "started_at": session[0].event_time,
        "ended_at": session[-1].event_time,
        "n_events": len(session),
        "entry_page": pages[0] if pages else None,
        "exit_page": pages[-1] if pages else None,
        "is_converted": any(event.role == "purchase" for event in session),
        "first_event_id": session[0].event_id,
    }


def _days(stream_id: str, session_id: str, session: Sequence[CleanEvent]) -> Iterator[Row]:
    seconds: dict[tuple[dt.date, str], int] = defaultdict(int)
    for event, following in zip(session, [*session[1:], None], strict=True):
        assert event.alias_id is not None, "what has a stream has an alias"
        gap = 0
        if following is not None and following.event_date == event.event_date:
            gap = (following.event_time - event.event_time) // MICROSECOND // 1_000_000
        seconds[event.event_date, event.alias_id] += gap
    first = session[0]
    for (day, alias_id), total in seconds.items():
        yield {
            "event_date": day,
            "stream_id": stream_id,
            "session_id": session_id,
            "alias_id": alias_id,
            "n_sessions": int((day, alias_id) == (first.event_date, first.alias_id)),
            "session_seconds": total,
        }
