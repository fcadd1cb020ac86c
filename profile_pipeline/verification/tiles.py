"""What an alias did on a day: counted from its events, one by one.

Not here: what of it may be seen on another day (`snapshots`).
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from profile_pipeline.raw.roles import COUNT_OF_ROLE
from profile_pipeline.verification.judging import CleanEvent
from profile_pipeline.verification.values import words_of

Row = dict[str, Any]

MORNING_HOUR = 6


def user_days(events: Iterable[CleanEvent], session_days: Iterable[Row], timezone: str) -> list[Row]:
    """Return the rows of `features.user_days` of events and their parts of sessions."""
    zone = ZoneInfo(timezone)
    in_sessions: dict[tuple[dt.date, str], list[Row]] = defaultdict(list)
    for row in session_days:
        in_sessions[row["event_date"], row["alias_id"]].append(row)
    rows = []
    for (day, alias), of_day in _grouped(events, lambda e: (e.event_date, e.alias_id)).items():
        bought = [e for e in of_day if e.role == "purchase"]
        sessions = in_sessions.get((day, alias), [])
        rows.append({
            "event_date": day,
            "alias_id": alias,
            "n_events": len(of_day),
            **{name: sum(e.role == role for e in of_day) for role, name in COUNT_OF_ROLE.items()},
            "n_orders": len({("order", e.order_id) if e.order_id is not None else ("time", e.event_time) for e in bought}),
            "purchase_amount": _sum_of(bought, "amount") or Decimal("0.00"),
            "refund_amount": _sum_of([e for e in of_day if e.role == "refund"], "amount") or Decimal("0.00"),
            "n_sessions": sum(row["n_sessions"] for row in sessions),
            "session_seconds": sum(row["session_seconds"] for row in sessions),
            "quantity": _sum_of(bought, "quantity"),
            "n_night_events": sum(e.event_time.replace(tzinfo=dt.UTC).astimezone(zone).hour < MORNING_HOUR for e in of_day),
            "first_event_at": min(e.event_time for e in of_day),
            "last_event_at": max(e.event_time for e in of_day),
        })  # fmt: skip
    return rows


def user_item_days(events: Iterable[CleanEvent]) -> list[Row]:
    """Return the rows of `features.user_item_days`."""
    with_item = (e for e in events if e.item_id is not None)
    groups = _grouped(with_item, lambda e: (e.event_date, e.alias_id, e.item_id, e.role))
    return [
        {
            "event_date": day,
            "alias_id": alias,
            "item_id": item,
            "role": role,
            "n": len(found),
            "n_uncategorized": sum(e.category is None for e in found),
            "n_unbranded": sum(e.brand is None for e in found),
            "quantity": _sum_of(found, "quantity"),
            "amount": _sum_of(found, "amount"),
            "value": _sum_of(found, "value"),
        }
        for (day, alias, item, role), found in groups.items()
    ]


def user_term_days(events: Iterable[CleanEvent]) -> list[Row]:
    """Return the rows of `features.user_term_days`: words of searches, categories and brands."""
    counts: dict[tuple[Any, ...], int] = defaultdict(int)
    for event in events:
        terms = [("keyword", word) for word in words_of(event.query or "")]
        terms += [("category", event.category)] if event.category is not None else []
        terms += [("brand", event.brand)] if event.brand is not None else []
        for kind, term in terms:
            counts[event.event_date, event.alias_id, kind, term, event.role] += 1
    names = ("event_date", "alias_id", "kind", "term", "role", "n")
    return [dict(zip(names, (*key, n), strict=True)) for key, n in counts.items()]


def _grouped(
    events: Iterable[CleanEvent], key: Callable[[CleanEvent], tuple[Any, ...]]
) -> dict[tuple[Any, ...], list[CleanEvent]]:
    groups: dict[tuple[Any, ...], list[CleanEvent]] = defaultdict(list)
    for event in events:
        if event.alias_id is not None:
            groups[key(event)].append(event)
    return groups


def _sum_of(events: Sequence[CleanEvent], column: str) -> Decimal | None:
    known = [value for event in events if (value := getattr(event, column)) is not None]
    return sum(known[1:], known[0]) if known else None
