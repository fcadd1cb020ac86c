import datetime as dt

import duckdb
import pytest

from profile_pipeline.cleaned.sessions import cut_long_chains
from profile_pipeline.cleaned.tables import EVENTS, IDENTITIES
from profile_pipeline.warehouse.sql import bound, sql_file

DAY = dt.date(2026, 1, 5)
Event = tuple[str, str, str, str | None, str]


@pytest.fixture
def connection() -> duckdb.DuckDBPyConnection:
    opened = duckdb.connect(":memory:")
    opened.execute("create schema cleaned")
    for table in (EVENTS, IDENTITIES):
        opened.execute(table.ddl())
    return opened


def insert(connection: duckdb.DuckDBPyConnection, events: list[tuple[str, str, str, str | None, str | None]]) -> None:
    """(event_id, time, alias_id, stream_id, device_id)"""
    for event_id, time, alias, stream, device in events:
        moment = dt.datetime.fromisoformat(time)
        connection.execute(
            "insert into cleaned.events (event_id, event_date, event_time, role, alias_id, stream_id, device_id, page, file_id, row_number) values (?, ?, ?, 'view', ?, ?, ?, ?, 'f', 1)",
            [event_id, moment.date(), moment, alias, stream, device, f"/{event_id}"],
        )


def sessions(connection: duckdb.DuckDBPyConnection) -> list[tuple]:
    connection.execute(
        "create or replace temp table session_input as select stream_id, event_date, event_time, event_id, alias_id, page, role from cleaned.events"
    )
    connection.execute(f"create or replace temp table session_chains as {sql_file('cleaned.session_chains')}")
    connection.execute(f"create or replace temp table session_cuts as {sql_file('cleaned.session_cuts')}")
    for cut in cut_long_chains(connection.execute(sql_file("cleaned.long_chain_events")).fetchall()):
        connection.execute("insert into session_cuts values (?)", [cut])
    connection.execute(f"create or replace temp table session_events as {sql_file('cleaned.session_events')}")
    return connection.execute(
        f"select first_event_id, n_events, entry_page, exit_page, session_id from ({sql_file('cleaned.sessions')}) order by started_at, first_event_id"
    ).fetchall()


def test_a_gap_of_exactly_thirty_minutes_still_belongs(connection: duckdb.DuckDBPyConnection) -> None:
    a = "anonymous:a1"
    insert(
        connection,
        [
            ("e1", "2026-01-05 10:00", a, a, None),
            ("e2", "2026-01-05 10:30", a, a, None),
            ("e3", "2026-01-05 11:00:00.000001", a, a, None),
        ],
    )
    assert [(first, n) for first, n, *_ in sessions(connection)] == [("e1", 2), ("e3", 1)]


def test_the_session_id_is_the_written_formula(connection: duckdb.DuckDBPyConnection) -> None:
    insert(connection, [("e1", "2026-01-05 10:00", "anonymous:a1", "anonymous:a1", None)])
    assert sessions(connection)[0][4] == "s9f8859e4be5183bb9a08"


def test_signing_in_does_not_cut_and_another_user_does(connection: duckdb.DuckDBPyConnection) -> None:
    s = "anonymous:a1"
    insert(
        connection,
        [
            ("e1", "2026-01-05 10:00", s, s, None),
            ("e2", "2026-01-05 10:01", "user:u1", s, None),
            ("e3", "2026-01-05 10:02", s, s, None),
            ("e4", "2026-01-05 10:03", "user:u2", s, None),
        ],
    )
    assert [(first, n) for first, n, *_ in sessions(connection)] == [("e1", 3), ("e4", 1)]


def test_a_chain_of_more_than_a_day_is_cut_after_24_hours(connection: duckdb.DuckDBPyConnection) -> None:
    s, start = "device:d1", dt.datetime(2026, 1, 5)
    insert(connection, [(f"e{i:03d}", str(start + dt.timedelta(minutes=20 * i)), s, s, None) for i in range(100)])
    assert [(first, n) for first, n, *_ in sessions(connection)] == [("e000", 73), ("e073", 27)]


def test_events_of_one_time_are_ordered_by_their_id(connection: duckdb.DuckDBPyConnection) -> None:
    s = "device:d1"
    insert(connection, [("e2", "2026-01-05 10:00", s, s, None), ("e1", "2026-01-05 10:00", s, s, None)])
    assert sessions(connection)[0][:4] == ("e1", 2, "/e1", "/e2")


def identities(connection: duckdb.DuckDBPyConnection, key: str = "") -> dict[str, list[tuple]]:
    text = sql_file("cleaned.identities")
    rows = connection.execute(
        f"select alias_id, profile_id, rule, valid_from, valid_to from ({text}) order by 1, 4",
        bound(text, {"key": key}),
    ).fetchall()
    found: dict[str, list[tuple]] = {}
    for alias, *rest in rows:
        found.setdefault(alias, []).append(tuple(rest))
    return found


def test_a_browser_belongs_to_its_user_from_the_day_of_signing_in(connection: duckdb.DuckDBPyConnection) -> None:
    a = "anonymous:a1"
    insert(connection, [("e1", "2026-01-05 10:00", a, a, None), ("e2", "2026-01-07 10:00", "user:u1", a, None)])
    found = identities(connection)
    user = "p6daf61bb15aa1c6ea285"
    assert found["user:u1"] == [(user, "alone", dt.date(2026, 1, 7), None)]
    alone, signed_in = found[a]
    assert alone[1:] == ("alone", dt.date(2026, 1, 5), dt.date(2026, 1, 7))
    assert signed_in == (user, "signed_in", dt.date(2026, 1, 7), None)
    assert alone[0] != user


def test_from_the_second_user_on_a_device_belongs_to_neither(connection: duckdb.DuckDBPyConnection) -> None:
    d = "device:d1"
    insert(connection, [("e1", "2026-01-05 10:00", "user:u1", d, "d1"), ("e2", "2026-01-08 10:00", "user:u2", d, "d1")])
    found = identities(connection)[d]
    assert [(rule, start, end) for _, rule, start, end in found] == [
        ("signed_in", dt.date(2026, 1, 5), dt.date(2026, 1, 8)),
        ("shared", dt.date(2026, 1, 8), None),
    ]
    assert found[1][0] not in {rows[0][0] for alias, rows in identities(connection).items() if alias != d}


def test_two_users_on_one_day_make_a_device_shared_at_once(connection: duckdb.DuckDBPyConnection) -> None:
    insert(
        connection,
        [
            ("e1", "2026-01-05 10:00", "user:u1", "device:d1", "d1"),
            ("e2", "2026-01-05 11:00", "user:u2", "device:d1", "d1"),
        ],
    )
    assert [rule for _, rule, _, _ in identities(connection)["device:d1"]] == ["shared"]


def test_a_key_changes_every_profile_id(connection: duckdb.DuckDBPyConnection) -> None:
    insert(connection, [("e1", "2026-01-05 10:00", "user:u1", "user:u1", None)])
    assert identities(connection)["user:u1"][0][0] != identities(connection, "secret")["user:u1"][0][0]
