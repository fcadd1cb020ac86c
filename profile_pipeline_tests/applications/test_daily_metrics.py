"""Daily metrics on literal rows: what counts as a page view, a visitor, an order, a conversion."""

import datetime as dt
from typing import Any

import duckdb
import pytest

from profile_pipeline.cleaned.tables import EVENTS, IDENTITIES, SESSIONS
from profile_pipeline.profiles.tables import SCORES
from profile_pipeline.warehouse.sql import sql_file

DAY = dt.date(2026, 1, 10)
NOON = dt.datetime(2026, 1, 10, 4)
EVENT_ROWS: list[dict[str, Any]] = [
    {"stream_id": "anonymous:a", "alias_id": "user:u", "role": "view"},
    {"stream_id": "anonymous:a", "alias_id": "user:u", "role": "view"},
    {"stream_id": "anonymous:b", "alias_id": None, "role": "view"},
    {"stream_id": "anonymous:b", "alias_id": None, "role": "search"},
    {"stream_id": "anonymous:a", "alias_id": "user:u", "role": "purchase", "order_id": "o1", "amount": "10.00"},
    {"stream_id": "anonymous:a", "alias_id": "user:u", "role": "purchase", "order_id": "o1", "amount": "5.50"},
    {"stream_id": "anonymous:b", "alias_id": None, "role": "refund", "amount": "3.25"},
]
SESSION_ROWS = [("s1", "anonymous:a", "user:u", True), ("s2", "anonymous:b", None, False)]


@pytest.fixture
def rows() -> dict[str, dict[str, Any]]:
    """Daily metrics by segment: `user:u` was in s1 at the end of the day before, and is in s2 at the end of the day."""
    connection = duckdb.connect(":memory:")
    for schema in ("cleaned", "profiles"):
        connection.execute(f"create schema {schema}")
    for table in (EVENTS, SESSIONS, IDENTITIES, SCORES):
        columns = ", ".join(f'"{c.name}" {c.type}' for c in table.columns)
        connection.execute(f"create table {table.name} ({columns})")

    def insert(table: str, **row: Any) -> None:
        names = ", ".join(f'"{name}"' for name in row)
        connection.execute(f"insert into {table} ({names}) values ({', '.join('?' * len(row))})", list(row.values()))

    for number, event in enumerate(EVENT_ROWS):
        insert("cleaned.events", event_id=f"e{number}", event_date=DAY, event_time=NOON, **event)
    for session_id, stream_id, alias_id, is_converted in SESSION_ROWS:
        insert("cleaned.sessions", session_id=session_id, stream_id=stream_id, alias_id=alias_id, event_date=DAY, is_converted=is_converted)  # fmt: skip
    insert("cleaned.identities", alias_id="user:u", profile_id="p1", valid_from=dt.date(2026, 1, 1))
    for day, segment in ((dt.date(2026, 1, 9), "s1"), (DAY, "s2")):
        insert("profiles.scores", profile_id="p1", as_of_date=day, model="segments", **{"class": segment})
    connection.execute("create temp table metric_days as select date '2026-01-10' as event_date")
    answer = connection.execute(sql_file("applications.daily_metrics"), {"segment_model": "segments"})
    names = [column[0] for column in answer.description]
    return {row["segment"]: row for row in (dict(zip(names, told, strict=True)) for told in answer.fetchall())}


def test_page_views_are_views_and_visitors_are_streams_known_or_not(rows: dict[str, dict[str, Any]]) -> None:
    assert (rows["all"]["pv"], rows["all"]["uv"]) == (3, 2)


def test_lines_of_an_order_are_one_order_and_revenue_is_less_refunds(rows: dict[str, dict[str, Any]]) -> None:
    assert rows["all"]["n_orders"] == 1
    assert str(rows["all"]["revenue_amount"]) == "12.25"


def test_conversion_is_the_share_of_sessions_that_bought(rows: dict[str, dict[str, Any]]) -> None:
    assert (rows["all"]["n_sessions"], rows["all"]["conversion"]) == (2, 0.5)


def test_a_person_counts_for_the_segment_of_the_day_before(rows: dict[str, dict[str, Any]]) -> None:
    assert rows.keys() == {"all", "s1"}
    assert (rows["s1"]["pv"], rows["s1"]["uv"], str(rows["s1"]["revenue_amount"])) == (2, 1, "15.50")
