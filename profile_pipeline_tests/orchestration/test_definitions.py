import datetime as dt
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from profile_pipeline.orchestration.build import build_defs
from profile_pipeline.orchestration.building.days import (
    DaysError,
    checked_range,
    day_keys,
    stretches,
    weekly_partitions,
)
from profile_pipeline.orchestration.flow_chart import READMES, draw, shipped_specs, with_chart
from profile_pipeline.orchestration.freshness import AWAITED_DAILY
from profile_pipeline.orchestration.instance import open_instance
from profile_pipeline.orchestration.running import Runner
from profile_pipeline.orchestration.steps import RunFailedError
from profile_pipeline.paths import Paths
from profile_pipeline.settings import CalendarSettings, Settings
from profile_pipeline_tests.conftest import ROOT, small_settings

STAGES = {"raw", "cleaned", "features", "models", "evaluation", "profiles", "applications"}


@pytest.fixture(scope="module")
def defs(tmp_path_factory: pytest.TempPathFactory) -> dg.Definitions:
    data = tmp_path_factory.mktemp("defs")
    return build_defs(settings=small_settings(), paths=Paths(config=ROOT / "profile.yaml", data=data))


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    opened = open_instance(Paths(config=tmp_path / "profile.yaml", data=tmp_path / "instance"))
    yield opened
    opened.dispose()


def test_definitions_load_without_a_deprecation(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        build_defs(settings=small_settings(), paths=Paths(config=ROOT / "profile.yaml", data=tmp_path))


def test_every_asset_has_what_the_catalogue_shows(defs: dg.Definitions) -> None:
    specs = defs.resolve_all_asset_specs()
    assert {spec.group_name for spec in specs} == STAGES
    for spec in specs:
        assert spec.key.path[0] == spec.group_name
        assert spec.description and spec.owners and spec.kinds and spec.code_version, spec.key
        if spec.key.path[-1] not in ("report", "dictionary"):
            assert "dagster/column_schema" in spec.metadata, spec.key
            assert spec.metadata["dictionary"].value == f"/reports/dictionary.html#{'.'.join(spec.key.path)}"


def test_jobs_schedules_and_sensors_are_these(defs: dg.Definitions) -> None:
    repository = defs.get_repository_def()
    assert {job.name for job in repository.get_all_jobs()} - {"__ASSET_JOB"} == {
        "ingest",
        "daily",
        "weekly",
        "daily_refresh",
        "verify",
    }
    assert {s.name for s in repository.schedule_defs} == {"daily_refresh", "weekly_training", "daily_verification"}
    assert {s.name for s in repository.sensor_defs} == {"landing_sensor", "refresh_sensor"}


@pytest.mark.parametrize("name", READMES)
def test_the_chart_of_the_readme_is_that_of_the_definitions(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert with_chart(text, draw(shipped_specs(ROOT), language=READMES[name])) == text, "make chart"


def test_awaited_tables_have_a_deadline_where_the_calendar_is_open(tmp_path: Path) -> None:
    def deadlines(settings: Settings) -> dict[str, str]:
        specs = build_defs(
            settings=settings, paths=Paths(config=ROOT / "profile.yaml", data=tmp_path)
        ).resolve_all_asset_specs()
        return {".".join(s.key.path): s.freshness_policy.deadline_cron for s in specs if s.freshness_policy}  # type: ignore[attr-defined]

    closed = small_settings()
    calendar = closed.calendar.model_copy(update={"end": None})
    assert deadlines(closed) == {}
    assert deadlines(closed.model_copy(update={"calendar": calendar})) == dict.fromkeys(AWAITED_DAILY, "0 6 * * *") | {
        "evaluation.gates": "0 12 * * 1"
    }


def test_the_closed_calendar_skips_with_a_reason(defs: dg.Definitions, instance: dg.DagsterInstance) -> None:
    schedule = defs.get_repository_def().get_schedule_def("daily_refresh")
    tick = schedule.evaluate_tick(
        dg.build_schedule_context(instance=instance, scheduled_execution_time=dt.datetime(2026, 3, 30, tzinfo=dt.UTC))
    )
    assert "the calendar is closed" in str(tick.skip_message)


def test_training_waits_until_the_week_is_refreshed(defs: dg.Definitions, instance: dg.DagsterInstance) -> None:
    schedule = defs.get_repository_def().get_schedule_def("weekly_training")
    context = dg.build_schedule_context(
        instance=instance, scheduled_execution_time=dt.datetime(2026, 3, 30, tzinfo=dt.UTC)
    )
    assert "is not refreshed yet" in str(schedule.evaluate_tick(context).skip_message)
    instance.report_runless_asset_event(dg.AssetMaterialization(["features", "user_features"], partition="2026-03-29"))
    assert schedule.evaluate_tick(context).run_requests[0].tags["dagster/asset_partition_range_start"] == "2026-03-23"
    instance.report_runless_asset_event(dg.AssetMaterialization(["evaluation", "gates"], partition="2026-03-23"))
    assert "is trained" in str(schedule.evaluate_tick(context).skip_message)


def test_the_landing_sensor_sees_a_complete_file_and_no_other(tmp_path: Path) -> None:
    paths = Paths(config=ROOT / "profile.yaml", data=tmp_path)
    sensor = build_defs(settings=small_settings(), paths=paths).get_repository_def().get_sensor_def("landing_sensor")
    with dg.DagsterInstance.ephemeral() as instance:
        assert "no complete new file" in str(
            sensor.evaluate_tick(dg.build_sensor_context(instance=instance)).skip_message
        )
        (tmp_path / "landing" / "web").mkdir(parents=True)
        (tmp_path / "landing" / "web" / ".hidden.csv.gz").write_bytes(b"x")
        (tmp_path / "landing" / "web" / "a.csv.gz.tmp").write_bytes(b"x")
        assert "no complete new file" in str(
            sensor.evaluate_tick(dg.build_sensor_context(instance=instance)).skip_message
        )
        (tmp_path / "landing" / "web" / "a.csv.gz").write_bytes(b"x")
        assert len(sensor.evaluate_tick(dg.build_sensor_context(instance=instance)).run_requests) == 1


def test_the_refresh_sensor_starts_nothing_before_anything_was_ingested(defs: dg.Definitions) -> None:
    sensor = defs.get_repository_def().get_sensor_def("refresh_sensor")
    with dg.DagsterInstance.ephemeral() as instance:
        assert "nothing was ingested" in str(
            sensor.evaluate_tick(dg.build_sensor_context(instance=instance)).skip_message
        )


def test_a_missing_upstream_names_the_table_the_days_and_the_command(tmp_path: Path, landed: Path) -> None:
    shutil.copytree(landed / "landing" / "app", tmp_path / "landing" / "app")
    runner = Runner(small_settings(), Paths(config=ROOT / "profile.yaml", data=tmp_path), lambda _: None)
    runner.ingest()
    day = dt.date(2026, 2, 10)
    with pytest.raises(
        RunFailedError,
        match=r"cleaned.events, which lacks \d+ days .*profile-pipeline run --from 2026-01-26 --to 2026-02-10",
    ):
        runner.execute("daily", first=day, last=day, assets=["features.behavior"])
    runner.instance.dispose()


def test_a_range_that_leaves_the_calendar_is_refused() -> None:
    days = [dt.date(2026, 1, d) for d in range(1, 11)]
    checked_range(days[0], days[-1], days)
    for first, last in ((days[3], days[1]), (days[0], dt.date(2026, 2, 1)), (dt.date(2025, 1, 1), days[1])):
        with pytest.raises(DaysError, match="expected days from 2026-01-01 to 2026-01-10"):
            checked_range(first, last, days)


def test_weeks_are_named_by_their_monday_and_have_ended() -> None:
    weeks = day_keys(weekly_partitions(small_settings().calendar))
    assert (weeks[0], weeks[-1]) == (dt.date(2026, 1, 26), dt.date(2026, 3, 23))


@pytest.mark.parametrize("timezone", ["UTC", "America/Santiago"])
@pytest.mark.parametrize(
    ("start", "end", "weeks"),
    [
        ("2026-09-01", "2026-09-03", []),
        ("2026-09-07", "2026-09-07", []),
        ("2026-09-07", "2026-09-12", []),
        ("2026-09-07", "2026-09-13", ["2026-09-07"]),
        ("2026-09-01", "2026-09-13", ["2026-09-07"]),
        ("2026-09-01", "2026-09-19", ["2026-09-07"]),
    ],
)
def test_a_closed_calendar_has_its_whole_weeks_and_none_beyond_its_end(
    timezone: str, start: str, end: str, weeks: list[str]
) -> None:
    calendar = CalendarSettings(start=dt.date.fromisoformat(start), end=dt.date.fromisoformat(end), timezone=timezone)
    assert weekly_partitions(calendar).get_partition_keys() == weeks


def test_stretches_have_no_hole() -> None:
    d = dt.date
    assert stretches([d(2026, 1, 5), d(2026, 1, 1), d(2026, 1, 2)]) == [
        (d(2026, 1, 1), d(2026, 1, 2)),
        (d(2026, 1, 5), d(2026, 1, 5)),
    ]
