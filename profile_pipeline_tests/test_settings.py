from pathlib import Path

import pytest

from profile_pipeline.errors import ConfigurationError
from profile_pipeline.features.matrix import user_features_table
from profile_pipeline.orchestration.configuration import load_checked
from profile_pipeline.paths import Paths
from profile_pipeline.settings_file import load_settings

GOOD = """
calendar: {start: 2026-01-05, end: 2026-01-11, timezone: Asia/Shanghai}
sources:
  shop:
    table: events
    path: shop/*.csv
    format: csv
    columns: {event_time: ts, event_type: action, user_id: uid}
"""


def message_of(tmp_path: Path, text: str) -> str:
    path = tmp_path / "profile.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        load_settings(path)
    return str(caught.value)


def test_a_good_file_loads(tmp_path: Path) -> None:
    path = tmp_path / "profile.yaml"
    path.write_text(GOOD, encoding="utf-8")
    assert load_settings(path).calendar.timezone == "Asia/Shanghai"


def test_an_unknown_setting_names_its_line_and_the_nearest_name(tmp_path: Path) -> None:
    told = message_of(tmp_path, GOOD + "curency: CNY\n")
    assert "profile.yaml:9: curency: unknown setting; did you mean currency" in told


def test_a_wrong_type_says_found_and_expected(tmp_path: Path) -> None:
    told = message_of(tmp_path, GOOD + "restate_days: many\n")
    assert "profile.yaml:9: restate_days: found 'many', expected: input should be a valid integer" in told


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    told = message_of(
        tmp_path, GOOD.replace("Asia/Shanghai", "Asia/Shangai").replace("user_id: uid", "usr_id: uid") + "seed: x\n"
    )
    assert len(told.splitlines()) == 3
    assert "did you mean Asia/Shanghai" in told
    assert "did you mean user_id" in told


def test_a_file_that_is_no_yaml_names_the_line(tmp_path: Path) -> None:
    assert "profile.yaml:2: not YAML" in message_of(tmp_path, "calendar: {start: 2026-01-05\nsources: [}\n")


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such file"):
        load_settings(tmp_path / "nothing.yaml")


@pytest.mark.parametrize("written", ["iso", "s", "ms", "us", "%d/%m/%Y %H:%M"])
def test_a_time_format_that_can_be_read_is_taken(tmp_path: Path, written: str) -> None:
    path = tmp_path / "profile.yaml"
    path.write_text(GOOD.replace("format: csv", f"format: csv\n    time_format: '{written}'"), encoding="utf-8")
    assert load_settings(path).sources["shop"].time_format == written


@pytest.mark.parametrize("written", ["epoch_s", "ISO 8601", "%Q"])
def test_a_time_format_that_would_reject_every_record_is_refused(tmp_path: Path, written: str) -> None:
    told = message_of(tmp_path, GOOD.replace("format: csv", f"format: csv\n    time_format: '{written}'"))
    assert f"found '{written}', expected iso, s, ms, us or ns (since 1970)" in told


def test_what_one_section_says_of_another_names_its_line_too(tmp_path: Path) -> None:
    path = tmp_path / "profile.yaml"
    path.write_text(
        GOOD + 'tags:\n  heavy:\n    rules:\n      - {value: "yes", when: "n_evnts_7d > 9"}\n', encoding="utf-8"
    )
    with pytest.raises(
        ConfigurationError, match=r"profile.yaml:12: tags.heavy.rules.0.when: .* did you mean n_events_7d"
    ):
        load_checked(Paths(config=path, data=tmp_path))


MODELLED = (
    GOOD
    + """
models: {gender: {task: attribute, label: gender}, churn: {task: outcome}, groups: {task: segments}}
tags: {sex: {fact: gender}, active: {rules: [{value: "yes", when: "n_events_7d > 3"}]}}
audiences: {women: {where: "sex = 'female'"}}
"""
)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("{task: outcome}", "{task: outcome, happens: [other]}", "happens: found 'other', expected any, or some of view"),
        ("{task: outcome}", "{task: outcome, happens: []}", "happens: found no role"),
        ("label: gender}", "label: birth_year, bands: [45, 30]}", "found [45, 30], expected the lower ends of bands"),
        ("label: gender}", "label: birth_year, bands: []}", "expected the lower ends of bands"),
        ("{task: segments}", "{task: segments, features: [noise_01, n_views_30d]}", "models.groups.features: found 'noise_01', expected a feature"),
        ("{task: segments}", "{task: segments, features: ['crm:city=Wuhan']}", "found 'crm:city=Wuhan', expected a feature"),
        ("n_events_7d > 3", "city > 5", "tags.active.rules.0.when: found 'city > 5': "),
        ("n_events_7d > 3", "city", "tags.active.rules.0.when: found 'city': it is a varchar, not true or false"),
        ("n_events_7d > 3", "last_event_date >= 'banana'", "tags.active.rules.0.when: found"),
        ("n_events_7d > 3", "n_events_7d > quantile(city, 0.8)", "expected the quantile of a number; city is none"),
        ("sex = 'female'", "sex > 5", "audiences.women.where: found 'sex > 5': "),
        ("sex: {fact: gender}", "sex: {fact: gender}, user_ids: {fact: city}", "tags.user_ids: found a tag of this name, expected another"),
        ("sex: {fact: gender}", "sex: {predicted: gender, values: {high: .nan}}", "tags.sex.values.high"),
        ("sex: {fact: gender}", "sex: {fact: gender, values: {high: 0.5}}", "tags.sex.values: found thresholds of a probability"),
        ("sex: {fact: gender}", "sex: {predicted: groups, values: {high: 0.5}}", "tags.sex.values: found thresholds of a probability"),
        ("audiences:", "seed: -1\naudiences:", "seed: found -1, expected"),
        ("audiences:", "memory_limit: banana\naudiences:", "memory_limit: found 'banana', expected"),
        ("audiences:", "features: {role_weights: {}}\naudiences:", "found no weight"),
        ("{task: outcome}", "{task: outcome, horizon_days: 100000000000}", "horizon_days: found 100000000000, expected"),
        ("end: 2026-01-11", "end: 9999-12-31", "expected days from 1800-01-01 to 2199-12-31"),
        ("start: 2026-01-05", "start: 0001-01-01", "expected days from 1800-01-01 to 2199-12-31"),
    ],
)  # fmt: skip
def test_what_would_fail_in_a_step_is_one_message_before(tmp_path: Path, old: str, new: str, told: str) -> None:
    path = tmp_path / "profile.yaml"
    assert MODELLED.count(old) == 1
    path.write_text(MODELLED, encoding="utf-8")
    load_checked(Paths(config=path, data=tmp_path))
    path.write_text(MODELLED.replace(old, new), encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        load_checked(Paths(config=path, data=tmp_path))
    assert told in str(caught.value)
    assert str(caught.value).startswith(f"{path}:")


def test_a_name_that_stands_twice_is_told_with_both_lines(tmp_path: Path) -> None:
    told = message_of(tmp_path, GOOD + "seed: 1\nseed: 2\n")
    assert "profile.yaml:10: 'seed' stands here and in line 9: one of them would be lost" in told


def test_anchors_and_merges_are_no_second_names(tmp_path: Path) -> None:
    path = tmp_path / "profile.yaml"
    more = "tags:\n  a: &a {fact: gender, description: one}\n  b: {<<: *a, description: other}\n"
    path.write_text(GOOD + more, encoding="utf-8")
    assert load_settings(path).tags["b"].fact == "gender"


def test_thousands_of_nested_lists_are_one_message(tmp_path: Path) -> None:
    assert "within each other" in message_of(tmp_path, GOOD + f"seed: {'[' * 5000}{']' * 5000}\n")


@pytest.mark.parametrize("encoding", ["gb18030", "utf-16"])
def test_a_file_in_another_encoding_is_one_message(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "profile.yaml"
    path.write_bytes(("# 用户画像\n" + GOOD).encode(encoding))
    with pytest.raises(ConfigurationError, match=r"profile.yaml:1: found bytes that are not UTF-8"):
        load_settings(path)


def test_attributes_with_chinese_names_are_columns_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "profile.yaml"
    path.write_text(GOOD + "features: {attributes: [年龄, 收入, Card-No]}\n", encoding="utf-8")
    settings = load_checked(Paths(config=path, data=tmp_path))
    columns = user_features_table(settings.features.attributes, has_events=True).column_names
    assert columns[-3:] == ("attribute_年龄", "attribute_收入", "attribute_card_no")
