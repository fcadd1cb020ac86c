"""What `profile-pipeline run` does with what it finds: files mended and delivered again, work that a killed run left."""

import contextlib
import datetime as dt
import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest
from typer.testing import CliRunner

from profile_pipeline.cli import app
from profile_pipeline.orchestration.building.days import RANGE_END_TAG, RANGE_START_TAG, REFRESH_TAG, DaysError
from profile_pipeline.orchestration.building.load_report import NothingCountsError
from profile_pipeline.orchestration.running import Runner
from profile_pipeline.orchestration.steps import QUIET, RunFailedError
from profile_pipeline.paths import Paths
from profile_pipeline.settings_file import load_settings
from profile_pipeline.warehouse import duckdb as warehouse_module
from profile_pipeline.warehouse.lease import lease
from profile_pipeline.warehouse.opening import WarehouseError
from profile_pipeline.warehouse.reading import Serving
from profile_pipeline_tests.conftest import LAST_DAY, World

CONFIG = """
calendar: {start: 2026-02-23, end: 2026-03-03}
stable_seconds: 0
sources:
  shop:
    table: events
    path: shop/*.csv
    format: csv
    columns: {event_time: ts, event_type: action, user_id: uid, item_id: item, price: price}
  crm:
    table: users
    path: crm/*.csv
    format: csv
    columns: {user_id: uid, city: city, updated_at: changed}
"""
FIRST, LAST = dt.date(2026, 2, 23), dt.date(2026, 3, 3)
KILLED_BEFORE_SNAPSHOTS = ["cleaned.events", "cleaned.excluded_events", "cleaned.sessions", "cleaned.session_days"]


def deliver(data: Path) -> None:
    folder = data / "landing" / "shop"
    folder.mkdir(parents=True)
    for n in range((LAST - FIRST).days + 1):
        day = FIRST + dt.timedelta(days=n)
        lines = [
            f"{day}T{8 + u:02d}:00:00Z,{('page_view', 'purchase')[(u + n) % 2]},u{u},i{(u * n) % 5},9.50"
            for u in range(8)
        ]
        (folder / f"{day}.csv").write_text("\n".join(["ts,action,uid,item,price", *lines, ""]), encoding="utf-8")


def runner(data: Path, config: str = CONFIG) -> Runner:
    data.mkdir(exist_ok=True)
    path = data / "profile.yaml"
    path.write_text(config, encoding="utf-8")
    return Runner(load_settings(path), Paths(config=path, data=data), lambda _: None)


def rows(data: Path, query: str) -> list[tuple]:
    with duckdb.connect(str(data / "profile.duckdb"), read_only=True) as connection:
        return connection.execute(query).fetchall()


def test_a_refused_file_is_loaded_when_it_comes_again_after_the_mapping_was_mended(tmp_path: Path) -> None:
    deliver(tmp_path)
    shutil.copytree(tmp_path / "landing", tmp_path / "again")
    wrong = runner(tmp_path, CONFIG.replace("event_time: ts", "event_time: tss"))
    with pytest.raises(NothingCountsError, match=r"no record was loaded(.|\n)*did you mean ts"):
        wrong.ingest()
    wrong.instance.dispose()
    assert rows(tmp_path, "select distinct status from raw.files") == [("rejected",)]
    shutil.copytree(tmp_path / "again", tmp_path / "landing", dirs_exist_ok=True)
    mended = runner(tmp_path)
    mended.ingest()
    mended.instance.dispose()
    assert rows(tmp_path, "select status, reason, count(*), sum(n_loaded) from raw.files group by all") == [
        ("loaded", None, 9, 72)
    ]


def test_a_mended_file_that_is_read_losslessly_the_second_time_leaves_nothing_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Written as it is read, and given up on in the middle: a quote is opened after the first block.
    monkeypatch.setattr("profile_pipeline.orchestration.building.ingesting.HELD_RECORDS", 10)
    monkeypatch.setattr("profile_pipeline.raw.readers.csv_pieces.PIECE_BYTES", 2_000)
    lines = [f"2026-02-23T08:{n % 60:02d}:00Z,page_view,u{n},i1,9.50" for n in range(300)]
    text = "\n".join(["ts,action,uid,item,price", *lines, '2026-02-23T09:00:00Z,page_view,u1,"i1,9.50', ""])
    for config in (CONFIG.replace("format: csv", "format: csv\n    time_format: '%Y'", 1), CONFIG):
        path = tmp_path / "landing" / "shop" / "2026-02-23.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        r = runner(tmp_path, config)
        with contextlib.suppress(NothingCountsError):
            r.ingest()
        r.instance.dispose()
    assert rows(tmp_path, "select n_records, n_loaded, n_rejected from raw.files") == [(301, 300, 1)]
    assert rows(tmp_path, "select reason_code from raw.rejected_records") == [("open_quote",)]
    assert rows(tmp_path, "select count(*) from raw.events") == [(300,)]


def test_a_run_that_loads_some_files_and_refuses_others_builds_and_then_complains(tmp_path: Path) -> None:
    deliver(tmp_path)
    (tmp_path / "landing" / "shop" / "2026-02-23_b.csv").write_text("what,else\n1,2\n", encoding="utf-8")
    r = runner(tmp_path)
    r.ingest()
    with pytest.raises(RunFailedError, match=r"1 file was refused as a whole(.|\n)*put the file into"):
        r.complain()
    r.instance.dispose()


def test_what_a_run_that_was_killed_before_its_snapshots_left_is_built_by_the_next(tmp_path: Path) -> None:
    at_once, killed = tmp_path / "at_once", tmp_path / "killed"
    deliver(at_once)
    shutil.copytree(at_once / "landing", killed / "landing")
    for data in (at_once, killed):
        r = runner(data)
        r.ingest()
        if data == killed:
            tags = {REFRESH_TAG: "true"}
            r.execute("daily", first=FIRST, last=LAST, assets=KILLED_BEFORE_SNAPSHOTS, tags=tags)
        r.build_all()
        r.instance.dispose()
    for table in ("features.user_features", "profiles.user_profiles", "applications.daily_metrics"):
        expected = rows(at_once, f"select * from {table} order by all")
        assert expected, table
        assert rows(killed, f"select * from {table} order by all") == expected, table
    assert rows(killed, "select count(distinct as_of_date) from features.user_features") == [(9,)]
    assert rows(killed, "select count(*) from cleaned.touched") == [(0,)]


def test_daily_metrics_that_a_killed_run_did_not_reach_are_built_by_the_next(tmp_path: Path) -> None:
    deliver(tmp_path)
    r = runner(tmp_path)
    r.ingest()
    r.build_features(FIRST, LAST)
    r.build_all()
    r.instance.dispose()
    assert rows(tmp_path, "select count(distinct event_date) from applications.daily_metrics") == [(9,)]


def test_a_newer_record_of_a_person_is_seen_although_no_event_came_with_it(tmp_path: Path) -> None:
    deliver(tmp_path)
    r = runner(tmp_path)
    r.ingest()
    r.build_all()
    crm = tmp_path / "landing" / "crm"
    crm.mkdir()
    (crm / "people.csv").write_text("uid,city,changed\nu1,Suzhou,2026-03-01T00:00:00Z\n", encoding="utf-8")
    r.ingest()
    r.build_all()
    r.instance.dispose()
    # The day before the newest two is one of a week's end: it has a profile, and its features were restated.
    assert rows(
        tmp_path, "select city, as_of_date from profiles.user_profiles where city is not null order by all"
    ) == [
        ("Suzhou", dt.date(2026, 3, 1)),
        ("Suzhou", LAST),
    ]


def test_files_of_a_folder_of_others_that_were_seen_are_nothing_to_do(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    deliver(theirs)
    data = tmp_path / "data"
    config = CONFIG.replace("path: shop/*.csv", f"path: {theirs}/landing/shop/*.csv")
    r = runner(data, config)

    def n_runs() -> int:
        r.ingest()
        r.build_all()
        return r.instance.get_runs_count()

    first = n_runs()
    assert n_runs() == first
    one = theirs / "landing" / "shop" / f"{LAST}.csv"
    one.write_text(one.read_text(encoding="utf-8") + f"{LAST}T23:00:00Z,page_view,u1,i9,1.00\n", encoding="utf-8")
    assert n_runs() > first
    r.instance.dispose()
    assert rows(data, "select count(*) from cleaned.events where item_id = 'i9'") == [(1,)]
    assert rows(data, "select status, count(*) from raw.files group by all") == [("loaded", 10)]


@pytest.mark.parametrize(
    ("tags", "told"),
    [
        ({RANGE_START_TAG: "2026-03-02", RANGE_END_TAG: "2026-04-20"}, "found the range 2026-03-02 to 2026-04-20, expected days from 2026-02-23"),
        ({}, "found a run without a partition, expected a day"),
    ],
)  # fmt: skip
def test_a_run_over_no_day_of_the_calendar_says_so_in_our_words(
    tmp_path: Path, tags: dict[str, str], told: str
) -> None:
    r = runner(tmp_path)
    job = r.defs.resolve_job_def("daily")
    done = job.execute_in_process(instance=r.instance, tags=tags, run_config=QUIET, raise_on_error=False)
    r.instance.dispose()
    assert any(
        told in (e.step_failure_data.error.cause.message if e.step_failure_data.error.cause else "")
        for e in done.all_events
        if e.is_step_failure
    )


def test_a_calendar_that_has_not_begun_is_one_message(tmp_path: Path) -> None:
    r = runner(tmp_path, CONFIG.replace("{start: 2026-02-23, end: 2026-03-03}", "{start: 2126-02-23}"))
    with pytest.raises(
        DaysError, match=r"profile.yaml: calendar.start: found 2126-02-23, expected a day that has come"
    ):
        r.build_all()


def test_a_published_copy_that_was_damaged_and_removed_is_published_again(tmp_path: Path) -> None:
    deliver(tmp_path)
    r = runner(tmp_path)
    r.ingest()
    r.build_all()
    r.paths.serving.write_text("no database", encoding="utf-8")
    with pytest.raises(WarehouseError, match="Remove it"):
        Serving(r.paths.serving)
    r.paths.serving.unlink()
    r.build_all()
    r.instance.dispose()
    with Serving(r.paths.serving) as serving:
        assert serving.dicts("select count(*) as n from profiles.user_profiles")[0]["n"] > 0


def test_files_that_stay_where_they_are_are_ingested_once(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    deliver(outside)
    data = tmp_path / "data"
    r = runner(data, CONFIG.replace("shop/*.csv", f"{outside}/landing/shop/*.csv"))
    sensor = r.defs.get_repository_def().get_sensor_def("landing_sensor")
    (request,) = sensor.evaluate_tick(dg.build_sensor_context(instance=r.instance)).run_requests
    job = r.defs.resolve_job_def("ingest")
    assert job.execute_in_process(instance=r.instance, tags=request.tags, run_config=QUIET).success
    again = sensor.evaluate_tick(dg.build_sensor_context(instance=r.instance))
    assert not again.run_requests
    assert "seen by the last ingest" in str(again.skip_message)
    new = outside / "landing" / "shop" / "new.csv"
    new.write_text("ts,action,uid,item,price\n2026-03-03T23:00:00Z,page_view,u1,i1,2\n", encoding="utf-8")
    assert len(sensor.evaluate_tick(dg.build_sensor_context(instance=r.instance)).run_requests) == 1
    r.instance.dispose()


def test_a_history_that_has_ended_trains_nothing_and_builds_profiles_all_the_same(tmp_path: Path) -> None:
    model = "models:\n  churn: {task: outcome, is_absence: true}\n"
    deliver(tmp_path)
    r = runner(tmp_path, CONFIG.replace("end: 2026-03-03", "end: 2026-06-08") + model)
    r.ingest()
    r.build_all()
    r.instance.dispose()
    told = rows(tmp_path, "select reason from evaluation.gates where week = (select max(week) from evaluation.gates)")
    assert told[0][0].startswith("not_trained: needs people who were active in the 28 days before 2026-05-")
    assert rows(tmp_path, "select count(*) from profiles.user_profiles where as_of_date = date '2026-06-08'") == [(8,)]


def test_where_nobody_has_come_for_the_activity_days_nobody_has_a_profile_and_runs_go_on(tmp_path: Path) -> None:
    deliver(tmp_path)
    r = runner(tmp_path, CONFIG.replace("end: 2026-03-03", "end: 2026-03-12") + "activity_days: 5\n")
    r.ingest()
    r.build_all(every_day=True)
    assert rows(tmp_path, "select max(as_of_date) from features.behavior") == [(dt.date(2026, 3, 7),)]
    r.build_range(dt.date(2026, 3, 8), dt.date(2026, 3, 12))
    r.build_all()
    r.instance.dispose()
    assert rows(tmp_path, "select count(*) from profiles.user_profiles where as_of_date > date '2026-03-07'") == [(0,)]


def test_a_calendar_without_a_whole_week_builds_profiles_and_says_that_nothing_can_be_trained(tmp_path: Path) -> None:
    models = "models:\n  churn: {task: outcome, is_absence: true}\n"
    tags = "tags:\n  spender: {rules: [{value: high, when: 'purchase_amount_all >= quantile(purchase_amount_all, 0.8)'}]}\n"
    deliver(tmp_path)
    runner(tmp_path, CONFIG.replace("start: 2026-02-23", "start: 2026-02-24") + models + tags)
    of = ["--config", str(tmp_path / "profile.yaml"), "--data", str(tmp_path)]
    built = CliRunner().invoke(app, ["run", *of])
    assert built.exit_code == 0, built.output
    assert rows(tmp_path, "select count(*) from profiles.user_profiles where as_of_date = date '2026-03-03'") == [(8,)]
    for command in (["run", "--retrain"], ["training-set", "churn", "--out", str(tmp_path / "set.parquet")]):
        told = CliRunner().invoke(app, [*command, *of])
        assert told.exit_code == 1
        assert "found 2026-02-24 to 2026-03-03, expected a week, Monday to Sunday, that has ended" in str(
            told.exception
        )


def test_models_that_a_killed_run_left_unjudged_are_judged_and_serve(world: World, tmp_path: Path) -> None:
    copied = world.copied(tmp_path / "copied")
    fewer = copied.settings.training.model_copy(update={"algorithms": ("logistic_regression",), "backfill_weeks": 2})
    changed = copied.settings.model_copy(update={"seed": 7, "training": fewer})
    r = Runner(changed, copied.paths, lambda _: None)
    week, newest = r.weeks[-1], r.days[-1]
    versions = (
        "select m.model, g.version = m.version from (select * from models.gender union all select * from models.segments) as m"
        f" join evaluation.gates as g on g.model = m.model and g.week = m.week where m.is_chosen and m.week = '{week}' order by 1"
    )
    r.execute(
        "weekly",
        first=week,
        last=week,
        assets=["models.gender", "models.segments", "models.predictions", "models.segment_traits"],
    )
    assert copied.rows(versions) == [("gender", False), ("segments", False)]
    r.build_all()
    assert copied.rows(versions) == [("gender", True), ("segments", True)]
    served = f"select distinct model from profiles.scores where as_of_date = '{newest}' and week = '{week}' order by 1"
    assert ("segments",) in copied.rows(served)
    n_runs = r.instance.get_runs_count()
    r.build_all()
    assert r.instance.get_runs_count() == n_runs
    r.instance.dispose()


def test_readers_see_the_newest_day_of_which_everything_was_built(world: World, tmp_path: Path) -> None:
    copied = world.copied(tmp_path / "copied")
    r = Runner(copied.settings, copied.paths, lambda _: None)
    with duckdb.connect(str(copied.paths.warehouse)) as connection:
        connection.execute(
            "insert into profiles.user_profiles select * replace (as_of_date + 1 as as_of_date) from profiles.user_profiles"
            " where as_of_date = (select max(as_of_date) from profiles.user_profiles)"
        )
    copied.paths.serving_is_behind.touch()
    r.publish()
    with Serving(copied.paths.serving) as serving:
        days = {
            table: serving.dicts(f"select max(as_of_date) as day, count(*) as n from {table}")[0]
            for table in ("profiles.user_profiles", "profiles.tags", "applications.audiences")
        }
    r.instance.dispose()
    assert {told["day"] for told in days.values()} == {r.days[-1]}
    assert all(told["n"] > 0 for told in days.values())


# One that waited for the lease would do so for an hour.
@pytest.mark.timeout(60, func_only=True)
def test_a_command_that_is_interrupted_leaves_the_published_copy_and_waits_for_nobody(
    world: World, tmp_path: Path
) -> None:
    copied = world.copied(tmp_path / "copied")
    r = Runner(copied.settings.model_copy(update={"lease_timeout_seconds": 3600}), copied.paths, lambda _: None)
    before = copied.paths.serving.read_bytes()
    copied.paths.serving_is_behind.touch()
    file = copied.paths.warehouse.with_suffix(".duckdb.lease")
    with (
        lease(file, owner="another", timeout_seconds=0, say=print),
        pytest.raises(KeyboardInterrupt),
        r.publishing_once(),
    ):
        raise KeyboardInterrupt
    assert copied.paths.serving.read_bytes() == before
    assert copied.paths.serving_is_behind.exists()


def test_who_waits_for_the_warehouse_within_a_run_is_told_for_whom(world: World, tmp_path: Path) -> None:
    copied = world.copied(tmp_path / "copied")
    told: list[str] = []
    r = Runner(copied.settings.model_copy(update={"lease_timeout_seconds": 0.3}), copied.paths, told.append)
    file = copied.paths.warehouse.with_suffix(".duckdb.lease")
    with (
        lease(file, owner="another", timeout_seconds=0, say=print),
        pytest.raises(RunFailedError, match="still in use"),
    ):
        r.execute("daily", first=LAST_DAY, last=LAST_DAY, assets=["applications.daily_metrics"])
    r.instance.dispose()
    assert any("waiting for the warehouse, in use by another" in text for text in told)


def test_where_nothing_waits_a_run_opens_the_warehouse_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deliver(tmp_path)
    first = runner(tmp_path)
    with first.publishing_once():
        first.ingest()
        first.build_all()
    first.instance.dispose()
    opened = []
    own = warehouse_module.open_database

    def told(path: Path, *arguments: Any, **named: Any) -> duckdb.DuckDBPyConnection:
        opened.append(path.name)
        return own(path, *arguments, **named)

    monkeypatch.setattr(warehouse_module, "open_database", told)
    second = runner(tmp_path)
    with second.publishing_once():
        second.ingest()
        second.build_all()
    second.instance.dispose()
    assert opened == ["profile.duckdb"]
    with lease(tmp_path / "profile.duckdb.lease", owner="the next", timeout_seconds=0, say=lambda _: None):
        pass
