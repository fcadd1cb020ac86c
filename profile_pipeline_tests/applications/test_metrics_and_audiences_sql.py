"""Daily metrics and audiences on literal rows."""

import datetime as dt
from typing import Any

import pyarrow as pa

from profile_pipeline.applications.audiences import audiences_sql
from profile_pipeline.cleaned.tables import EVENTS, IDENTITIES, SESSIONS
from profile_pipeline.profiles.tables import SCORES, TAGS, USER_PROFILES
from profile_pipeline.settings import AudienceSettings
from profile_pipeline.warehouse.sql import sql_file
from profile_pipeline_tests.engines import Engine

DAY = dt.date(2026, 3, 30)
ONE_DAY = dt.timedelta(days=1)
NOON = dt.datetime(2026, 3, 30, 12)


def metrics(
    engine: Engine, events: list[dict[str, Any]], sessions: list[dict[str, Any]] = ()
) -> dict[str, dict[str, Any]]:
    """The metrics of the day by segment; `user:u` was a loyal one the day before."""
    engine.create(EVENTS, SESSIONS, SCORES, IDENTITIES)
    engine.insert("cleaned.identities", {"alias_id": "user:u", "profile_id": "p", "valid_from": DAY - 9 * ONE_DAY})
    for age, label in ((5, "new"), (1, "loyal"), (0, "later")):
        row = {"profile_id": "p", "as_of_date": DAY - age * ONE_DAY, "model": "segments", "class": label}
        engine.insert("profiles.scores", row)
    of_somebody = {"event_date": DAY, "event_time": NOON, "alias_id": "user:u", "stream_id": "user:u"}
    engine.insert("cleaned.events", *(of_somebody | event for event in events))
    engine.insert("cleaned.sessions", *({"event_date": DAY, "alias_id": "user:u"} | session for session in sessions))
    engine.hold("metric_days", pa.table({"event_date": [DAY]}))
    rows = engine.dicts(sql_file("applications.daily_metrics"), {"segment_model": "segments"})
    return {row["segment"]: row for row in rows}


def test_a_day_counts_everybody_and_the_segments_of_the_newest_snapshot_before_it(engine: Engine) -> None:
    events = [{"role": "view"}, {"role": "view", "alias_id": "anonymous:a", "stream_id": "anonymous:a"}]
    found = metrics(engine, events, [{"is_converted": True}, {"is_converted": False, "alias_id": "anonymous:a"}])
    assert {name: (row["pv"], row["uv"], row["n_sessions"], row["conversion"]) for name, row in found.items()} == {
        "all": (2, 2, 2, 0.5),
        "loyal": (1, 1, 1, 1.0),
    }


def test_revenue_is_purchases_less_refunds_and_lines_of_an_order_are_one(engine: Engine) -> None:
    bought = [
        {"order_id": "o", "amount": "10.10"},
        {"order_id": "o", "amount": "0.05"},
        {"amount": None},
        {"alias_id": None},
    ]
    found = metrics(engine, [*({"role": "purchase"} | line for line in bought), {"role": "refund", "amount": "20.00"}])
    assert (found["all"]["n_orders"], str(found["all"]["revenue_amount"])) == (3, "-9.85")
    assert found["loyal"]["n_orders"] == 2


def test_a_day_without_an_event_has_a_row_of_zeros(engine: Engine) -> None:
    (row,) = metrics(engine, []).values()
    assert (row["segment"], row["pv"], row["conversion"], row["revenue_amount"]) == ("all", 0, None, 0)


def test_an_audience_is_who_fulfils_its_condition_and_an_absent_tag_is_null(engine: Engine) -> None:
    engine.create(USER_PROFILES, TAGS)
    for person in ("a", "b", "c"):
        engine.insert("profiles.user_profiles", {"profile_id": person, "as_of_date": DAY, "user_ids": [person.upper()]})
    for person, tag, value in (("a", "tier", "high"), ("a", "owl", "yes"), ("b", "tier", "high"), ("c", "owl", "it's")):
        engine.insert("profiles.tags", {"profile_id": person, "as_of_date": DAY, "tag": tag, "value": value})
    where = {"high_owls": "tier = 'high' and owl = 'yes'", "no_owls": "owl is null", "odd": "owl in ('it''s', '%')"}
    audiences = {name: AudienceSettings(where=condition) for name, condition in where.items()}
    rows = engine.rows(audiences_sql(audiences, ("tier", "owl")), {"first_day": DAY, "last_day": DAY})
    assert sorted(rows) == [(DAY, "high_owls", "a", ["A"]), (DAY, "no_owls", "b", ["B"]), (DAY, "odd", "c", ["C"])]
