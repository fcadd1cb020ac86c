"""Whose an alias is, and since when: from the events that name it, in the order of their days.

Not here: which aliases are looked at.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from profile_pipeline.verification.judging import Address, CleanEvent
from profile_pipeline.verification.values import profile_of

Row = dict[str, Any]


class Histories:
    """The rows of `cleaned.identities` of some aliases.

    Parameters
    ----------
    events
        All events that count and name one of the aliases, as alias, stream or device.
    addresses
        All that events that count tell of one of the aliases that is an e-mail address or a phone.
    known_from
        Where no source brings events: the first day on which the CRM knows an alias.
    """

    def __init__(
        self,
        aliases: set[str],
        events: Iterable[CleanEvent],
        addresses: Iterable[Address],
        known_from: Mapping[str, dt.date],
        *,
        key: str,
    ) -> None:
        first_seen = dict(known_from)
        users: dict[str, dict[str, dt.date]] = defaultdict(dict)
        for alias, named, day in [*_named(events), *addresses]:
            first_seen[alias] = min(day, first_seen.get(alias, day))
            if named is not None and named != alias:
                of_alias = users[alias]
                of_alias[named] = min(day, of_alias.get(named, day))
        self.heads: dict[str, list[tuple[str, str, dt.date, dt.date | None]]] = {}
        for alias in sorted(aliases & first_seen.keys()):
            self.heads[alias] = list(_intervals(alias, first_seen[alias], users.get(alias, {})))
        self.rows: list[Row] = [
            {"alias_id": alias, "profile_id": profile_of(head, key), "rule": rule, "valid_from": start, "valid_to": end}
            for alias, intervals in self.heads.items()
            for head, rule, start, end in intervals
        ]

    def aliases_on(self, day: dt.date) -> dict[str, list[str]]:
        """Return the aliases that each head holds at the end of a day; heads are aliases themselves."""
        held: dict[str, list[str]] = defaultdict(list)
        for alias, intervals in self.heads.items():
            for head, _, start, end in intervals:
                if start <= day and (end is None or end > day):
                    held[head].append(alias)
        return held


def _named(events: Iterable[CleanEvent]) -> Iterator[tuple[str, str | None, dt.date]]:
    """Yield each alias on each event, with the user_id on it, and its day."""
    for event in events:
        named = event.alias_id if event.alias_id and event.alias_id.startswith("user:") else None
        device = f"device:{event.device_id}" if event.device_id is not None else None
        for alias in {event.alias_id, event.stream_id, device} - {None}:
            assert alias is not None
            yield alias, named, event.event_date


def _intervals(
    alias: str, first_day: dt.date, users: Mapping[str, dt.date]
) -> Iterable[tuple[str, str, dt.date, dt.date | None]]:
    """Yield (head, rule, valid_from, valid_to): alone, then signed in, then shared; none of them empty."""
    in_order = sorted(users.items(), key=lambda item: (item[1], item[0]))
    signed_in = in_order[0][1] if in_order else None
    shared = in_order[1][1] if len(in_order) > 1 else None
    if signed_in is None or first_day < signed_in:
        yield alias, "alone", first_day, signed_in
    if signed_in is not None and signed_in != shared:
        yield in_order[0][0], "signed_in", signed_in, shared
    if shared is not None:
        yield alias, "shared", shared, None
