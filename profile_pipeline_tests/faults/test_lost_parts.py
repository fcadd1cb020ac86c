"""Parts of the data folder are lost, the database or Dagster's log: what is built afterwards is what would have been built."""

import shutil
from pathlib import Path

import pytest

from profile_pipeline_tests.orchestration.small_project import (
    CONFIG,
    assert_equal,
    build,
    contents,
    day,
    deliver,
    land,
    runner,
)

pytestmark = pytest.mark.faults
N_DAYS = 14
SHORT = CONFIG.replace("end: 2026-03-01", f"end: {day(N_DAYS - 1)}")
PLAIN = (
    SHORT[: SHORT.index("models:")]
    + """
models: {}
tags: {active: {rules: [{value: often, when: n_active_days_30d >= 4}, {value: seldom, when: n_active_days_30d >= 0}]}}
"""
)
OF_OTHERS = PLAIN.replace("n_active_days_30d >= 4", '"n_events_30d >= quantile(n_events_30d, 0.8)"')


def test_without_models_what_other_people_are_like_is_learnt_again_when_the_database_is_lost(tmp_path: Path) -> None:
    data = tmp_path / "data"
    deliver(data, range(N_DAYS))
    build(data, OF_OTHERS)
    before = contents(data / "profile.duckdb")
    assert before["models.population"]
    (data / "profile.duckdb").unlink()
    build(data, OF_OTHERS)
    assert_equal(contents(data / "profile.duckdb"), before)


def test_profiles_follow_late_events_when_dagster_has_lost_its_log(tmp_path: Path) -> None:
    data = tmp_path / "data"
    deliver(data, range(N_DAYS))
    build(data, PLAIN)
    r = runner(data, PLAIN)
    r.build_range(day(10), day(12))
    r.instance.dispose()
    kept = shutil.copytree(data, tmp_path / "kept")
    shutil.rmtree(data / "dagster_home")
    runner(data, PLAIN).instance.dispose()
    for folder in (data, kept):
        land(folder, "shop/late.csv", f"ts,action,uid,cookie,item,price\n{day(9)}T05:00:00Z,page_view,u1,c1,i1,\n")
        build(folder, PLAIN)
        r = runner(folder, PLAIN)
        r.rebuild_stale()
        r.build_all()
        r.instance.dispose()
    tables = ("features.user_features", "profiles.user_profiles", "profiles.tags")
    found, expected = (contents(folder / "profile.duckdb") for folder in (data, kept))
    assert_equal({name: found[name] for name in tables}, {name: expected[name] for name in tables})
