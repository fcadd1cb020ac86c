import datetime as dt

import duckdb
from hypothesis import given
from hypothesis import strategies as st

from profile_pipeline.cleaned.tables import IDENTITIES
from profile_pipeline.features.tables import USER_DAYS
from profile_pipeline.models.labels import WEEK, closed_cohorts, cohorts_of, outcome_class, outcome_labels
from profile_pipeline.settings import OutcomeModelSettings

T = dt.date(2026, 2, 1)
CHURN = OutcomeModelSettings(task="outcome", active_days=28, horizon_days=14, is_absence=True)


def labels(identities: list[tuple], tiles: list[tuple]) -> dict[str, bool]:
    connection = duckdb.connect(":memory:")
    connection.execute("create schema cleaned; create schema features")
    for table in (IDENTITIES, USER_DAYS):
        connection.execute(table.ddl())
    for row in identities:
        connection.execute("insert into cleaned.identities values (?, ?, 'alone', ?, ?)", list(row))
    numeric = [
        c.name
        for c in USER_DAYS.columns
        if c.name not in ("event_date", "alias_id", "first_event_at", "last_event_at", "n_events")
    ]
    for alias, day in tiles:
        connection.execute(
            f"insert into features.user_days (event_date, alias_id, n_events, first_event_at, last_event_at, {', '.join(numeric)}) values (?, ?, 1, ?, ?, {', '.join(['0'] * len(numeric))})",
            [day, alias, day, day],
        )
    sql, parameters = outcome_labels(CHURN, T)
    return dict(connection.execute(sql, parameters).fetchall())


def test_who_comes_back_within_the_horizon_is_no_churn() -> None:
    day = dt.timedelta(days=1)
    tiles = [("user:a", T), ("user:a", T + 14 * day), ("user:b", T), ("user:b", T + 15 * day), ("user:c", T - 28 * day)]
    held = [(f"user:{n}", n, T - 40 * day, None) for n in "abc"]
    assert labels(held, tiles) == {"a": True, "b": False}


def test_a_person_merged_three_days_later_is_no_churn() -> None:
    merged = T + dt.timedelta(days=3)
    held = [
        ("anonymous:x", "alone", T, merged),
        ("anonymous:x", "user", merged, None),
        ("user:u", "user", merged, None),
    ]
    assert labels(held, [("anonymous:x", T), ("user:u", T + dt.timedelta(days=5))]) == {"alone": True}


@given(n_weeks=st.integers(0, 30), horizon_days=st.integers(1, 60), weekday=st.integers(0, 6))
def test_closed_cohorts_are_all_that_training_has_used_so_far(n_weeks: int, horizon_days: int, weekday: int) -> None:
    monday = dt.date(2026, 1, 5)
    known = {"calendar_start": monday + dt.timedelta(days=weekday), "horizon_days": horizon_days}
    used: set[dt.date] = set()
    for number in range(n_weeks + 1):
        found = cohorts_of(monday + number * WEEK, **known)
        used |= {*found.train, *((found.future,) if found.future else ())}
    assert closed_cohorts(monday + n_weeks * WEEK, **known) == tuple(sorted(used))


def test_the_class_of_an_absence_is_the_outcome_where_nothing_happened() -> None:
    bought = CHURN.model_copy(update={"is_absence": False})
    assert [outcome_class("churn", CHURN, happened) for happened in (False, True)] == ["churn", "no_churn"]
    assert [outcome_class("buys", bought, happened) for happened in (False, True)] == ["no_buys", "buys"]
