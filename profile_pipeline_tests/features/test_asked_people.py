"""Who is meant by a row, and until when it may know: on literal rows."""

import datetime as dt

import duckdb

from profile_pipeline.cleaned.tables import IDENTITIES
from profile_pipeline.warehouse.sql import bound, sql_file

T = dt.date(2026, 3, 10)
ONE_DAY = dt.timedelta(days=1)
FIRST, LAST = T - 30 * ONE_DAY, T + 30 * ONE_DAY


def meant(
    identities: list[tuple], rows: list[tuple[str | None, dt.date | dt.datetime]], zone: str = "Asia/Shanghai"
) -> list[tuple]:
    """Return (as_of_date, profile_id, is_ever_known) of each row that lies within the days."""
    connection = duckdb.connect(":memory:")
    connection.execute("create schema cleaned")
    connection.execute(IDENTITIES.ddl())
    for alias, profile, start, end in identities:
        connection.execute("insert into cleaned.identities values (?, ?, 'alone', ?, ?)", [alias, profile, start, end])
    connection.execute(
        "create temp table asked_rows (row_number bigint, person varchar, stated_date date, stated_at timestamp)"
    )
    for number, (person, time) in enumerate(rows):
        is_moment = isinstance(time, dt.datetime)
        connection.execute(
            "insert into asked_rows values (?, ?, ?, ?)",
            [number, person, None if is_moment else time, time if is_moment else None],
        )
    text = sql_file("features.asked_people")
    known = {"timezone": zone, "first_day": FIRST, "last_day": LAST}
    found = connection.execute(f"select * from ({text}) order by row_number", bound(text, known)).fetchall()
    return [row[1:] for row in found]


def test_a_date_knows_its_day_and_a_moment_only_the_day_before() -> None:
    held = [("user:u", "p", FIRST, None)]
    evening_in_utc = dt.datetime(2026, 3, 9, 20)  # the 10th, 4 o'clock, in Shanghai
    rows = [("u", T), ("u", dt.datetime(2026, 3, 10, 12)), ("u", evening_in_utc)]
    assert [row[0] for row in meant(held, rows)] == [T, T - ONE_DAY, T - ONE_DAY]
    assert [row[0] for row in meant(held, rows, zone="UTC")] == [T, T - ONE_DAY, T - 2 * ONE_DAY]


def test_a_person_is_named_by_profile_alias_or_user_id() -> None:
    held = [("user:u", "p1", FIRST, None), ("anonymous:a", "p2", FIRST, None)]
    rows = [(name, T) for name in ("p1", "user:u", "u", "anonymous:a", "a", None)]
    assert [row[1] for row in meant(held, rows)] == ["p1", "p1", "p1", "p2", None, None]
    assert [row[2] for row in meant(held, rows)] == [True, True, True, True, False, False]


def test_who_signs_in_later_was_somebody_else_before() -> None:
    held = [("anonymous:a", "alone", FIRST, T), ("anonymous:a", "p", T, None), ("user:u", "p", T, None)]
    rows = [("anonymous:a", T - ONE_DAY), ("anonymous:a", T), ("u", T - ONE_DAY), ("u", T), ("alone", T)]
    assert [row[1] for row in meant(held, rows)] == ["alone", "p", None, "p", None]
    assert all(row[2] for row in meant(held, rows))


def test_of_several_meanings_the_first_that_held_then_is_meant() -> None:
    held = [("user:user:u", "odd", FIRST, None), ("user:u", "p", T, None)]
    assert [row[1] for row in meant(held, [("user:u", T - ONE_DAY), ("user:u", T)])] == ["odd", "p"]


def test_rows_outside_of_the_days_are_left_out_by_the_day_that_they_state() -> None:
    held = [("user:u", "p", FIRST - ONE_DAY, None)]
    first_moment = dt.datetime.combine(FIRST, dt.time(12))
    rows = [("u", FIRST - ONE_DAY), ("u", first_moment), ("u", FIRST), ("u", LAST), ("u", LAST + ONE_DAY)]
    assert [row[0] for row in meant(held, rows)] == [FIRST - ONE_DAY, FIRST, LAST]
