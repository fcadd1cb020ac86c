from pathlib import Path

import pytest

from profile_pipeline.orchestration.configuration import load_checked
from profile_pipeline.paths import Paths
from profile_pipeline.settings import ConfigurationError
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
    assert f"found '{written}', expected iso, s, ms or us (since 1970)" in told


def test_what_one_section_says_of_another_names_its_line_too(tmp_path: Path) -> None:
    path = tmp_path / "profile.yaml"
    path.write_text(
        GOOD + 'tags:\n  heavy:\n    rules:\n      - {value: "yes", when: "n_evnts_7d > 9"}\n', encoding="utf-8"
    )
    with pytest.raises(
        ConfigurationError, match=r"profile.yaml:12: tags.heavy.rules.0.when: .* did you mean n_events_7d"
    ):
        load_checked(Paths(config=path, data=tmp_path))
