"""Cutting sessions where a window function can't: chains of events that go on for more than a day.

Whether an event is more than 24 hours after its session's first depends on where the sessions before it were cut, so these
few chains (machines, mostly) are cut in order. No session reaches a third date either, as it could over a day of 23 hours: the
run of a day looks at the sessions of the day before, and no further. Not here: all other sessions, which `session_chains.sql` cuts.
"""

import datetime as dt
from collections.abc import Iterable

LONGEST_SESSION = dt.timedelta(hours=24)
ONE_DAY = dt.timedelta(days=1)

ChainedEvent = tuple[str, int, dt.datetime, dt.date, str | None, str]


def cut_long_chains(events: Iterable[ChainedEvent]) -> list[str]:
    """Return the events that start a session within chains that last more than a day or reach a third date.

    Parameters
    ----------
    events
        (stream_id, chain_number, event_time, event_date, user_alias or None, event_id), ordered by stream, chain, time and id.

    Returns
    -------
    list of str
        The event_id of every cut; the first event of a chain is none.

    Examples
    --------
    >>> day = dt.datetime(2026, 1, 1)
    >>> cut_long_chains([("s", 1, day + dt.timedelta(hours=h), day.date(), None, f"e{h}") for h in (0, 24, 25)])
    ['e25']
    """
    cuts: list[str] = []
    chain: tuple[str, int] | None = None
    started_at, first_day, user = dt.datetime.min, dt.date.min, None
    for stream_id, number, event_time, event_date, named, event_id in events:
        if chain != (stream_id, number):
            chain, started_at, first_day, user = (stream_id, number), event_time, event_date, named
        elif (
            event_time - started_at > LONGEST_SESSION
            or event_date - first_day > ONE_DAY
            or (named is not None and user is not None and named != user)
        ):
            cuts.append(event_id)
            started_at, first_day, user = event_time, event_date, named
        else:
            user = named or user
    return cuts
