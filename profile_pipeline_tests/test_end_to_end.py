import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.score_world import IRRELEVANT_TAG, score
from profile_pipeline_tests.conftest import ROOT, World

CHECK = ROOT.parent / "shared" / "conformance" / "check.py"
BUILT = [
    "raw.files", "raw.events", "raw.users", "raw.items", "raw.relations", "raw.contacts", "raw.rejected_records", "cleaned.events", "cleaned.excluded_events",
    "cleaned.sessions", "cleaned.identities", "features.user_days", "features.behavior", "features.interests", "features.demand", "models.population",
    "models.segments", "evaluation.metrics", "evaluation.gates", "profiles.scores", "profiles.tags", "profiles.user_profiles", "applications.recommendations",
    "applications.audiences", "applications.insights", "applications.daily_metrics",
]  # fmt: skip


def command(world: World, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "profile_pipeline.cli", *arguments], capture_output=True, text=True, cwd=ROOT,
        env=os.environ | {"PROFILE_PIPELINE_DATA": str(world.paths.data), "PROFILE_PIPELINE_CONFIG": str(world.paths.config), "COLUMNS": "120"} | environment,
    )  # fmt: skip


@pytest.mark.parametrize("table", BUILT)
def test_every_stage_has_content(world: World, table: str) -> None:
    assert world.rows(f"select count(*) from {table}")[0][0] > 0


@pytest.mark.skipif(not CHECK.exists(), reason="the conformance check lies beside the project and is not here")
def test_the_database_keeps_the_contract(world: World) -> None:
    done = subprocess.run(
        [sys.executable, str(CHECK), str(world.paths.warehouse), "--serving", str(world.paths.serving), "--config", str(world.paths.config), "--json"],
        capture_output=True, text=True,
    )  # fmt: skip
    failed = [c for c in json.loads(done.stdout)["checks"] if c["status"] == "FAILS"]
    assert failed == []


def test_every_record_is_in_exactly_one_place(world: World) -> None:
    loaded, placed = world.rows(
        "select (select count(*) from raw.events), (select count(*) from cleaned.events) + (select count(*) from cleaned.excluded_events)"
        " + (select coalesce(sum(n_events), 0) from raw.pending)"
    )[0]
    assert loaded == placed


def test_broken_records_are_kept_with_their_reason_and_text(world: World) -> None:
    rows = world.rows("select reason_code, count(*), min(length(record)) from raw.rejected_records group by 1")
    assert {"missing_event_id", "bad_time", "field_count", "bad_json", "bad_number"} <= {
        reason for reason, _, _ in rows
    }
    assert min(length for _, _, length in rows) > 0


def test_day_one_says_no_model_yet(world: World) -> None:
    assert world.rows("select distinct reason from evaluation.gates where model = 'churn' and not is_passed")[0][
        0
    ].startswith("not_trained: needs")


def test_no_noise_column_is_kept_by_any_model(world: World) -> None:
    assert (
        world.rows(
            "select distinct feature from models.selected_features where is_kept and feature like 'attribute_noise%'"
        )
        == []
    )


def test_item_knn_beats_popularity_outside_the_interval(world: World) -> None:
    rows = world.rows(
        "select ci_low, baseline_value from evaluation.metrics where model = 'recommendations' and metric = 'recall@10' and algorithm = 'item_knn'"
    )
    assert rows
    assert all(low > baseline for low, baseline in rows)


def test_what_was_found_of_who_is_who_agrees_with_the_truth(world: World) -> None:
    told = {promise.name: promise for promise in score(world.paths, world.settings)}
    kept = [name for name in told if name.startswith(("identity", "item-kNN", IRRELEVANT_TAG))]
    assert len(kept) == 4
    assert [told[name] for name in kept if not told[name].is_kept] == []


def test_a_run_that_was_killed_before_it_published_is_published_by_the_next(world: World) -> None:
    world.paths.serving_is_behind.touch()
    world.paths.serving.unlink()
    assert command(world, "run").returncode == 0
    assert not world.paths.serving_is_behind.exists()
    assert command(world, "audience", "loyal_shoppers", "--count").returncode == 0


def test_a_second_run_finds_nothing_to_do(world: World) -> None:
    before = world.paths.warehouse.stat().st_mtime_ns
    done = command(world, "run")
    assert done.returncode == 0, done.stderr
    assert "nothing waits" in done.stdout
    assert world.paths.warehouse.stat().st_mtime_ns == before


def test_show_prints_a_card_with_tags_and_reasons(world: World) -> None:
    user = world.rows(
        "select user_ids[1] from profiles.user_profiles where as_of_date = (select max(as_of_date) from profiles.user_profiles) and len(user_ids) = 1 and segment is not null limit 1"
    )[0][0]
    done = command(world, "show", user)
    assert done.returncode == 0, done.stderr
    assert user in done.stdout
    assert "because of" in done.stdout or "popular in" in done.stdout
    assert "segment" in done.stdout


def test_show_names_who_is_near(world: World) -> None:
    done = command(world, "show", "nobody at all")
    assert done.returncode == 1
    assert "found nobody called 'nobody at all'" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_audience_is_counted_and_exported(world: World) -> None:
    counted = command(world, "audience", "loyal_shoppers", "--count")
    exported = command(world, "audience", "loyal_shoppers", "--export", "csv")
    n = world.rows(
        "select count(*) from applications.audiences where audience = 'loyal_shoppers' and as_of_date = (select max(as_of_date) from profiles.user_profiles)"
    )[0][0]
    assert counted.stdout.startswith(f"{n:,} people in loyal_shoppers")
    assert len(exported.stdout.strip().splitlines()) == n + 1


def test_sql_reads_and_can_not_write(world: World) -> None:
    assert '"n": ' in command(world, "sql", "select count(*) as n from raw.files", "--json").stdout
    done = command(world, "sql", "delete from raw.files")
    assert done.returncode == 1
    assert "nothing can be written" in done.stderr


def test_a_range_past_the_calendar_is_refused_before_the_first_byte(world: World) -> None:
    done = command(world, "run", "--from", "2026-03-01", "--to", "2027-03-01")
    assert done.returncode == 1
    assert "expected days from 2026-01-26 to 2026-03-30" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_empty_landing_folder_is_one_message(tmp_path: Path, world: World) -> None:
    done = command(world, "run", PROFILE_PIPELINE_DATA=str(tmp_path / "empty"))
    assert done.returncode == 1
    assert "no file in" in done.stderr


def test_a_wrong_configuration_is_one_message(tmp_path: Path, world: World) -> None:
    wrong = tmp_path / "profile.yaml"
    wrong.write_text(
        world.paths.config.read_text(encoding="utf-8").replace("n_active_days_30d >= 10", "n_actve_days_30d >= 10"),
        encoding="utf-8",
    )
    done = command(world, "run", PROFILE_PIPELINE_CONFIG=str(wrong))
    assert done.returncode == 1
    assert "tags.activity.rules.0.when" in done.stderr
    assert "did you mean n_active_days_30d" in done.stderr


def test_the_doctor_finds_the_world_in_order(world: World) -> None:
    done = command(world, "doctor")
    assert done.returncode == 0, done.stdout


def test_the_report_of_a_week_is_one_page_without_network(world: World) -> None:
    page = (world.paths.reports / "2026-03-23" / "index.html").read_text(encoding="utf-8")
    assert "Models of the week 2026-03-23" in page
    assert "<svg" in page
    assert "http://" not in page.replace("http://www.w3.org", "").replace("http://purl.org", "").replace(
        "http://creativecommons.org", ""
    )
    assert "src=" not in page
