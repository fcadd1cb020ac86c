"""Tiles on literal rows: what an alias did on a day."""

import datetime as dt
from typing import Any

import pytest

from profile_pipeline.cleaned.tables import EVENTS, SESSION_DAYS
from profile_pipeline.warehouse.sql import bound, sql_file
from profile_pipeline_tests.engines import Engine

DAY = dt.date(2026, 1, 10)
PARAMETERS = {"first_day": DAY, "last_day": DAY, "timezone": "Asia/Shanghai"}


@pytest.fixture
def engine(engine: Engine) -> Engine:
    engine.create(EVENTS, SESSION_DAYS)
    return engine


def tiles(
    engine: Engine, name: str, events: list[dict[str, Any]], session_days: list[tuple] = ()
) -> list[dict[str, Any]]:
    """The rows of a tile; what an event does not say is a view of `user:u` at noon of the day."""
    for number, event in enumerate(events):
        row = {"event_id": f"e{number}", "role": "view", "alias_id": "user:u", "event_date": DAY}
        engine.insert("cleaned.events", row | {"event_time": dt.datetime(2026, 1, 10, 4)} | event)
    for day, session, alias, n, seconds in session_days:
        row = {"event_date": day, "stream_id": "s", "session_id": session, "alias_id": alias}
        engine.insert("cleaned.session_days", row | {"n_sessions": n, "session_seconds": seconds})
    text = sql_file(f"features.{name}")
    return engine.dicts(text, bound(text, PARAMETERS))


def test_every_role_has_its_count_and_all_are_events(engine: Engine) -> None:
    roles = ["view", "view", "search", "add_to_cart", "remove_from_cart", "purchase", "refund", "rate", "play", "read"]
    roles += ["share", "follow", "sign_in", "message", "other"]
    (row,) = tiles(engine, "user_days", [{"role": role} for role in roles])
    counts = {
        name: n for name, n in row.items() if name.startswith("n_") and name not in ("n_night_events", "n_orders")
    }
    assert counts.pop("n_events") == 15
    assert counts.pop("n_views") == 2
    assert counts.pop("n_sessions") == 0
    assert set(counts.values()) == {1}
    assert len(counts) == 12


def test_lines_of_one_order_are_one_order_and_a_purchase_without_one_is_its_time(engine: Engine) -> None:
    later = dt.datetime(2026, 1, 10, 5)
    lines = [{"order_id": "o1"}, {"order_id": "o1"}, {"order_id": "o2"}, {}, {}, {"event_time": later}]
    (row,) = tiles(engine, "user_days", [{"role": "purchase"} | line for line in lines])
    assert (row["n_purchases"], row["n_orders"]) == (6, 4)


def test_money_is_of_purchases_and_refunds_only(engine: Engine) -> None:
    events = [("purchase", "10.25"), ("purchase", None), ("refund", "3.10"), ("view", "99.00"), ("add_to_cart", "7.00")]
    (row,) = tiles(engine, "user_days", [{"role": role, "amount": amount} for role, amount in events])
    assert (str(row["purchase_amount"]), str(row["refund_amount"])) == ("10.25", "3.10")


def test_night_is_before_six_in_the_zone_of_the_calendar(engine: Engine) -> None:
    is_night = {"16:00": True, "21:59": True, "22:00": False, "15:59": False}
    events = [{"alias_id": utc, "event_time": dt.datetime.fromisoformat(f"2026-01-09 {utc}")} for utc in is_night]
    found = {row["alias_id"]: row["n_night_events"] for row in tiles(engine, "user_days", events)}
    assert found == {utc: int(night) for utc, night in is_night.items()}


def test_sessions_are_those_of_the_alias_and_the_day(engine: Engine) -> None:
    other = dt.date(2026, 1, 11)
    days = [(DAY, "s1", "user:u", 1, 60), (DAY, "s2", "user:u", 0, 5), (DAY, "s2", "device:d", 1, 7)]
    (row,) = tiles(engine, "user_days", [{}], [*days, (other, "s3", "user:u", 1, 99)])
    assert (row["n_sessions"], row["session_seconds"]) == (1, 65)


def test_an_event_of_nobody_or_of_another_day_is_in_no_tile(engine: Engine) -> None:
    events = [{"alias_id": None, "item_id": "i"}, {"event_date": dt.date(2026, 1, 11), "item_id": "i"}]
    assert tiles(engine, "user_days", events) == []
    assert [tiles(engine, name, []) for name in ("user_item_days", "user_term_days")] == [[], []]


def test_an_item_has_a_row_by_role_with_pieces_amount_and_value(engine: Engine) -> None:
    events = [
        {"role": "play", "value": "30"}, {"role": "play", "value": "12.5"}, {"role": "play", "category": "Jazz"},
        {"role": "purchase", "quantity": 2, "amount": "5.00"}, {"role": "purchase", "quantity": 1, "amount": "2.50"},
    ]  # fmt: skip
    found = {
        row["role"]: row for row in tiles(engine, "user_item_days", [{"item_id": "i"} | event for event in events])
    }
    play, bought = found["play"], found["purchase"]
    assert (play["n"], play["n_uncategorized"], str(play["value"]), play["amount"]) == (3, 2, "42.5000", None)
    assert (bought["n"], str(bought["quantity"]), str(bought["amount"])) == (2, "3.0000", "7.50")


def test_a_search_is_its_words_and_text_without_spaces_stays_whole(engine: Engine) -> None:
    events = [{"role": "search", "query": "  Running   SHOES shoes "}, {"role": "search", "query": "跑步鞋"}]
    found = {(row["kind"], row["term"]): row["n"] for row in tiles(engine, "user_term_days", events)}
    assert found == {("keyword", "running"): 1, ("keyword", "shoes"): 2, ("keyword", "跑步鞋"): 1}


def test_a_search_is_lowered_character_by_character(engine: Engine) -> None:
    events = [{"role": "search", "query": "ΟΔΟΣ İzmir\tTEA\n"}, {"role": "search", "query": " \u3000"}, {"query": ""}]
    found = {row["term"] for row in tiles(engine, "user_term_days", events)}
    assert found == {"οδοσ", "izmir", "tea"}


def test_a_term_is_cut_after_64_characters_and_not_bytes(engine: Engine) -> None:
    (row,) = tiles(engine, "user_term_days", [{"role": "search", "query": "🍵" * 70}])
    assert row["term"] == "🍵" * 64


def test_a_category_that_an_event_names_is_a_term_of_its_own(engine: Engine) -> None:
    events = [{"category": "Tea"}, {"category": "Tea"}, {"category": "Tea", "role": "purchase"}]
    found = {(row["kind"], row["term"], row["role"]): row["n"] for row in tiles(engine, "user_term_days", events)}
    assert found == {("category", "Tea", "view"): 2, ("category", "Tea", "purchase"): 1}
