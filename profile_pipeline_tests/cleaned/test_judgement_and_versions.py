"""Which records count and what they are worth, and versions of users, on literal rows."""

import datetime as dt
from typing import Any

import duckdb
import pytest

from profile_pipeline.raw.tables import EVENTS, FILES, USERS
from profile_pipeline.warehouse.sql import bound, sql_file

NOON = dt.datetime(2026, 1, 10, 12)
PARAMETERS = {
    "calendar_start": dt.date(2026, 1, 5), "calendar_end": dt.date(2026, 3, 30), "currency": "CNY", "timezone": "Asia/Shanghai",
    "max_events_per_stream_day": 3, "bot_user_agents": r"bot|crawl",
}  # fmt: skip


@pytest.fixture
def connection() -> duckdb.DuckDBPyConnection:
    opened = duckdb.connect(":memory:")
    opened.execute("create schema raw")
    for table in (EVENTS, FILES, USERS):
        columns = ", ".join(f'"{c.name}" {c.type}' for c in table.columns)
        opened.execute(f"create table {table.name} ({columns})")
    opened.execute("insert into raw.files (file_id, status, arrived_at) values ('f', 'loaded', timestamp '2026-01-20')")
    return opened


def insert(connection: duckdb.DuckDBPyConnection, table: str, rows: list[dict[str, Any]]) -> None:
    for row in rows:
        names = ", ".join(row)
        connection.execute(f"insert into {table} ({names}) values ({', '.join('?' * len(row))})", list(row.values()))


def judged(connection: duckdb.DuckDBPyConnection, events: list[dict[str, Any]]) -> dict[int, tuple]:
    """(reason, amount, page) by row number; what an event does not say is a signed-in view at noon."""
    rows = []
    for number, event in enumerate(events, start=1):
        row = {"event_id": f"e{number}", "event_type": "x", "role": "view", "event_time": NOON, "user_id": "u"} | event
        row |= {"file_id": "f", "row_number": number, "source": "s", "event_hash": hash(row["event_id"]) % 2**63}
        rows.append(row | {"event_date": (row["event_time"] + dt.timedelta(hours=8)).date()})
    insert(connection, "raw.events", rows)
    connection.execute(f"create or replace temp view scoped_events as {sql_file('cleaned.identified_events')}")
    for name in ("duplicate_records", "bot_days", "judged_events"):
        text = sql_file(f"cleaned.{name}")
        connection.execute(f"create or replace temp table {name} as {text}", bound(text, PARAMETERS))
    found = {
        n: (None, amount, page)
        for n, amount, page in connection.execute(
            f"select row_number, amount, page from ({sql_file('cleaned.events')})"
        ).fetchall()
    }
    for n, reason in connection.execute(
        f"select row_number, reason_code from ({sql_file('cleaned.excluded_events')})"
    ).fetchall():
        found[n] = (reason, None, None)
    return found


def reasons(connection: duckdb.DuckDBPyConnection, events: list[dict[str, Any]]) -> list[str | None]:
    return [reason for _, (reason, _, _) in sorted(judged(connection, events).items())]


def test_of_several_records_with_one_id_the_first_received_counts(connection: duckdb.DuckDBPyConnection) -> None:
    later, sooner = NOON + dt.timedelta(hours=2), NOON + dt.timedelta(hours=1)
    copies = [{"event_id": "e", "received_at": t} for t in (None, later, sooner)]
    assert reasons(connection, copies) == ["duplicate", "duplicate", None]


def test_a_copy_that_does_not_count_itself_still_displaces_the_later_one(connection: duckdb.DuckDBPyConnection) -> None:
    bad = {"event_id": "e", "received_at": NOON, "price": -1}
    good = {"event_id": "e", "received_at": NOON + dt.timedelta(hours=1), "price": 1}
    assert reasons(connection, [bad, good]) == ["invalid_price", "duplicate"]


@pytest.mark.parametrize(
    ("event", "reason"),
    [
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
    ],
)
def test_what_counts(connection: duckdb.DuckDBPyConnection, event: dict[str, Any], reason: str | None) -> None:
    assert reasons(connection, [event]) == [reason]


def test_a_stream_that_does_too_much_on_a_day_is_a_bot_on_that_day_only(connection: duckdb.DuckDBPyConnection) -> None:
    day = dt.timedelta(days=1)
    busy = [{"anonymous_id": "a", "event_time": NOON}] * 4
    calm = [{"anonymous_id": "a", "event_time": NOON - day}] * 3 + [{"anonymous_id": "b", "event_time": NOON}]
    assert reasons(connection, [*busy, *calm]) == ["bot_volume"] * 4 + [None] * 4


def test_duplicates_do_not_make_a_bot(connection: duckdb.DuckDBPyConnection) -> None:
    copies = [{"event_id": "e", "anonymous_id": "a", "received_at": NOON + dt.timedelta(seconds=n)} for n in range(6)]
    assert reasons(connection, copies) == [None] + ["duplicate"] * 5


@pytest.mark.parametrize(
    ("event", "amount"),
    [
        ({"role": "purchase", "quantity": 3, "price": "1.005"}, "3.02"),
        ({"role": "purchase", "price": "2.50"}, "2.50"),
        ({"role": "purchase", "value": "9.995"}, "10.00"),
        ({"role": "purchase", "value": "9.99", "price": "1"}, "1.00"),
        ({"role": "view", "value": "9.99"}, None),
        ({"role": "view", "price": "4"}, "4.00"),
        ({"role": "rate", "value": "5"}, None),
        ({"role": "purchase", "price": "2.50", "currency": "USD"}, None),
        ({"role": "purchase", "price": "2.50", "currency": "CNY"}, "2.50"),
    ],
)
def test_what_an_event_is_worth(
    connection: duckdb.DuckDBPyConnection, event: dict[str, Any], amount: str | None
) -> None:
    found = judged(connection, [event])[1][1]
    assert (None if found is None else str(found)) == amount


@pytest.mark.parametrize(
    ("event", "page"),
    [
        ({"url": "https://shop.example/a/b?x=1#y", "item_id": "i"}, "/a/b"),
        ({"url": "https://shop.example", "item_id": "i"}, "i"),
        ({"item_id": "i"}, "i"),
        ({"url": "/" + "x" * 100}, "/" + "x" * 63),
        ({}, None),
    ],
)
def test_a_page_is_the_path_or_else_the_item(
    connection: duckdb.DuckDBPyConnection, event: dict[str, Any], page: str | None
) -> None:
    assert judged(connection, [event])[1][2] == page


def users(connection: duckdb.DuckDBPyConnection, records: list[dict[str, Any]], *, full: tuple[str, ...] = ()) -> list:
    connection.execute("create or replace temp table full_record_sources (source varchar)")
    for source in full:
        connection.execute("insert into full_record_sources values (?)", [source])
    insert(connection, "raw.users", [{"user_id": "u", "source": "s"} | record for record in records])
    text = sql_file("cleaned.users")
    return connection.execute(
        f"select city, gender, attributes, valid_from, valid_to from ({text}) order by valid_from",
        bound(text, PARAMETERS),
    ).fetchall()


FIRST, SECOND = dt.datetime(2026, 1, 6, 12), dt.datetime(2026, 1, 9, 17)
SIXTH, TENTH = dt.date(2026, 1, 6), dt.date(2026, 1, 10)


def test_what_a_newer_record_leaves_blank_stays_field_by_field(connection: duckdb.DuckDBPyConnection) -> None:
    old = {"city": "A", "gender": "f", "attributes": '{"x": "1", "y": "2"}', "updated_at": FIRST}
    new = {"city": "B", "attributes": '{"y": "3"}', "updated_at": SECOND}
    assert users(connection, [new, old]) == [
        ("A", "f", '{"x":"1","y":"2"}', SIXTH, TENTH),
        ("B", "f", '{"x":"1","y":"3"}', TENTH, None),
    ]


def test_a_full_record_blanks_what_it_leaves_out(connection: duckdb.DuckDBPyConnection) -> None:
    old = {"city": "A", "gender": "f", "attributes": '{"x": "1"}', "updated_at": FIRST}
    new = {"city": "B", "updated_at": SECOND}
    assert users(connection, [old, new], full=("s",))[1] == ("B", None, None, TENTH, None)


def test_a_record_without_a_time_holds_from_the_first_day_of_the_calendar(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    assert users(connection, [{"city": "A"}]) == [("A", None, None, dt.date(2026, 1, 5), None)]


def test_of_two_records_of_a_day_the_later_stands(connection: duckdb.DuckDBPyConnection) -> None:
    later = FIRST + dt.timedelta(minutes=1)
    records = [{"city": "B", "updated_at": later}, {"city": "A", "updated_at": FIRST}]
    assert users(connection, records) == [("B", None, None, SIXTH, None)]
