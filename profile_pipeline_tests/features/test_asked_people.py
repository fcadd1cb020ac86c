"""Who is meant by a row, and until when it may know: on literal rows."""

import datetime as dt

import pyarrow as pa

from profile_pipeline.cleaned.tables import IDENTITIES
from profile_pipeline.warehouse.sql import bound, sql_file
from profile_pipeline_tests.engines import Engine

T = dt.date(2026, 3, 10)
ONE_DAY = dt.timedelta(days=1)
FIRST, LAST = T - 30 * ONE_DAY, T + 30 * ONE_DAY


def meant(
    engine: Engine,
    identities: list[tuple],
    rows: list[tuple[str | None, dt.date | dt.datetime]],
    zone: str = "Asia/Shanghai",
) -> list[tuple]:
    """Return (as_of_date, profile_id, is_ever_known) of each row that lies within the days."""
    engine.create(IDENTITIES)
    for alias, profile, start, end in identities:
        row = {"alias_id": alias, "profile_id": profile, "rule": "alone", "valid_from": start, "valid_to": end}
        engine.insert("cleaned.identities", row)
    moments = [time if isinstance(time, dt.datetime) else None for _, time in rows]
    engine.hold("asked_rows", pa.table({
        "row_number": pa.array(range(len(rows)), pa.int64()), "person": pa.array([person for person, _ in rows], pa.string()),
        "stated_date": pa.array([None if isinstance(time, dt.datetime) else time for _, time in rows], pa.date32()),
        "stated_at": pa.array(moments, pa.timestamp("us")),
    }))  # fmt: skip
    text = sql_file("features.asked_people")
    known = {"timezone": zone, "first_day": FIRST, "last_day": LAST}
    return [row[1:] for row in sorted(engine.rows(text, bound(text, known)))]


def test_a_date_knows_its_day_and_a_moment_only_the_day_before(engine: Engine) -> None:
    held = [("user:u", "p", FIRST, None)]
    evening_in_utc = dt.datetime(2026, 3, 9, 20)  # the 10th, 4 o'clock, in Shanghai
    rows = [("u", T), ("u", dt.datetime(2026, 3, 10, 12)), ("u", evening_in_utc)]
    assert [row[0] for row in meant(engine, held, rows)] == [T, T - ONE_DAY, T - ONE_DAY]
    assert [row[0] for row in meant(engine, held, rows, zone="UTC")] == [T, T - ONE_DAY, T - 2 * ONE_DAY]


def test_a_person_is_named_by_profile_alias_or_user_id(engine: Engine) -> None:
    held = [("user:u", "p1", FIRST, None), ("anonymous:a", "p2", FIRST, None)]
    rows = [(name, T) for name in ("p1", "user:u", "u", "anonymous:a", "a", None)]
    assert [row[1] for row in meant(engine, held, rows)] == ["p1", "p1", "p1", "p2", None, None]
    assert [row[2] for row in meant(engine, held, rows)] == [True, True, True, True, False, False]


def test_who_signs_in_later_was_somebody_else_before(engine: Engine) -> None:
    held = [("anonymous:a", "alone", FIRST, T), ("anonymous:a", "p", T, None), ("user:u", "p", T, None)]
    rows = [("anonymous:a", T - ONE_DAY), ("anonymous:a", T), ("u", T - ONE_DAY), ("u", T), ("alone", T)]
    assert [row[1] for row in meant(engine, held, rows)] == ["alone", "p", None, "p", None]
    assert all(row[2] for row in meant(engine, held, rows))


def test_of_several_meanings_the_first_that_held_then_is_meant(engine: Engine) -> None:
    held = [("user:user:u", "odd", FIRST, None), ("user:u", "p", T, None)]
    assert [row[1] for row in meant(engine, held, [("user:u", T - ONE_DAY), ("user:u", T)])] == ["odd", "p"]


def test_rows_outside_of_the_days_are_left_out_by_the_day_that_they_state(engine: Engine) -> None:
    held = [("user:u", "p", FIRST - ONE_DAY, None)]
    first_moment = dt.datetime.combine(FIRST, dt.time(12))
    rows = [("u", FIRST - ONE_DAY), ("u", first_moment), ("u", FIRST), ("u", LAST), ("u", LAST + ONE_DAY)]
    assert [row[0] for row in meant(engine, held, rows)] == [FIRST - ONE_DAY, FIRST, LAST]
