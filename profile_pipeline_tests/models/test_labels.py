import datetime as dt

import duckdb

from profile_pipeline.cleaned.tables import IDENTITIES
from profile_pipeline.features.tables import USER_DAYS
from profile_pipeline.models.labels import outcome_labels
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
