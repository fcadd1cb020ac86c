"""Tags on literal rows."""

import datetime as dt
import json

import duckdb
import pytest

from profile_pipeline.features.tables import BEHAVIOR
from profile_pipeline.profiles.tables import SCORES, USER_PROFILES
from profile_pipeline.profiles.tags import tags_sql
from profile_pipeline.settings import AttributeModelSettings, OutcomeModelSettings, TagRule, TagSettings

DAY, WEEK = dt.date(2026, 3, 30), dt.date(2026, 3, 23)
AGE_BAND = AttributeModelSettings(task="attribute", label="birth_year", bands=(30, 45))
BORN = AttributeModelSettings(task="attribute", label="birth_date", bands=(30, 45))


def tagged(
    tags: dict[str, TagSettings], models: dict[str, object], people: list[dict], scores: list[tuple] = ()
) -> dict:
    """The tags of literal people: {(profile_id, tag): (value, confidence, kind)}; `scores` are (profile_id, model, class, probability)."""
    connection = duckdb.connect(":memory:")
    connection.execute("create schema profiles; create schema features")
    for table in (USER_PROFILES, SCORES, BEHAVIOR):
        columns = ", ".join(f'"{c.name}" {c.type}' for c in table.columns)
        connection.execute(f"create table {table.name} ({columns})")
    connection.execute("create table tag_quantiles as select date '2026-03-30' as as_of_date")
    connection.execute("create table other_classes (model varchar, week date, class varchar)")
    connection.execute(
        "insert into other_classes values ('gender', ?, 'female'), ('churn', ?, 'no_churn')", [WEEK, WEEK]
    )
    for person in people:
        row = {"as_of_date": DAY, "is_final": True, "user_ids": [], "n_aliases": 1} | person
        names = ", ".join(row)
        connection.execute(
            f"insert into profiles.user_profiles ({names}) values ({', '.join('?' * len(row))})", list(row.values())
        )
    for profile_id, model, label, probability in scores:
        connection.execute(
            "insert into profiles.scores values (?, ?, ?, ?, ?, ?, 0.0, 0.5, true)",
            [profile_id, DAY, model, label, WEEK, probability],
        )
    rows = connection.execute(tags_sql(tags, models), {"first_day": DAY, "last_day": DAY}).fetchall()
    return {(p, tag): (value, confidence, kind) for p, _, tag, value, confidence, kind, _, _ in rows}


def test_what_the_crm_knows_goes_before_what_a_model_of_it_predicts() -> None:
    tags = {"age_band": TagSettings(predicted="age_band", min_confidence=0.5)}
    people = [{"profile_id": "known", "birth_year": 1970}, {"profile_id": "unknown"}]
    scores = [(p, "age_band", "under 30", 0.9) for p in ("known", "unknown")]
    assert tagged(tags, {"age_band": AGE_BAND}, people, scores) == {
        ("known", "age_band"): ("45 and over", 1.0, "fact"),
        ("unknown", "age_band"): ("under 30", 0.9, "predicted"),
    }


@pytest.mark.parametrize(("born", "band"), [(dt.date(1996, 3, 30), "30 to 44"), (dt.date(1996, 3, 31), "under 30")])
def test_an_age_is_full_years_on_the_day(born: dt.date, band: str) -> None:
    tags = {"age_band": TagSettings(predicted="age_band")}
    found = tagged(tags, {"age_band": BORN}, [{"profile_id": "p", "birth_date": born}])
    assert found == {("p", "age_band"): (band, 1.0, "fact")}


def test_of_two_classes_the_likelier_is_told_with_its_own_probability() -> None:
    tags = {"gender": TagSettings(fact="gender", predicted="gender", min_confidence=0.6)}
    model = AttributeModelSettings(task="attribute", label="gender")
    people = [{"profile_id": p} for p in ("a", "b", "c")]
    scores = [("a", "gender", "male", 0.8), ("b", "gender", "male", 0.3), ("c", "gender", "male", 0.55)]
    assert tagged(tags, {"gender": model}, people, scores) == {
        ("a", "gender"): ("male", 0.8, "predicted"),
        ("b", "gender"): ("female", 0.7, "predicted"),
    }


def test_the_first_threshold_that_a_probability_reaches_names_the_value() -> None:
    tags = {"risk": TagSettings(predicted="churn", values={"low": 0.0, "high": 0.5, "medium": 0.25})}
    model = OutcomeModelSettings(task="outcome")
    people = [{"profile_id": p} for p in ("a", "b", "c")]
    scores = [("a", "churn", "churn", 0.5), ("b", "churn", "churn", 0.49), ("c", "churn", "churn", 0.1)]
    found = tagged(tags, {"churn": model}, people, scores)
    assert [found[p, "risk"][0] for p in ("a", "b", "c")] == ["high", "medium", "low"]


def test_the_first_rule_that_holds_wins_and_a_null_holds_nowhere() -> None:
    rules = (TagRule(value="away", when="recency_days > 14"), TagRule(value="here", when="recency_days >= 0"))
    people = [{"profile_id": "a", "recency_days": 20}, {"profile_id": "b", "recency_days": 0}, {"profile_id": "c"}]
    assert tagged({"life": TagSettings(rules=rules)}, {}, people) == {
        ("a", "life"): ("away", None, "rule"),
        ("b", "life"): ("here", None, "rule"),
    }


def test_an_attribute_of_the_crm_is_a_fact_and_an_empty_one_is_none() -> None:
    tags = {"month": TagSettings(fact="attributes.birth_month")}
    people = [
        {"profile_id": "a", "attributes": json.dumps({"birth_month": "7"})},
        {"profile_id": "b", "attributes": json.dumps({"birth_month": ""})},
        {"profile_id": "c"},
    ]
    assert tagged(tags, {}, people) == {("a", "month"): ("7", 1.0, "fact")}
