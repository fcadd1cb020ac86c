"""Tags on literal rows."""

import datetime as dt
import json

import pyarrow as pa
import pytest

from profile_pipeline.features.tables import BEHAVIOR
from profile_pipeline.profiles.tables import SCORES, USER_PROFILES
from profile_pipeline.profiles.tags import tags_sql
from profile_pipeline.settings import AttributeModelSettings, OutcomeModelSettings, TagRule, TagSettings
from profile_pipeline_tests.engines import Engine

DAY, WEEK = dt.date(2026, 3, 30), dt.date(2026, 3, 23)
AGE_BAND = AttributeModelSettings(task="attribute", label="birth_year", bands=(30, 45))
BORN = AttributeModelSettings(task="attribute", label="birth_date", bands=(30, 45))


def tagged(
    engine: Engine,
    tags: dict[str, TagSettings],
    models: dict[str, object],
    people: list[dict],
    scores: list[tuple] = (),
) -> dict:
    """The tags of literal people: {(profile_id, tag): (value, confidence, kind)}; `scores` are (profile_id, model, class, probability)."""
    return {
        key: (row["value"], row["confidence"], row["kind"])
        for key, row in tag_rows(engine, tags, models, people, scores).items()
    }


def tag_rows(
    engine: Engine,
    tags: dict[str, TagSettings],
    models: dict[str, object],
    people: list[dict],
    scores: list[tuple] = (),
) -> dict[tuple[str, str], dict]:
    engine.create(USER_PROFILES, SCORES, BEHAVIOR)
    engine.hold("snapshot_days", pa.table({"as_of_date": [DAY]}))
    engine.hold("tag_quantiles", pa.table({"as_of_date": [DAY], "quantile:net_amount_90d:0.8": [10.0]}))
    engine.hold(
        "other_classes", pa.table({"model": ["gender", "churn"], "week": [WEEK, WEEK], "class": ["female", "no_churn"]})
    )
    for person in people:
        row = {"as_of_date": DAY, "is_final": True, "user_ids": [], "n_aliases": 1} | person
        engine.insert("profiles.user_profiles", row)
    for profile_id, model, label, probability in scores:
        row = {"profile_id": profile_id, "as_of_date": DAY, "model": model, "class": label, "week": WEEK}
        row |= {"probability": probability, "score": 0.0, "percentile": 0.5, "is_final": True}
        engine.insert("profiles.scores", row)
    rows = engine.dicts(tags_sql(tags, models))
    return {(row["profile_id"], row["tag"]): row for row in rows}


def test_what_the_crm_knows_goes_before_what_a_model_of_it_predicts(engine: Engine) -> None:
    tags = {"age_band": TagSettings(predicted="age_band", min_confidence=0.5)}
    people = [{"profile_id": "known", "birth_year": 1970}, {"profile_id": "unknown"}]
    scores = [(p, "age_band", "under 30", 0.9) for p in ("known", "unknown")]
    assert tagged(engine, tags, {"age_band": AGE_BAND}, people, scores) == {
        ("known", "age_band"): ("45 and over", 1.0, "fact"),
        ("unknown", "age_band"): ("under 30", 0.9, "predicted"),
    }


@pytest.mark.parametrize(("born", "band"), [(dt.date(1996, 3, 30), "30 to 44"), (dt.date(1996, 3, 31), "under 30")])
def test_an_age_is_full_years_on_the_day(engine: Engine, born: dt.date, band: str) -> None:
    tags = {"age_band": TagSettings(predicted="age_band")}
    found = tagged(engine, tags, {"age_band": BORN}, [{"profile_id": "p", "birth_date": born}])
    assert found == {("p", "age_band"): (band, 1.0, "fact")}


def test_of_two_classes_the_likelier_is_told_with_its_own_probability(engine: Engine) -> None:
    tags = {"gender": TagSettings(fact="gender", predicted="gender", min_confidence=0.6)}
    model = AttributeModelSettings(task="attribute", label="gender")
    people = [{"profile_id": p} for p in ("a", "b", "c")]
    scores = [("a", "gender", "male", 0.8), ("b", "gender", "male", 0.3), ("c", "gender", "male", 0.55)]
    assert tagged(engine, tags, {"gender": model}, people, scores) == {
        ("a", "gender"): ("male", 0.8, "predicted"),
        ("b", "gender"): ("female", 0.7, "predicted"),
    }


def test_the_first_threshold_that_a_probability_reaches_names_the_value(engine: Engine) -> None:
    tags = {"risk": TagSettings(predicted="churn", values={"low": 0.0, "high": 0.5, "medium": 0.25})}
    model = OutcomeModelSettings(task="outcome")
    people = [{"profile_id": p} for p in ("a", "b", "c")]
    scores = [("a", "churn", "churn", 0.5), ("b", "churn", "churn", 0.49), ("c", "churn", "churn", 0.1)]
    found = tagged(engine, tags, {"churn": model}, people, scores)
    assert [found[p, "risk"][0] for p in ("a", "b", "c")] == ["high", "medium", "low"]


def test_the_first_rule_that_holds_wins_and_a_null_holds_nowhere(engine: Engine) -> None:
    rules = (TagRule(value="away", when="recency_days > 14"), TagRule(value="here", when="recency_days >= 0"))
    people = [{"profile_id": "a", "recency_days": 20}, {"profile_id": "b", "recency_days": 0}, {"profile_id": "c"}]
    assert tagged(engine, {"life": TagSettings(rules=rules)}, {}, people) == {
        ("a", "life"): ("away", None, "rule"),
        ("b", "life"): ("here", None, "rule"),
    }


def test_an_attribute_of_the_crm_is_a_fact_and_an_empty_one_is_none(engine: Engine) -> None:
    tags = {"month": TagSettings(fact="attributes.birth_month")}
    people = [
        {"profile_id": "a", "attributes": json.dumps({"birth_month": "7"})},
        {"profile_id": "b", "attributes": json.dumps({"birth_month": ""})},
        {"profile_id": "c"},
    ]
    assert tagged(engine, tags, {}, people) == {("a", "month"): ("7", 1.0, "fact")}


def test_a_rule_tells_what_it_read_and_an_empty_one_tells_nothing(engine: Engine) -> None:
    rules = (
        TagRule(value="high", when="net_amount_90d >= quantile(net_amount_90d, 0.8)"),
        TagRule(value="other", when="true"),
    )
    people = [{"profile_id": "a", "net_amount_90d": "12.50"}, {"profile_id": "b"}]
    found = tag_rows(engine, {"tier": TagSettings(rules=rules)}, {}, people)
    told = {person: (row["value"], json.loads(row["evidence"])) for (person, _), row in found.items()}
    assert told["a"] == (
        "high",
        {"when": rules[0].when, "columns": {"net_amount_90d": 12.5, "quantile(net_amount_90d:0.8)": 10.0}},
    )
    assert told["b"] == ("other", {"when": "true", "columns": {}})


def test_a_prediction_tells_model_week_class_and_numbers(engine: Engine) -> None:
    model = OutcomeModelSettings(task="outcome")
    found = tag_rows(
        engine,
        {"risk": TagSettings(predicted="churn")},
        {"churn": model},
        [{"profile_id": "a"}],
        [("a", "churn", "churn", 0.12345675)],
    )
    assert json.loads(found["a", "risk"]["evidence"]) == {
        "model": "churn",
        "week": "2026-03-23",
        "class": "no_churn",
        "probability": 0.123457,
        "score": 0.0,
        "percentile": 0.5,
    }
