"""Which records count and what they are worth, and versions of users, on literal rows."""

import datetime as dt
import json
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from profile_pipeline.cleaned.tables import EVENTS as CLEANED_EVENTS
from profile_pipeline.cleaned.tables import EXCLUDED_EVENTS
from profile_pipeline.raw.tables import EVENTS, FILES, ITEMS, PENDING, RELATIONS, USERS
from profile_pipeline.warehouse.sql import bound, sql_file
from profile_pipeline_tests.engines import Engine

NOON = dt.datetime(2026, 1, 10, 12)
PARAMETERS = {
    "calendar_start": dt.date(2026, 1, 5), "calendar_end": dt.date(2026, 3, 30), "currency": "CNY", "timezone": "Asia/Shanghai",
    "max_events_per_stream_day": 3, "bot_user_agents": r"bot|crawl",
}  # fmt: skip


@pytest.fixture
def engine(engine: Engine) -> Engine:
    engine.create(EVENTS, FILES, USERS, ITEMS, RELATIONS, PENDING, CLEANED_EVENTS, EXCLUDED_EVENTS)
    engine.insert("raw.files", {"file_id": "f", "status": "loaded", "arrived_at": dt.datetime(2026, 1, 20)})
    return engine


def judged(engine: Engine, events: list[dict[str, Any]]) -> dict[int, tuple]:
    """(reason, amount, page) by row number; what an event does not say is a signed-in view at noon."""
    rows = []
    for number, event in enumerate(events, start=1):
        row = {"event_id": f"e{number}", "event_type": "x", "role": "view", "event_time": NOON, "user_id": "u"} | event
        row |= {"file_id": "f", "row_number": number, "source": "s", "event_hash": hash(row["event_id"]) % 2**63}
        rows.append(row | {"event_date": (row["event_time"] + dt.timedelta(hours=8)).date()})
    engine.insert("raw.events", *rows)
    engine.view("scoped_events", sql_file("cleaned.identified_events"))
    engine.view("shared_hashes", "select event_hash from raw.events group by event_hash having count(*) > 1")
    files = {"duplicate_records": "duplicate_records", "bot_days": "bot_days", "excluded_records": "excluded_events"}
    for name, file in files.items():
        text = sql_file(f"cleaned.{file}")
        engine.view(name, text, bound(text, PARAMETERS))
    events = sql_file("cleaned.events")
    counted = engine.dicts(events, bound(events, PARAMETERS))
    found = {row["row_number"]: (None, row["amount"], row["page"]) for row in counted}
    for row in engine.dicts("select * from excluded_records"):
        found[row["row_number"]] = (row["reason_code"], None, None)
    return found


def each_by_somebody_else(events: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"user_id": f"u{number}"} | event for number, event in enumerate(events)]


def reasons(engine: Engine, events: list[dict[str, Any]]) -> list[str | None]:
    return [reason for _, (reason, _, _) in sorted(judged(engine, events).items())]


def test_bytes_have_arrived_when_they_first_came_under_whichever_name(engine: Engine) -> None:
    """Loaded under a later one, they are of the future as they are after a rebuild, which loads them under the first."""
    engine.insert("raw.files", {"file_id": "f", "status": "duplicate", "arrived_at": dt.datetime(2026, 1, 8)})
    assert reasons(engine, [{"received_at": None}]) == ["out_of_calendar_future"]


def test_of_several_records_with_one_id_the_first_received_counts(engine: Engine) -> None:
    later, sooner = NOON + dt.timedelta(hours=2), NOON + dt.timedelta(hours=1)
    copies = [{"event_id": "e", "received_at": t} for t in (None, later, sooner)]
    assert reasons(engine, copies) == ["duplicate", "duplicate", None]


def test_a_copy_that_does_not_count_itself_still_displaces_the_later_one(engine: Engine) -> None:
    bad = {"event_id": "e", "received_at": NOON, "price": -1}
    good = {"event_id": "e", "received_at": NOON + dt.timedelta(hours=1), "price": 1}
    assert reasons(engine, [bad, good]) == ["invalid_price", "duplicate"]


def test_what_counts(engine: Engine) -> None:
    cases: list[tuple[dict[str, Any], str | None]] = [
        ({"event_time": dt.datetime(2026, 1, 4, 15, 59)}, "out_of_calendar"),
        ({"event_time": dt.datetime(2026, 1, 4, 16, 0)}, None),
        ({"event_time": dt.datetime(2026, 3, 30, 15, 59), "received_at": dt.datetime(2026, 3, 30, 16)}, None),
        ({"event_time": dt.datetime(2026, 3, 30, 16, 0)}, "out_of_calendar"),
        ({"event_time": NOON, "received_at": NOON - dt.timedelta(days=1)}, None),
        ({"event_time": NOON, "received_at": NOON - dt.timedelta(days=1, microseconds=1)}, "out_of_calendar_future"),
        ({"event_time": dt.datetime(2026, 1, 21)}, None),
        ({"event_time": dt.datetime(2026, 1, 21, 0, 0, 1)}, "out_of_calendar_future"),
        ({"price": -0.01}, "invalid_price"),
        ({"quantity": -1}, "invalid_quantity"),
        ({"quantity": 0}, None),
        ({"quantity": 0, "role": "purchase"}, "invalid_quantity"),
        ({"quantity": 10**13, "price": 10**13}, "invalid_amount"),
        ({"quantity": 10**8, "price": 10**4}, "invalid_amount"),
        ({"quantity": 10**9}, "invalid_quantity"),
        ({"value": 10**9}, "invalid_value"),
        ({"value": -(10**9)}, "invalid_value"),
        ({"user_agent": "A Crawler"}, "bot_user_agent"),
    ]
    found = reasons(engine, each_by_somebody_else(event for event, _ in cases))
    assert list(zip((event for event, _ in cases), found, strict=True)) == cases


def test_a_stream_that_does_too_much_on_a_day_is_a_bot_on_that_day_only(engine: Engine) -> None:
    day = dt.timedelta(days=1)
    busy = [{"anonymous_id": "a", "event_time": NOON}] * 4
    calm = [{"anonymous_id": "a", "event_time": NOON - day}] * 3 + [{"anonymous_id": "b", "event_time": NOON}]
    assert reasons(engine, [*busy, *calm]) == ["bot_volume"] * 4 + [None] * 4


def test_duplicates_do_not_make_a_bot(engine: Engine) -> None:
    copies = [{"event_id": "e", "anonymous_id": "a", "received_at": NOON + dt.timedelta(seconds=n)} for n in range(6)]
    assert reasons(engine, copies) == [None] + ["duplicate"] * 5


def test_what_an_event_is_worth(engine: Engine) -> None:
    cases: list[tuple[dict[str, Any], str | None]] = [
        ({"role": "purchase", "quantity": 3, "price": "1.005"}, "3.02"),
        ({"role": "purchase", "price": "2.50"}, "2.50"),
        ({"role": "purchase", "value": "9.995"}, "10.00"),
        ({"role": "purchase", "value": "9.99", "price": "1"}, "1.00"),
        ({"role": "view", "value": "9.99"}, None),
        ({"role": "view", "price": "4"}, "4.00"),
        ({"role": "rate", "value": "5"}, None),
        ({"role": "purchase", "price": "2.50", "currency": "USD"}, None),
        ({"role": "purchase", "price": "2.50", "currency": "CNY"}, "2.50"),
    ]
    found = judged(engine, each_by_somebody_else(event for event, _ in cases))
    amounts = [None if amount is None else str(amount) for _, (_, amount, _) in sorted(found.items())]
    assert list(zip((event for event, _ in cases), amounts, strict=True)) == cases


def test_a_page_is_the_path_or_else_the_item(engine: Engine) -> None:
    cases: list[tuple[dict[str, Any], str | None]] = [
        ({"url": "https://shop.example/a/b?x=1#y", "item_id": "i"}, "/a/b"),
        ({"url": "https://shop.example", "item_id": "i"}, "i"),
        ({"item_id": "i"}, "i"),
        ({"url": "/" + "x" * 100}, "/" + "x" * 63),
        ({}, None),
    ]
    found = judged(engine, each_by_somebody_else(event for event, _ in cases))
    pages = [page for _, (_, _, page) in sorted(found.items())]
    assert list(zip((event for event, _ in cases), pages, strict=True)) == cases


def users(engine: Engine, records: list[dict[str, Any]], *, full: tuple[str, ...] = ()) -> list[tuple]:
    engine.hold("full_record_sources", pa.table({"source": pa.array(full, pa.string())}))
    engine.insert("raw.users", *({"user_id": "u", "source": "s"} | record for record in records))
    text = sql_file("cleaned.users")
    rows = engine.dicts(text, bound(text, PARAMETERS))
    names = ("city", "gender", "attributes", "valid_from", "valid_to")
    return [tuple(row[name] for name in names) for row in sorted(rows, key=lambda row: row["valid_from"])]


FIRST, SECOND = dt.datetime(2026, 1, 6, 12), dt.datetime(2026, 1, 9, 17)
SIXTH, TENTH = dt.date(2026, 1, 6), dt.date(2026, 1, 10)


def test_what_a_newer_record_leaves_blank_stays_field_by_field(engine: Engine) -> None:
    old = {"city": "A", "gender": "f", "attributes": '{"x": "1", "y": "2"}', "updated_at": FIRST}
    new = {"city": "B", "attributes": '{"y": "3"}', "updated_at": SECOND}
    assert users(engine, [new, old]) == [
        ("A", "f", '{"x":"1","y":"2"}', SIXTH, TENTH),
        ("B", "f", '{"x":"1","y":"3"}', TENTH, None),
    ]


def test_a_full_record_blanks_what_it_leaves_out(engine: Engine) -> None:
    old = {"city": "A", "gender": "f", "attributes": '{"x": "1"}', "updated_at": FIRST}
    new = {"city": "B", "updated_at": SECOND}
    assert users(engine, [old, new], full=("s",))[1] == ("B", None, None, TENTH, None)


def test_a_record_without_a_time_holds_from_the_first_day_of_the_calendar(
    engine: Engine,
) -> None:
    assert users(engine, [{"city": "A"}]) == [("A", None, None, dt.date(2026, 1, 5), None)]


BEFORE = dt.datetime(2025, 12, 1, 12)


def test_what_is_known_without_a_time_stays_where_a_record_of_before_the_calendar_says_nothing_of_it(
    engine: Engine,
) -> None:
    records = [
        {"gender": "f", "city": "A", "attributes": '{"x": "1"}'},
        {"city": "B", "updated_at": BEFORE},
        {"gender": "m", "updated_at": FIRST},
    ]
    assert users(engine, records) == [
        ("B", "f", '{"x":"1"}', dt.date(2025, 12, 1), SIXTH),
        ("B", "m", '{"x":"1"}', SIXTH, None),
    ]


def test_of_two_records_of_a_day_the_later_stands(engine: Engine) -> None:
    later = FIRST + dt.timedelta(minutes=1)
    records = [{"city": "B", "updated_at": later}, {"city": "A", "updated_at": FIRST}]
    assert users(engine, records) == [("B", None, None, SIXTH, None)]


def items(engine: Engine, records: list[dict[str, Any]]) -> list[tuple]:
    engine.hold("full_record_sources", pa.table({"source": pa.array([], pa.string())}))
    engine.insert("raw.items", *({"item_id": "i", "source": "s"} | record for record in records))
    text = sql_file("cleaned.items")
    rows = sorted(engine.dicts(text, bound(text, PARAMETERS)), key=lambda row: row["valid_from"])
    names = ("categories", "price", "attributes", "is_timeless", "valid_from", "valid_to")
    return [tuple(row[name] for name in names) for row in rows]


def test_a_version_of_an_item_keeps_its_categories_whole(engine: Engine) -> None:
    old = {"categories": ["Tea, loose", 'the "best"', "茶"], "price": "3.5000", "attributes": '{"x": "1"}'}
    new = {"price": "4.0000", "updated_at": SECOND}
    (first, second) = items(engine, [new, old])
    assert first == (["Tea, loose", 'the "best"', "茶"], Decimal("3.5"), '{"x":"1"}', True, dt.date(2026, 1, 5), TENTH)
    assert second == (["Tea, loose", 'the "best"', "茶"], Decimal("4"), '{"x":"1"}', False, TENTH, None)


def test_a_newer_record_of_an_item_keeps_the_attributes_that_it_leaves_blank(engine: Engine) -> None:
    old = {"attributes": '{"colour": "red", "size": "L"}', "updated_at": FIRST}
    new = {"attributes": '{"size": "M"}', "updated_at": SECOND}
    assert [row[2] for row in items(engine, [new, old])] == [
        '{"colour":"red","size":"L"}',
        '{"colour":"red","size":"M"}',
    ]


def test_what_a_catalogue_without_times_says_stays_beside_a_price_of_before_the_calendar(engine: Engine) -> None:
    records = [{"categories": ["Tea"], "price": "1"}, {"price": "2", "updated_at": BEFORE}]
    assert items(engine, records) == [(["Tea"], Decimal("2"), None, False, dt.date(2025, 12, 1), None)]


def test_two_timeless_records_of_an_item_are_ordered_by_what_they_say(engine: Engine) -> None:
    records = [
        {"categories": ["A, B"]},
        {"categories": ["A", "B"]},
        {"categories": []},
        {"categories": None, "price": "1"},
    ]
    assert items(engine, records)[0][1:] == (Decimal("1"), None, True, dt.date(2026, 1, 5), None)


def test_attributes_are_merged_as_deep_as_they_are_nested(engine: Engine) -> None:
    old = {"attributes": '{"a": {"x": 1, "y": [1, 2]}, "b": 1.50, "c": "é"}', "updated_at": FIRST}
    new = {"attributes": '{"a": {"y": [3], "z": null}, "b": null, "d": true}', "updated_at": SECOND}
    last = users(engine, [old, new])[1][2]
    assert json.loads(last) == {"a": {"x": 1, "y": [3]}, "c": "é", "d": True}


def test_a_relation_holds_from_the_day_on_which_a_source_first_says_so(engine: Engine) -> None:
    said = [
        {"other_user_id": "b", "relation": "friend", "updated_at": SECOND},
        {"other_user_id": "b", "relation": "friend", "updated_at": FIRST},
        {"other_user_id": "c", "relation": None, "updated_at": None},
        {"other_user_id": "c", "relation": None, "updated_at": dt.datetime(2026, 1, 5)},
    ]
    engine.insert("raw.relations", *({"user_id": "a", "source": "s"} | record for record in said))
    text = sql_file("cleaned.relations")
    assert sorted(engine.rows(text, bound(text, PARAMETERS))) == [
        ("a", "b", "friend", False, SIXTH, None),
        ("a", "c", "related", False, dt.date(2026, 1, 5), None),
    ]


def test_the_ledger_says_where_the_events_of_each_file_are(engine: Engine) -> None:
    tenth, other = dt.date(2026, 1, 10), dt.date(2026, 1, 11)
    rows = [("f", tenth)] * 3 + [("g", tenth)] * 2 + [("f", other)]
    engine.insert("raw.events", *({"file_id": file, "event_date": day} for file, day in rows))
    engine.insert("cleaned.events", {"file_id": "f", "event_date": tenth}, {"file_id": "f", "event_date": tenth})
    engine.insert(
        "cleaned.excluded_events", {"file_id": "f", "event_date": tenth, "row_number": 3, "reason_code": "duplicate"}
    )
    engine.insert(
        "raw.pending",
        {"file_id": "g", "event_date": tenth, "n_events": 2},
        {"file_id": None, "event_date": tenth, "n_events": 0},
    )
    engine.hold("ledger_days", pa.table({"event_date": [tenth]}))
    assert sorted(engine.rows(sql_file("cleaned.ledger"))) == [(tenth, "f", 3, 2, 1, 0), (tenth, "g", 2, 0, 0, 2)]


def test_of_copies_equal_in_time_the_content_decides_and_never_the_file(engine: Engine) -> None:
    same = {"event_id": "e", "received_at": NOON}
    contents = [
        {"latitude": 0.00001, "longitude": 120.0},
        {"latitude": 31.2304161234, "longitude": -0.0},
        {"properties": '{"a": 1}', "quantity": "1.5", "price": "0.0001"},
    ]
    found = judged(engine, [same | content for content in contents])
    assert sorted(str(reason) for reason, _, _ in found.values()) == ["None", "duplicate", "duplicate"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"item_id": "x", "category": "y|z"}, {"item_id": "x|y", "category": "z"}),
        ({"user_agent": "", "country": "x"}, {"user_agent": None, "country": "x"}),
        ({"latitude": 31.0, "longitude": 1.0}, {"latitude": 31.00000000001, "longitude": 1.0}),
    ],
)
def test_copies_that_differ_only_in_where_a_field_ends_fall_to_no_file(
    engine: Engine, first: dict[str, Any], second: dict[str, Any]
) -> None:
    copies = {"there": (first, second), "back": (second, first)}
    events = [{"event_id": name, "received_at": NOON} | content for name, both in copies.items() for content in both]
    assert reasons(engine, events) == [None, "duplicate", "duplicate", None]
