"""Which records of events count: copies, bots, what is out of the calendar or absurd. One record after the other.

A record that waits for its day to be refreshed is in no table yet and is not judged. Not here: the SQL that this is held
against (`cleaned/`), or reading records.
"""

import datetime as dt
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from profile_pipeline.raw.roles import KNOWN_EVENT_TYPES
from profile_pipeline.settings import Settings
from profile_pipeline.verification.values import folded, md5_of, page_of, rounded

ONE_DAY = dt.timedelta(days=1)
TOO_MUCH_MONEY = Decimal(10) ** 12
TOO_MUCH = Decimal(10) ** 9
# The order in which a record is written down to tell copies of one id apart that came at one time.
CANONICAL = (
    "source", "event_type", "sent_at", "anonymous_id", "user_id", "device_id", "email_hash", "phone_hash", "session_id", "order_id", "item_id",
    "category", "brand", "quantity", "price", "value", "currency", "query", "url", "referrer", "campaign", "device_type", "channel", "ip",
    "user_agent", "country", "city", "latitude", "longitude", "properties",
)  # fmt: skip
COORDINATES = ("latitude", "longitude")
# No bar is in them, or nothing comes after them: where they end needs no telling.
PLAINLY_ENDED = ("sent_at", "quantity", "price", "value", "properties")


class RawEvent(NamedTuple):
    """What judging reads of a record of `raw.events`."""

    file_id: str
    row_number: int
    source: str
    event_id: str
    event_type: str
    role: str
    event_time: dt.datetime
    event_date: dt.date
    received_at: dt.datetime | None
    anonymous_id: str | None
    user_id: str | None
    device_id: str | None
    email_hash: str | None
    phone_hash: str | None
    order_id: str | None
    item_id: str | None
    category: str | None
    brand: str | None
    quantity: Decimal | None
    price: Decimal | None
    value: Decimal | None
    currency: str | None
    query: str | None
    url: str | None
    user_agent: str | None

    @property
    def place(self) -> tuple[str, int]:
        return self.file_id, self.row_number

    @property
    def alias_id(self) -> str | None:
        return self._first("user", "email", "phone", "anonymous", "device")

    @property
    def stream_id(self) -> str | None:
        return self._first("anonymous", "device", "user", "email", "phone")

    @property
    def addresses(self) -> list["Address"]:
        aliases = (self._first("email"), self._first("phone"))
        return [Address(alias, self._first("user"), self.event_date) for alias in aliases if alias is not None]

    def _first(self, *kinds: str) -> str | None:
        known = {
            "user": self.user_id, "email": self.email_hash, "phone": self.phone_hash, "anonymous": self.anonymous_id, "device": self.device_id,
        }  # fmt: skip
        return next((f"{kind}:{known[kind]}" for kind in kinds if known[kind] is not None), None)


class CleanEvent(NamedTuple):
    """A row of `cleaned.events`, in the order of its columns."""

    event_id: str
    event_date: dt.date
    event_time: dt.datetime
    role: str
    alias_id: str | None
    stream_id: str | None
    device_id: str | None
    page: str | None
    order_id: str | None
    item_id: str | None
    category: str | None
    brand: str | None
    query: str | None
    quantity: Decimal | None
    value: Decimal | None
    amount: Decimal | None
    file_id: str
    row_number: int


class Address(NamedTuple):
    """An e-mail address or a phone on an event that counts, and the user_id on it; as aliases."""

    alias_id: str
    user_alias: str | None
    event_date: dt.date


@dataclass(frozen=True)
class Judged:
    """What was found of a pool of records.

    Attributes
    ----------
    clean, excluded
        Those that count, and the reasons why others do not, by (file_id, row_number).
    addresses
        What those that count tell of addresses.
    unsettled
        Places of records that share their id with one that waits: which of them wins depends on when it came.
    """

    clean: list[CleanEvent]
    addresses: list[Address]
    excluded: dict[tuple[str, int], tuple[dt.date, str]]
    unsettled: set[tuple[str, int]]


def order_of_copy(record: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what sorts a record among copies of one time: its md5, how long its fields are, and where it was to the last digit.

    Parameters
    ----------
    record
        Its columns by name, as text but for the coordinates.
    """
    md5 = md5_of([_coordinate(record[name]) if name in COORDINATES else record[name] for name in CANONICAL])
    fields = [record[name] for name in CANONICAL if name not in (*PLAINLY_ENDED, *COORDINATES)]
    lengths = "|".join("" if field is None else str(len(field)) for field in fields)
    return md5, lengths, *((record[name] is None, record[name] or 0.0) for name in COORDINATES)


def _coordinate(degrees: float | None) -> str | None:
    if degrees is None or not -9e9 < degrees < 9e9:
        return None
    return str(int(rounded(Decimal(degrees * 1_000_000_000), 0)))


def judge(
    pool: Iterable[RawEvent],
    *,
    settings: Settings,
    waiting: set[tuple[str, dt.date]],
    arrived_at: Mapping[str, dt.datetime | None],
    order_of_copies: Mapping[tuple[str, int], tuple[Any, ...]],
) -> Judged:
    """Judge records; with each must come its copies, and all records of its stream and day.

    Parameters
    ----------
    waiting
        (file_id, event_date) whose records wait.
    arrived_at
        When a file arrived, by file_id.
    order_of_copies
        Of the records that share their id with another: see `order_of_copy`.
    """
    by_id: dict[str, list[RawEvent]] = defaultdict(list)
    for event in pool:
        by_id[event.event_id].append(event)
    losers: set[tuple[str, int]] = set()
    unsettled: set[tuple[str, int]] = set()
    for copies in by_id.values():
        if len(copies) > 1:
            copies.sort(key=lambda e: _order(e, order_of_copies))
            losers |= {copy.place for copy in copies[1:]}
            if any((copy.file_id, copy.event_date) in waiting for copy in copies):
                unsettled |= {copy.place for copy in copies}
    present = [e for copies in by_id.values() for e in copies if (e.file_id, e.event_date) not in waiting]
    per_day = Counter((e.stream_id, e.event_date) for e in present if e.place not in losers)
    judge_of = _Judge(settings)
    clean, addresses, excluded = [], [], {}
    for event in present:
        is_many = (
            event.stream_id is not None
            and per_day[event.stream_id, event.event_date] > settings.bots.max_events_per_stream_day
        )
        known_at = event.received_at or arrived_at.get(event.file_id)
        reason = "duplicate" if event.place in losers else judge_of.reason(event, known_at=known_at, is_bot_day=is_many)
        if reason is None:
            clean.append(judge_of.cleaned(event))
            addresses += event.addresses
        else:
            excluded[event.place] = (event.event_date, reason)
    return Judged(clean, addresses, excluded, unsettled)


def _order(event: RawEvent, order_of_copies: Mapping[tuple[str, int], tuple[Any, ...]]) -> tuple[Any, ...]:
    return (
        event.received_at is None,
        event.received_at or dt.datetime.min,
        event.event_time,
        order_of_copies[event.place],
        *event.place,
    )


class _Judge:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.bots = re.compile(settings.bots.user_agents)

    def reason(self, event: RawEvent, *, known_at: dt.datetime | None, is_bot_day: bool) -> str | None:
        """Return the first reason for which a record does not count."""
        calendar = self.settings.calendar
        quantity, price, amount = event.quantity, event.price, self._priced(event)
        if event.event_date < calendar.start or (calendar.end is not None and event.event_date > calendar.end):
            return "out_of_calendar"
        if known_at is not None and event.event_time > known_at + ONE_DAY:
            return "out_of_calendar_future"
        if price is not None and price < 0:
            return "invalid_price"
        if quantity is not None and (quantity < 0 or (quantity == 0 and event.role in ("purchase", "refund"))):
            return "invalid_quantity"
        if amount is not None and amount >= TOO_MUCH_MONEY:
            return "invalid_amount"
        if quantity is not None and quantity >= TOO_MUCH:
            return "invalid_quantity"
        if event.value is not None and abs(event.value) >= TOO_MUCH:
            return "invalid_value"
        if self.bots.search(folded(event.user_agent or "")):
            return "bot_user_agent"
        return "bot_volume" if is_bot_day else None

    @staticmethod
    def _priced(event: RawEvent) -> Decimal | None:
        if event.price is None:
            return None
        return rounded((Decimal(1) if event.quantity is None else event.quantity) * event.price, 2)

    def cleaned(self, event: RawEvent) -> CleanEvent:
        """Return the row of an event that counts."""
        currency = self.settings.currency
        is_other = currency is not None and event.currency is not None and event.currency != currency
        amount = self._priced(event)
        if amount is None and event.value is not None and event.role in ("purchase", "refund"):
            amount = rounded(event.value, 2)
        return CleanEvent(
            event.event_id, event.event_date, event.event_time, event.role, event.alias_id, event.stream_id, event.device_id,
            page_of(event.url, event.item_id), event.order_id, event.item_id, event.category, event.brand, event.query, event.quantity, event.value,
            None if is_other else amount, event.file_id, event.row_number,
        )  # fmt: skip


def derived(event: RawEvent, settings: Settings) -> dict[str, Any]:
    """Return what loading derived of a record: its day and its role; no role where its source is no longer configured."""
    zone = ZoneInfo(settings.calendar.timezone)
    found: dict[str, Any] = {"event_date": event.event_time.replace(tzinfo=dt.UTC).astimezone(zone).date()}
    if source := settings.sources.get(event.source):
        kind = event.event_type.casefold()
        by_name = {name.casefold(): role for name, role in source.roles.items()}
        found["role"] = source.roles.get(event.event_type) or by_name.get(kind) or KNOWN_EVENT_TYPES.get(kind, "other")
    return found
