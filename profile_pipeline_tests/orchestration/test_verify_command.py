"""The command `verify` and its nightly check: what they say, that what they tell mends what differs, and what they know to be behind."""

import datetime as dt
import gzip
import json
import re
import shutil
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import dagster as dg
import pytest
from click.testing import Result
from typer.testing import CliRunner

from profile_pipeline.cli import app
from profile_pipeline.orchestration.jobs import VERIFIED
from profile_pipeline.orchestration.resources import open_warehouse
from profile_pipeline.orchestration.running import Runner
from profile_pipeline.orchestration.verifying.missing import NOT_LOADED
from profile_pipeline.orchestration.verifying.verify import NothingBuiltError, verify
from profile_pipeline_tests.conftest import LAST_DAY, write_config
from profile_pipeline_tests.orchestration.planted_faults import FAULTS, NEWEST, ON_NEWEST, a_row_of
from profile_pipeline_tests.orchestration.verified_world import FIRST, N_DAYS, build, paths_of, plant, settings_of
from profile_pipeline_tests.torture import torture_only


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("verified")
    build(data)
    return data


def command(data: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, *of(data)])


def of(data: Path) -> list[str]:
    return ["--data", str(data), "--config", str(data / "profile.yaml")]


@pytest.fixture
def copied(built: Path, tmp_path: Path) -> Path:
    """A copy of the world, to be written to."""
    shutil.copytree(built, tmp_path / "copy")
    return tmp_path / "copy"


def test_the_command_says_what_it_compared(copied: Path) -> None:
    done = command(copied, "verify", "--sample", "5")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("5 people, snapshots of 2026-03-16")
    assert "all as it should be" in done.stdout


def mended_after(data: Path, faults: Iterable[str]) -> list[str]:
    """Plant faults, carry out what the command tells, and see that nothing differs any more; return what it told."""
    with closing(open_warehouse(settings_of(), paths_of(data), owner="test", say=lambda _: None)) as w:
        for fault in faults:
            plant(w, FAULTS[fault][0])
    done = command(data, "verify", "--sample", "1000", "--json")
    assert done.exit_code == 1
    told: list[str] = json.loads(done.stdout)["remedies"]
    for remedy in told:
        # Whoever is asked says yes.
        mended = CliRunner().invoke(app, [*remedy.split()[1:], *of(data)], input="y\n")
        assert mended.exit_code == 0, (remedy, mended.output)
    done = command(data, "verify", "--sample", "1000", "--all-files")
    assert done.exit_code == 0, done.stdout
    return told


TO_THE_NEWEST = (
    "an event gone", "a cent of an event", "the alias of an event", "why a record is excluded", "a term of the ledger", "a session cut in two",
    "a second of a session", "a tile gone", "a tile of nobody", "a cent that another tile has", "a term that was not said", "signed in a day later",
    "a field of the CRM", "a category of the catalogue",
)  # fmt: skip
OF_THE_NEWEST_DAY = (
    "a person without a snapshot", "a millionth of an interest", "the last bit of a double", "a profile that is not as its features",
    "a fact that the CRM does not say", "a rule's tag", "a tag gone", "a recommendation swapped", "a person gone from an audience",
    "a person put into an audience",
)  # fmt: skip
IN_RAW = (
    "a loaded record twice", "the role of a record", "what a person is said to be", "a rejected record gone", "a file that holds one record more",
    "an event gone", "a rule's tag",
)  # fmt: skip


@pytest.mark.faults
@pytest.mark.parametrize(
    ("faults", "told"),
    [
        (TO_THE_NEWEST, rf"profile-pipeline run --from 2026-03-\d\d --to {LAST_DAY}"),
        (OF_THE_NEWEST_DAY, f"profile-pipeline run --from {LAST_DAY} --to {LAST_DAY}"),
        (IN_RAW, "profile-pipeline rebuild"),
    ],
    ids=["events", "snapshots", "raw"],
)
def test_the_command_that_is_told_mends_what_is_found(copied: Path, faults: tuple[str, ...], told: str) -> None:
    (remedy,) = mended_after(copied, faults)
    assert re.fullmatch(told, remedy)


@pytest.mark.faults
@torture_only
@pytest.mark.parametrize("fault", FAULTS)
def test_the_command_that_is_told_mends_each_fault(copied: Path, fault: str) -> None:
    mended_after(copied, [fault])


def test_a_fault_is_told_with_its_place_and_a_command(copied: Path) -> None:
    with closing(open_warehouse(settings_of(), paths_of(copied), owner="test", say=lambda _: None)) as w:
        plant(w, f"update features.demand set n_open_cart_items = 97 where {a_row_of('features.demand', ON_NEWEST)}")
    done = command(copied, "verify", "--sample", "1000")
    assert done.exit_code == 1
    assert "bad  features.demand: 1 difference" in done.stdout
    assert f"{LAST_DAY}, profile_id p" in done.stdout
    assert "n_open_cart_items: found 97, expected " in done.stdout
    assert f"profile-pipeline run --from {LAST_DAY} --to {LAST_DAY}" in done.stdout


@pytest.mark.faults
def test_days_and_files_that_are_not_there_at_all_are_told_and_mended(copied: Path) -> None:
    newest = f"as_of_date = {NEWEST}"
    with closing(open_warehouse(settings_of(), paths_of(copied), owner="test", say=lambda _: None)) as w:
        for table in ("behavior", "demand", "interests", "user_features"):
            plant(w, f"delete from features.{table} where {newest}")
        plant(w, f"delete from profiles.user_profiles where {newest}; delete from profiles.tags where {newest}")
        plant(
            w,
            "delete from applications.daily_metrics where event_date = (select min(event_date) from applications.daily_metrics)",
        )
    told = json.loads(command(copied, "verify", "--json").stdout)
    gone = {d["table"] for d in told["differences"] if d["row"] == "all rows of the day"}
    assert gone == {
        "features.behavior", "features.demand", "features.interests", "features.user_features", "profiles.user_profiles", "profiles.tags",
        "applications.daily_metrics",
    }  # fmt: skip
    (remedy,) = told["remedies"]
    assert CliRunner().invoke(app, [*remedy.split()[1:], *of(copied)]).exit_code == 0
    assert command(copied, "verify", "--sample", "1000").exit_code == 0


@pytest.mark.faults
def test_a_file_of_the_archive_that_no_table_knows_is_told_and_loaded_again(copied: Path) -> None:
    with closing(open_warehouse(settings_of(), paths_of(copied), owner="test", say=lambda _: None)) as w:
        ((lost, n),) = w.rows("select file_id, n_records from raw.files where source = 'relations'")
        for table in ("raw.files", "raw.relations"):
            plant(w, f"delete from {table} where file_id = '{lost}'")
        plant(w, "delete from cleaned.relations where true")
    told = json.loads(command(copied, "verify", "--json").stdout)
    assert [(d["table"], d["row"], d["column"]) for d in told["differences"]] == [("raw.files", f"file_id {lost}", NOT_LOADED)]  # fmt: skip
    assert told["remedies"] == ["profile-pipeline run"]
    assert command(copied, "run").exit_code == 0
    assert command(copied, "verify", "--sample", "1000").exit_code == 0
    with closing(open_warehouse(settings_of(), paths_of(copied), owner="test", say=lambda _: None)) as w:
        assert w.scalar("select count(*) from raw.relations") == n


def test_nothing_built_is_one_message(tmp_path: Path) -> None:
    write_config(tmp_path / "profile.yaml", FIRST, LAST_DAY)
    assert "Run `profile-pipeline run` first" in str(command(tmp_path, "verify").exception)
    with (
        closing(open_warehouse(settings_of(), paths_of(tmp_path), owner="test", say=lambda _: None)) as w,
        pytest.raises(NothingBuiltError, match="nothing is built yet"),
    ):
        verify(w, settings_of(), n_people=1, has_new_versions=False)


def test_each_night_a_check_looks_at_other_people_and_no_run_that_builds_does(copied: Path) -> None:
    r = Runner(settings_of(), paths_of(copied), lambda _: None)
    schedule = r.defs.get_repository_def().get_schedule_def("daily_verification")
    night = dg.build_schedule_context(
        instance=r.instance, scheduled_execution_time=dt.datetime(2026, 4, 1, tzinfo=dt.UTC)
    )
    (request,) = schedule.evaluate_tick(night).run_requests
    assert request.tags["profile_pipeline/seed"] == "2026-04-01"
    with closing(open_warehouse(settings_of(), paths_of(copied), owner="test", say=lambda _: None)) as w:
        plant(w, FAULTS["a tile of nobody"][0])
    verified = r.defs.resolve_job_def("verify").execute_in_process(instance=r.instance, tags=request.tags)
    (evaluation,) = verified.get_asset_check_evaluations()
    assert not evaluation.passed
    told = {name: value.value for name, value in evaluation.metadata.items()}
    assert "features.user_days rows" in told["where"]
    assert "user:nobody" not in str(told)
    assert told["to_see_it"] == "profile-pipeline verify --sample 10 --seed 2026-04-01"
    builds, verifies = (
        r.defs.resolve_job_def(job).asset_layer.asset_graph.asset_check_keys for job in ("daily", "verify")
    )
    assert VERIFIED not in builds
    assert verifies == {VERIFIED}
    # Where a run names its assets Dagster takes all of their checks along.
    built = r.execute("daily", first=LAST_DAY, last=LAST_DAY, assets=["features.user_features"])
    assert VERIFIED not in {e.asset_check_key for e in built.get_asset_check_evaluations()}
    r.instance.dispose()


def test_where_nothing_was_built_the_night_is_left_out(tmp_path: Path) -> None:
    r = Runner(settings_of(), paths_of(tmp_path), lambda _: None)
    schedule = r.defs.get_repository_def().get_schedule_def("daily_verification")
    night = dg.build_schedule_context(
        instance=r.instance, scheduled_execution_time=dt.datetime(2026, 4, 1, tzinfo=dt.UTC)
    )
    assert "nothing is built yet" in str(schedule.evaluate_tick(night).skip_message)
    verified = r.defs.resolve_job_def("verify").execute_in_process(instance=r.instance)
    assert [e.passed for e in verified.get_asset_check_evaluations()] == [True]
    r.instance.dispose()


HEADER = "id,ts,received,cookie,uid,session,action,sku,category,qty,unit_price,currency,stars,q,url,referrer,utm_campaign,device,ua,ip,country,city"


def land(data: Path, name: str, day: dt.date, cookies: list[str]) -> None:
    """A file of views by these browsers on a day."""
    lines = [f"{name}{i},{day}T08:00:00Z,{day}T08:00:01Z,{c},,,pageview{',' * 15}" for i, c in enumerate(cookies)]
    (data / "landing" / "web").mkdir(parents=True, exist_ok=True)
    text = "\n".join([HEADER, *lines, ""])
    (data / "landing" / "web" / f"{name}.csv.gz").write_bytes(gzip.compress(text.encode(), mtime=0))


@pytest.fixture
def came_late(copied: Path) -> Path:
    """The world after a file came with views of everybody on the second day."""
    with closing(open_warehouse(settings_of(), paths_of(copied), owner="test", say=lambda _: None)) as w:
        cookies = [cookie for (cookie,) in w.rows("select distinct anonymous_id from cleaned.events as e join raw.events using (file_id, row_number) where anonymous_id is not null order by 1")]  # fmt: skip
    land(copied, "late", FIRST + dt.timedelta(days=1), cookies)
    return copied


@pytest.mark.faults
def test_a_run_of_old_days_leaves_no_newer_snapshot_behind_unsaid(came_late: Path) -> None:
    r = Runner(settings_of(), paths_of(came_late), lambda _: None)
    r.ingest()
    r.build_features(FIRST, FIRST + dt.timedelta(days=4))
    assert set(r.waiting()[2]) == {FIRST + dt.timedelta(days=n) for n in range(5, N_DAYS)}
    r.build_all()
    assert LAST_DAY not in r.waiting()[2]
    r.rebuild_stale()
    assert r.waiting()[2] == []
    r.instance.dispose()
    done = command(came_late, "verify", "--sample", "1000")
    assert done.exit_code == 0, done.stdout
    assert "left out" not in done.stdout


@pytest.mark.faults
def test_what_a_killed_run_had_rebuilt_is_outdated_by_what_comes_after_it(came_late: Path) -> None:
    r = Runner(settings_of(), paths_of(came_late), lambda _: None)
    old = FIRST + dt.timedelta(days=5)
    # As a run leaves it that is killed before its last step.
    r.execute("daily", first=old, last=old, assets=[f"features.{name}" for name in ("behavior", "interests", "demand", "user_features")])  # fmt: skip
    r.ingest()
    r.build_features(LAST_DAY - dt.timedelta(days=3), LAST_DAY)
    assert old in r.waiting()[2]
    r.instance.dispose()


@pytest.mark.faults
def test_after_the_last_day_of_a_closed_calendar_nothing_waits_for_a_tomorrow(copied: Path) -> None:
    after = LAST_DAY + dt.timedelta(days=1)
    land(copied, "after", after, ["c1"])
    r = Runner(settings_of(), paths_of(copied), lambda _: None)
    r.ingest()
    r.build_features(LAST_DAY, LAST_DAY)
    r.instance.dispose()
    with closing(open_warehouse(settings_of(), paths_of(copied), owner="test", say=lambda _: None)) as w:
        assert w.scalar("select count(*) from raw.pending where file_id is not null") == 0
        assert w.rows(f"select reason_code from cleaned.excluded_events where event_date = date '{after}'") == [("out_of_calendar",)]  # fmt: skip
