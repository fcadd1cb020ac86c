import datetime as dt
import json

from hypothesis import given
from hypothesis import strategies as st

from profile_pipeline.cleaned.tables import IDENTITIES, USERS
from profile_pipeline.features.tables import BEHAVIOR, DEMAND, USER_DAYS
from profile_pipeline.models.labels import (
    WEEK,
    attribute_labels,
    closed_cohorts,
    cohorts_of,
    outcome_class,
    outcome_labels,
)
from profile_pipeline.models.population import population_sql
from profile_pipeline.settings import AttributeModelSettings, OutcomeModelSettings
from profile_pipeline_tests.engines import Engine

T = dt.date(2026, 2, 1)
CHURN = OutcomeModelSettings(task="outcome", active_days=28, horizon_days=14, is_absence=True)


def labels(engine: Engine, identities: list[tuple], tiles: list[tuple]) -> dict[str, bool]:
    engine.create(IDENTITIES, USER_DAYS)
    for row in identities:
        names = ("alias_id", "profile_id", "valid_from", "valid_to")
        engine.insert("cleaned.identities", dict(zip(names, row, strict=True)))
    for alias, day in tiles:
        engine.insert("features.user_days", {"event_date": day, "alias_id": alias, "n_events": 1})
    return dict(engine.rows(*outcome_labels(CHURN, T)))


def test_who_comes_back_within_the_horizon_is_no_churn(engine: Engine) -> None:
    day = dt.timedelta(days=1)
    tiles = [("user:a", T), ("user:a", T + 14 * day), ("user:b", T), ("user:b", T + 15 * day), ("user:c", T - 28 * day)]
    held = [(f"user:{n}", n, T - 40 * day, None) for n in "abc"]
    assert labels(engine, held, tiles) == {"a": True, "b": False}


def test_a_person_merged_three_days_later_is_no_churn(engine: Engine) -> None:
    merged = T + dt.timedelta(days=3)
    held = [
        ("anonymous:x", "alone", T, merged),
        ("anonymous:x", "user", merged, None),
        ("user:u", "user", merged, None),
    ]
    assert labels(engine, held, [("anonymous:x", T), ("user:u", T + dt.timedelta(days=5))]) == {"alone": True}


def known_labels(engine: Engine, model: AttributeModelSettings, people: dict[str, list[dict]]) -> dict[str, str]:
    """The labels of profiles by what the CRM says of each of their users."""
    engine.create(IDENTITIES, USERS)
    for profile, users in people.items():
        for number, said in enumerate(users):
            user = f"{profile}{number}"
            held = {"alias_id": f"user:{user}", "profile_id": profile, "valid_from": T}
            engine.insert("cleaned.identities", held)
            engine.insert("cleaned.users", {"user_id": user, "valid_from": T} | said)
    return {profile: label for profile, label, _ in engine.rows(*attribute_labels(model, T))}


def test_a_profile_whose_users_differ_has_no_label(engine: Engine) -> None:
    people = {
        "a": [{"gender": "f"}, {"gender": "f"}, {"gender": None}],
        "b": [{"gender": "f"}, {"gender": "m"}],
        "c": [{"gender": ""}],
    }
    people["d"] = [{"gender": "m", "valid_from": T + dt.timedelta(days=1)}]
    people["e"] = [{"gender": "m", "valid_to": T}]
    assert known_labels(engine, AttributeModelSettings(task="attribute", label="gender"), people) == {"a": "f"}


def test_bands_of_an_age_are_of_complete_years(engine: Engine) -> None:
    born = {"a": "1996-02-01", "b": "1996-02-02", "c": "2000-02-29", "d": "2027-01-01"}
    people = {name: [{"birth_date": dt.date.fromisoformat(day)}] for name, day in born.items()}
    model = AttributeModelSettings(task="attribute", label="birth_date", bands=(26, 30))
    assert known_labels(engine, model, people) == {
        "a": "30 and over",
        "b": "26 to 29",
        "c": "under 26",
        "d": "under 26",
    }


def test_bands_of_an_attribute_are_of_its_numbers(engine: Engine) -> None:
    said = {"a": "9.5", "b": "10", "c": "25d", "d": "many", "e": "20"}
    people = {name: [{"attributes": json.dumps({"size": text})}] for name, text in said.items()}
    model = AttributeModelSettings(task="attribute", label="attributes.size", bands=(10, 20))
    assert known_labels(engine, model, people) == {"a": "under 10", "b": "10 to 19", "e": "20 and over"}


def test_a_quantile_is_the_value_of_the_first_person_who_reaches_the_share(engine: Engine) -> None:
    engine.create(BEHAVIOR, DEMAND)
    for number in range(1, 11):
        engine.insert("features.behavior", {"profile_id": f"p{number}", "as_of_date": T, "recency_days": number})
    engine.insert("features.demand", {"profile_id": "p1", "as_of_date": T, "net_amount_90d": "-2.50"})
    rows = engine.dicts(population_sql(), {"week": T, "as_of_date": T})
    found = {row["key"]: (row["value"], row["n_people"]) for row in rows}
    assert [found[f"recency_days:0.{q}"] for q in ("05", "1", "15", "5", "95")] == [
        (1, 10),
        (1, 10),
        (2, 10),
        (5, 10),
        (10, 10),
    ]
    assert found["net_amount_90d:0.8"] == (-2.5, 1)
    assert len(found) == 2 * 19


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
