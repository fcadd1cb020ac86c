import datetime as dt

import pyarrow as pa
import pytest

from profile_pipeline.cleaned.sessions import cut_long_chains
from profile_pipeline.cleaned.tables import EVENTS, IDENTITIES, USERS
from profile_pipeline.raw.tables import EVENTS as RAW_EVENTS
from profile_pipeline.warehouse.sql import bound, sql_file
from profile_pipeline_tests.engines import Engine

DAY = dt.date(2026, 1, 5)
Event = tuple[str, str, str, str | None, str]


@pytest.fixture
def engine(engine: Engine) -> Engine:
    engine.create(EVENTS, IDENTITIES, USERS, RAW_EVENTS)
    return engine


def insert(engine: Engine, events: list[tuple[str, str, str, str | None, str | None]]) -> None:
    """(event_id, time, alias_id, stream_id, device_id)"""
    for event_id, time, alias, stream, device in events:
        moment = dt.datetime.fromisoformat(time)
        row = {
            "event_id": event_id,
            "event_date": moment.date(),
            "event_time": moment,
            "role": "view",
            "alias_id": alias,
        }
        row |= {"stream_id": stream, "device_id": device, "page": f"/{event_id}", "file_id": "f", "row_number": 1}
        engine.insert("cleaned.events", row)


def sessions(engine: Engine) -> list[tuple]:
    engine.view(
        "session_input", "select stream_id, event_date, event_time, event_id, alias_id, page, role from cleaned.events"
    )
    engine.view("session_chains", sql_file("cleaned.session_chains"))
    named = [event for (event,) in engine.rows(sql_file("cleaned.session_cuts"))]
    chains = sorted(engine.rows(sql_file("cleaned.long_chain_events")), key=lambda row: (*row[:3], row[5]))
    engine.hold("session_cuts", pa.table({"event_id": pa.array([*named, *cut_long_chains(chains)], pa.string())}))
    engine.view("session_events", sql_file("cleaned.session_events"))
    engine.view("fresh_sessions", sql_file("cleaned.sessions"))
    rows = sorted(
        engine.dicts(sql_file("cleaned.sessions")), key=lambda row: (row["started_at"], row["first_event_id"])
    )
    return [
        tuple(row[n] for n in ("first_event_id", "n_events", "entry_page", "exit_page", "session_id")) for row in rows
    ]


def test_a_gap_of_exactly_thirty_minutes_still_belongs(engine: Engine) -> None:
    a = "anonymous:a1"
    insert(
        engine,
        [
            ("e1", "2026-01-05 10:00", a, a, None),
            ("e2", "2026-01-05 10:30", a, a, None),
            ("e3", "2026-01-05 11:00:00.000001", a, a, None),
        ],
    )
    assert [(first, n) for first, n, *_ in sessions(engine)] == [("e1", 2), ("e3", 1)]


def test_the_session_id_is_the_written_formula(engine: Engine) -> None:
    insert(engine, [("e1", "2026-01-05 10:00", "anonymous:a1", "anonymous:a1", None)])
    assert sessions(engine)[0][4] == "s9f8859e4be5183bb9a08"


def test_signing_in_does_not_cut_and_another_user_does(engine: Engine) -> None:
    s = "anonymous:a1"
    insert(
        engine,
        [
            ("e1", "2026-01-05 10:00", s, s, None),
            ("e2", "2026-01-05 10:01", "user:u1", s, None),
            ("e3", "2026-01-05 10:02", s, s, None),
            ("e4", "2026-01-05 10:03", "user:u2", s, None),
        ],
    )
    assert [(first, n) for first, n, *_ in sessions(engine)] == [("e1", 3), ("e4", 1)]


def test_a_chain_of_more_than_a_day_is_cut_after_24_hours(engine: Engine) -> None:
    s, start = "device:d1", dt.datetime(2026, 1, 5)
    insert(engine, [(f"e{i:03d}", str(start + dt.timedelta(minutes=20 * i)), s, s, None) for i in range(100)])
    assert [(first, n) for first, n, *_ in sessions(engine)] == [("e000", 73), ("e073", 27)]


def test_a_session_over_a_day_of_23_hours_is_cut_where_a_third_date_begins(engine: Engine) -> None:
    s, start = "device:d1", dt.datetime(2026, 3, 8, 4, 30)
    insert(engine, [(f"e{i:03d}", str(start + dt.timedelta(minutes=25 * i)), s, s, None) for i in range(58)])
    engine.connection.execute(
        "update cleaned.events set event_date = cast(event_time at time zone 'UTC' at time zone 'America/New_York' as date)"
    )
    # From 23:30 of the 7th to 00:15 of the 9th are less than 24 hours.
    assert [(first, n) for first, n, *_ in sessions(engine)] == [("e000", 57), ("e057", 1)]


def test_events_of_one_time_are_ordered_by_their_id(engine: Engine) -> None:
    s = "device:d1"
    insert(engine, [("e2", "2026-01-05 10:00", s, s, None), ("e1", "2026-01-05 10:00", s, s, None)])
    assert sessions(engine)[0][:4] == ("e1", 2, "/e1", "/e2")


def identities(engine: Engine, key: str = "", *, has_events: bool = True) -> dict[str, list[tuple]]:
    text = sql_file("cleaned.identities")
    found: dict[str, list[tuple]] = {}
    for alias, *rest in sorted(
        engine.rows(text, bound(text, {"key": key, "has_events": has_events})), key=lambda row: (row[0], row[3])
    ):
        found.setdefault(alias, []).append(tuple(rest))
    return found


def test_a_browser_belongs_to_its_user_from_the_day_of_signing_in(engine: Engine) -> None:
    a = "anonymous:a1"
    insert(engine, [("e1", "2026-01-05 10:00", a, a, None), ("e2", "2026-01-07 10:00", "user:u1", a, None)])
    found = identities(engine)
    user = "p6daf61bb15aa1c6ea285"
    assert found["user:u1"] == [(user, "alone", dt.date(2026, 1, 7), None)]
    alone, signed_in = found[a]
    assert alone[1:] == ("alone", dt.date(2026, 1, 5), dt.date(2026, 1, 7))
    assert signed_in == (user, "signed_in", dt.date(2026, 1, 7), None)
    assert alone[0] != user


def test_an_address_belongs_to_its_user_from_the_day_on_which_both_are_on_one_event_that_counts(
    engine: Engine,
) -> None:
    # The second event does not count: its row is in raw alone.
    for number, day, alias, said in (
        (1, 5, "email:x", {"email_hash": "x"}),
        (2, 6, None, {"email_hash": "x", "user_id": "robot"}),
        (3, 7, "user:u1", {"email_hash": "x", "phone_hash": "y", "user_id": "u1"}),
    ):
        place = {"event_id": f"e{number}", "event_date": dt.date(2026, 1, day), "file_id": "f", "row_number": number}
        engine.insert("raw.events", place | said)
        if alias:
            engine.insert("cleaned.events", place | {"alias_id": alias, "stream_id": alias})
    found = identities(engine)
    assert [row[1:] for row in found["email:x"]] == [
        ("alone", dt.date(2026, 1, 5), dt.date(2026, 1, 7)),
        ("signed_in", dt.date(2026, 1, 7), None),
    ]
    user = "p6daf61bb15aa1c6ea285"
    assert found["phone:y"] == [(user, "signed_in", dt.date(2026, 1, 7), None)]
    assert found["email:x"][1][0] == user


def test_from_the_second_user_on_a_device_belongs_to_neither(engine: Engine) -> None:
    d = "device:d1"
    insert(engine, [("e1", "2026-01-05 10:00", "user:u1", d, "d1"), ("e2", "2026-01-08 10:00", "user:u2", d, "d1")])
    found = identities(engine)[d]
    assert [(rule, start, end) for _, rule, start, end in found] == [
        ("signed_in", dt.date(2026, 1, 5), dt.date(2026, 1, 8)),
        ("shared", dt.date(2026, 1, 8), None),
    ]
    assert found[1][0] not in {rows[0][0] for alias, rows in identities(engine).items() if alias != d}


def test_two_users_on_one_day_make_a_device_shared_at_once(engine: Engine) -> None:
    insert(
        engine,
        [
            ("e1", "2026-01-05 10:00", "user:u1", "device:d1", "d1"),
            ("e2", "2026-01-05 11:00", "user:u2", "device:d1", "d1"),
        ],
    )
    assert [rule for _, rule, _, _ in identities(engine)["device:d1"]] == ["shared"]


def test_a_key_changes_every_profile_id(engine: Engine) -> None:
    insert(engine, [("e1", "2026-01-05 10:00", "user:u1", "user:u1", None)])
    assert identities(engine)["user:u1"][0][0] != identities(engine, "secret")["user:u1"][0][0]


def test_the_gap_across_midnight_is_of_no_day_and_others_are_of_who_was_there_first(engine: Engine) -> None:
    s, u = "anonymous:a1", "user:u1"
    times = {"e1": ("23:50", s), "e2": ("23:55:30.500", u), "e3": ("23:55:31.499999", u)}
    insert(engine, [(event, f"2026-01-05 {time}", alias, s, None) for event, (time, alias) in times.items()])
    insert(engine, [("e4", "2026-01-06 00:05", s, s, None), ("e5", "2026-01-06 00:06:00.999", s, s, None)])
    sessions(engine)
    parameters = {"first_day": DAY, "last_day": DAY + dt.timedelta(days=1)}
    rows = engine.dicts(sql_file("cleaned.session_days"), parameters)
    assert {(row["event_date"].day, row["alias_id"]): (row["n_sessions"], row["session_seconds"]) for row in rows} == {
        (5, s): (1, 330),
        (5, u): (0, 0),
        (6, s): (0, 60),
    }


@pytest.mark.parametrize(("has_events", "people"), [(False, ["user:u1", "user:u2"]), (True, [])])
def test_a_crm_record_makes_a_person_only_where_no_source_brings_events(
    engine: Engine, has_events: bool, people: list[str]
) -> None:
    for user, day in (("u1", DAY), ("u1", DAY + dt.timedelta(days=3)), ("u2", DAY)):
        engine.insert("cleaned.users", {"user_id": user, "is_timeless": False, "valid_from": day})
    found = identities(engine, has_events=has_events)
    assert sorted(found) == people
    assert {(rule, start, end) for [(_, rule, start, end)] in found.values()} <= {("alone", DAY, None)}
