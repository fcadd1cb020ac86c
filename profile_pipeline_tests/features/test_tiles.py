"""Tiles on literal rows: what an alias did on a day."""

import datetime as dt
from typing import Any

import duckdb
import pytest

from profile_pipeline.cleaned.tables import EVENTS, SESSION_DAYS
from profile_pipeline.warehouse.sql import bound, sql_file

DAY = dt.date(2026, 1, 10)
PARAMETERS = {"first_day": DAY, "last_day": DAY, "timezone": "Asia/Shanghai"}


def tiles(name: str, events: list[dict[str, Any]], session_days: list[tuple] = ()) -> list[dict[str, Any]]:
    """The rows of a tile; what an event does not say is a view of `user:u` at noon of the day."""
    connection = duckdb.connect(":memory:")
    connection.execute("create schema cleaned")
    for table in (EVENTS, SESSION_DAYS):
        columns = ", ".join(f'"{c.name}" {c.type}' for c in table.columns)
        connection.execute(f"create table {table.name} ({columns})")
    for number, event in enumerate(events):
        row = {"event_id": f"e{number}", "role": "view", "alias_id": "user:u", "event_date": DAY}
        row |= {"event_time": dt.datetime(2026, 1, 10, 4)} | event
        connection.execute(
            f"insert into cleaned.events ({', '.join(row)}) values ({', '.join('?' * len(row))})", list(row.values())
        )
    for row in session_days:
        connection.execute("insert into cleaned.session_days values (?, 's', ?, ?, ?, ?)", list(row))
    text = sql_file(f"features.{name}")
    answer = connection.execute(text, bound(text, PARAMETERS))
    names = [column[0] for column in answer.description]
    return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]


def test_every_role_has_its_count_and_all_are_events() -> None:
    roles = ["view", "view", "search", "add_to_cart", "remove_from_cart", "purchase", "refund", "rate", "play", "read"]
    roles += ["share", "follow", "sign_in", "message", "other"]
    (row,) = tiles("user_days", [{"role": role} for role in roles])
    counts = {
        name: n for name, n in row.items() if name.startswith("n_") and name not in ("n_night_events", "n_orders")
    }
    assert counts.pop("n_events") == 15
    assert counts.pop("n_views") == 2
    assert counts.pop("n_sessions") == 0
    assert set(counts.values()) == {1}
    assert len(counts) == 12


def test_lines_of_one_order_are_one_order_and_a_purchase_without_one_is_its_time() -> None:
    later = dt.datetime(2026, 1, 10, 5)
    lines = [{"order_id": "o1"}, {"order_id": "o1"}, {"order_id": "o2"}, {}, {}, {"event_time": later}]
    (row,) = tiles("user_days", [{"role": "purchase"} | line for line in lines])
    assert (row["n_purchases"], row["n_orders"]) == (6, 4)


def test_money_is_of_purchases_and_refunds_only() -> None:
    events = [("purchase", "10.25"), ("purchase", None), ("refund", "3.10"), ("view", "99.00"), ("add_to_cart", "7.00")]
    (row,) = tiles("user_days", [{"role": role, "amount": amount} for role, amount in events])
    assert (str(row["purchase_amount"]), str(row["refund_amount"])) == ("10.25", "3.10")


@pytest.mark.parametrize(("utc", "is_night"), [("16:00", True), ("21:59", True), ("22:00", False), ("15:59", False)])
def test_night_is_before_six_in_the_zone_of_the_calendar(utc: str, is_night: bool) -> None:
    (row,) = tiles("user_days", [{"event_time": dt.datetime.fromisoformat(f"2026-01-09 {utc}")}])
    assert row["n_night_events"] == int(is_night)


def test_sessions_are_those_of_the_alias_and_the_day() -> None:
    other = dt.date(2026, 1, 11)
    days = [(DAY, "s1", "user:u", 1, 60), (DAY, "s2", "user:u", 0, 5), (DAY, "s2", "device:d", 1, 7)]
    (row,) = tiles("user_days", [{}], [*days, (other, "s3", "user:u", 1, 99)])
    assert (row["n_sessions"], row["session_seconds"]) == (1, 65)


def test_an_event_of_nobody_or_of_another_day_is_in_no_tile() -> None:
    events = [{"alias_id": None, "item_id": "i"}, {"event_date": dt.date(2026, 1, 11), "item_id": "i"}]
    assert [tiles(name, events) for name in ("user_days", "user_item_days", "user_term_days")] == [[], [], []]


def test_an_item_has_a_row_by_role_with_pieces_amount_and_value() -> None:
    events = [
        {"role": "play", "value": "30"}, {"role": "play", "value": "12.5"}, {"role": "play", "category": "Jazz"},
        {"role": "purchase", "quantity": 2, "amount": "5.00"}, {"role": "purchase", "quantity": 1, "amount": "2.50"},
    ]  # fmt: skip
    found = {row["role"]: row for row in tiles("user_item_days", [{"item_id": "i"} | event for event in events])}
    play, bought = found["play"], found["purchase"]
    assert (play["n"], play["n_uncategorized"], str(play["value"]), play["amount"]) == (3, 2, "42.5000", None)
    assert (bought["n"], str(bought["quantity"]), str(bought["amount"])) == (2, "3.0000", "7.50")


def test_a_search_is_its_words_and_text_without_spaces_stays_whole() -> None:
    events = [{"role": "search", "query": "  Running   SHOES shoes "}, {"role": "search", "query": "跑步鞋"}]
    found = {(row["kind"], row["term"]): row["n"] for row in tiles("user_term_days", events)}
    assert found == {("keyword", "running"): 1, ("keyword", "shoes"): 2, ("keyword", "跑步鞋"): 1}


def test_a_category_that_an_event_names_is_a_term_of_its_own() -> None:
    events = [{"category": "Tea"}, {"category": "Tea"}, {"category": "Tea", "role": "purchase"}]
    found = {(row["kind"], row["term"], row["role"]): row["n"] for row in tiles("user_term_days", events)}
    assert found == {("category", "Tea", "view"): 2, ("category", "Tea", "purchase"): 1}
