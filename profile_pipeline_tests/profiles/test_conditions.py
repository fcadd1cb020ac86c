import pytest
from hypothesis import given
from hypothesis import strategies as st

from profile_pipeline.applications.audiences import audiences_sql, check_audiences
from profile_pipeline.profiles.conditions import ConditionError, parse_condition
from profile_pipeline.profiles.tags import check_tags, tags_sql
from profile_pipeline.settings import AudienceSettings, TagRule, TagSettings

COLUMNS = ["n_events_30d", "recency_days", "net_amount_90d"]


def test_columns_are_quoted_and_quantiles_become_columns() -> None:
    found = parse_condition("net_amount_90d >= quantile(net_amount_90d, 0.8) and recency_days < 3", COLUMNS)
    assert found.sql == '"net_amount_90d" >= "quantile:net_amount_90d:0.8" AND "recency_days" < 3'
    assert (found.columns, found.quantiles) == (("net_amount_90d", "recency_days"), ("net_amount_90d:0.8",))


def test_a_misspelt_column_lists_the_nearest_names() -> None:
    with pytest.raises(ConditionError, match="did you mean recency_days"):
        parse_condition("recncy_days > 3", COLUMNS)


@pytest.mark.parametrize(
    "text",
    [
        "1 = (select 1)",
        "recency_days = 1; drop table x",
        "read_csv('x') = 1",
        "getenv('HOME') = 'x'",
        "x.recency_days = 1",
        "count(*) > 1",
        "quantile(recency_days, 0.123) > 1",
        "recency_days >",
    ],
)
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(ConditionError):
        parse_condition(text, COLUMNS)


@given(st.text(min_size=1, max_size=40))
def test_no_text_gets_through_but_as_a_condition(text: str) -> None:
    try:
        found = parse_condition(text, COLUMNS)
    except ConditionError:
        return
    assert ";" not in found.sql.replace("';'", "") or "'" in found.sql
    assert "select" not in found.sql.lower() or "'" in found.sql


def test_five_lines_of_yaml_make_a_tag_and_its_values_are_quoted() -> None:
    tags = {"mood": TagSettings(rules=(TagRule(value="it's; drop table x", when="recency_days > 3"),))}
    assert check_tags(tags, {}) == []
    assert "'it''s; drop table x'" in tags_sql(tags, {})


def test_tags_name_their_faults() -> None:
    tags = {
        "a": TagSettings(fact="gendr"),
        "b": TagSettings(predicted="chrn"),
        "c": TagSettings(rules=(TagRule(value="x", when="recncy_days > 1"),)),
    }
    told = check_tags(tags, {"churn": object()})
    assert [
        "did you mean gender" in told[0],
        "did you mean churn" in told[1],
        "did you mean recency_days" in told[2],
    ] == [True, True, True]


def test_audiences_read_tags_and_nothing_else() -> None:
    good = {"x": AudienceSettings(where="mood = 'good' and tier in ('high')")}
    assert check_audiences(good, ["mood", "tier"]) == []
    assert "t.tag = 'mood'" in audiences_sql(good, ["mood", "tier"])
    assert "did you mean mood" in check_audiences({"x": AudienceSettings(where="mod = 'good'")}, ["mood"])[0]
