"""Tables that were built with something else are refused, and a rebuild gives what would have been."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from profile_pipeline.errors import ConfigurationError
from profile_pipeline.orchestration.building.days import last_day_of
from profile_pipeline.orchestration.instance import RunAtWorkError
from profile_pipeline.orchestration.jobs import DAILY
from profile_pipeline.orchestration.keeping.built_with import SCHEMA, differences
from profile_pipeline.orchestration.keeping.doctor import examine
from profile_pipeline.orchestration.keeping.rebuilding import rebuild
from profile_pipeline.orchestration.keeping.recovering import Selection
from profile_pipeline.orchestration.steps import RunFailedError
from profile_pipeline.paths import Paths
from profile_pipeline.raw.archive import DamagedArchiveError, deliveries
from profile_pipeline.warehouse.lease import LeaseTimeoutError, lease
from profile_pipeline.warehouse.opening import WarehouseError
from profile_pipeline_tests.conftest import ROOT
from profile_pipeline_tests.orchestration.small_project import (
    CONFIG,
    OF_THE_RUN,
    assert_equal,
    build,
    contents,
    day,
    deliver,
    land,
    load_three_days,
    rows,
    runner,
)
from profile_pipeline_tests.torture import torture_only

PRICE = "\"regexp_replace(price, '[$]', '')\""
# Prices with a sign are refused under it, and the day is read of another zone.
WRONG = CONFIG.replace(PRICE, "price")
# The calendar of three days, so that little is built.
SHORT = CONFIG.replace("end: 2026-03-01", "end: 2026-01-07")
# Every price is another one.
DOUBLED_PRICE = "\"try_cast(replace(price, '$', '') as decimal(18,4)) * 2\""
DOUBLED = CONFIG.replace(PRICE, DOUBLED_PRICE)
WEEK = CONFIG.replace(
    "start: 2026-01-05, end: 2026-03-01", "start: 2026-01-07, end: 2026-01-11, timezone: Asia/Shanghai"
)


def command(data: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "profile_pipeline.cli", *arguments], capture_output=True, text=True, cwd=ROOT, env=environment(data)
    )  # fmt: skip


def environment(data: Path) -> dict[str, str]:
    told = {"PROFILE_PIPELINE_DATA": str(data), "PROFILE_PIPELINE_CONFIG": str(data / "profile.yaml"), "COLUMNS": "300"}
    return os.environ | told


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three days, loaded and not yet judged."""
    data = tmp_path_factory.mktemp("loaded") / "data"
    load_three_days(data)
    return data


@pytest.fixture
def project(loaded: Path, tmp_path: Path) -> Path:
    """A copy of it, to work on."""
    shutil.copytree(loaded, tmp_path / "data")
    return tmp_path / "data"


@pytest.mark.parametrize(
    ("before", "after", "told", "remedy"),
    [
        (PRICE, "price", "sources.shop.columns.price: found price, the tables were built with regexp_replace", "rebuild --source shop"),
        ("identical_records: each", "identical_records: one", "identical_records: found one, the tables were built with each", "rebuild --source shop"),
        ("start: 2026-01-05", "start: 2026-01-06", "calendar.start: found 2026-01-06, the tables were built with 2026-01-05", "rebuild"),
        ("end: 2026-03-01", "end: 2026-03-01, timezone: Asia/Shanghai", "calendar.timezone: found Asia/Shanghai, the tables were built with UTC", "rebuild"),
        ("currency: CNY", "currency: EUR", "currency: found EUR, the tables were built with CNY", "rebuild"),
        ("sources:", "bots: {max_events_per_stream_day: 7}\nsources:", "bots.max_events_per_stream_day: found 7, the tables were built with ", "rebuild"),
    ],
)  # fmt: skip
def test_a_change_that_shapes_rows_is_refused_with_the_command_that_helps(
    project: Path, before: str, after: str, told: str, remedy: str
) -> None:
    land(project, "shop/late.csv", "ts,action,uid,cookie,item,price\n")
    r = runner(project, CONFIG.replace(before, after))
    with pytest.raises(ConfigurationError) as refused:
        r.ingest()
    assert told in str(refused.value)
    assert f"profile-pipeline {remedy}" in str(refused.value).splitlines()[-2 if "--source" in remedy else -1]
    assert (project / "landing" / "shop" / "late.csv").exists()


def test_all_changes_are_told_at_once(project: Path) -> None:
    changed = CONFIG.replace(PRICE, "price").replace("updated_at: changed", "city: changed")
    with pytest.raises(ConfigurationError) as refused:
        runner(project, changed).ingest()
    text = str(refused.value)
    assert "profile-pipeline rebuild --source crm --source shop" in text
    assert [line for line in text.splitlines() if "sources.crm.columns." in line and "nothing" in line]
    line = next(n for n, line in enumerate(changed.splitlines(), start=1) if "price: price" in line)
    assert f"{project / 'profile.yaml'}:{line}: sources.shop.columns.price" in text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("sources:", "sources:\n  other: {table: items, path: other/*.csv, format: csv, columns: {item_id: id}}"),
        ("end: 2026-03-01", "end: 2026-04-01"),
        ("path: shop/*.csv", "path: shop/**"),
        ("value: often, when: n_active_days_30d >= 12", "value: often, when: n_active_days_30d >= 9"),
        ("min_labels: 10", "min_labels: 11"),
        ("user_id: uid, birth_date:", "birth_date:"),
    ],
)
def test_what_shapes_no_loaded_row_may_change(project: Path, before: str, after: str) -> None:
    changed = CONFIG.replace(before, after)
    if before == "user_id: uid, birth_date:":
        changed = CONFIG.replace("columns: {user_id: uid, birth_date:", "columns: {birth_date:").replace(
            "updated_at: changed}", "updated_at: changed, user_id: uid}"
        )
    assert changed != CONFIG
    r = runner(project, changed)
    with closing(r.warehouse()) as w:
        assert differences(w.rows, r.settings) == {}


def test_a_source_of_which_nothing_was_loaded_may_change(tmp_path: Path) -> None:
    data = tmp_path / "data"
    land(data, "crm/people.csv", "uid,born,changed\nu1,1990-01-01,2026-01-02T00:00:00Z\n")
    land(data, "shop/bad.csv", "ts,action,uid,cookie,item,price\nno time,page_view,u1,c1,i1,\n")
    r = runner(data)
    r.ingest()
    r.instance.dispose()
    r = runner(data, WRONG)
    with closing(r.warehouse()) as w:
        assert differences(w.rows, r.settings) == {}


def test_a_database_of_before_these_facts_is_taken_as_built_with_what_is_said_now(project: Path) -> None:
    r = runner(project, WRONG)
    with closing(r.warehouse()) as w:
        w.execute("drop table raw.built_with")
    r.ingest()
    with pytest.raises(ConfigurationError):
        runner(project, CONFIG).ingest()


def test_a_database_of_a_newer_schema_is_refused(project: Path) -> None:
    with closing(runner(project).warehouse()) as w:
        w.execute("update raw.built_with set value = $value where name = 'schema'", {"value": str(SCHEMA + 1)})
    with pytest.raises(WarehouseError, match=f"schema {SCHEMA + 1}, and this release knows schemas up to {SCHEMA}"):
        runner(project).ingest()


def test_the_archive_says_of_every_file_under_which_names_it_came(project: Path) -> None:
    known = rows(project / "profile.duckdb", "select file_id, path, arrived_at from raw.files order by all")
    assert sorted((d.file_id, d.path, d.arrived_at) for d in deliveries(project / "archive")) == known
    assert "notes.txt" in {path for _, path, _ in known}


@pytest.mark.faults
def test_a_run_of_dagster_over_tables_of_another_mapping_fails_with_the_message(project: Path) -> None:
    r = runner(project, WRONG)
    with pytest.raises(RunFailedError, match="profile-pipeline rebuild --source shop"):
        r.execute(DAILY, first=day(0), last=day(2), groups=("cleaned",))
    with pytest.raises(RunFailedError, match="profile-pipeline rebuild --source shop"):
        r.execute("ingest")
    r.instance.dispose()
    assert rows(project / "profile.duckdb", "select count(*) from cleaned.events") == [(0,)]


@pytest.mark.faults
def test_a_recovery_takes_a_changed_mapping_only_where_loaded_rows_stay_as_they_are(tmp_path: Path) -> None:
    data = tmp_path / "data"
    deliver(data, range(2))
    r = runner(data, WRONG)
    r.ingest()
    r.instance.dispose()
    r = runner(data, DOUBLED)
    ((n_priced, n_loaded),) = rows(data / "profile.duckdb", "select count(price), count(*) from raw.events")
    with pytest.raises(RunFailedError, match=f"gives another row for {n_priced} of {n_loaded} loaded records"):
        r.recover(Selection(source="shop"))
    r.instance.dispose()
    before = rows(data / "profile.duckdb", "select count(*) from raw.events")
    r = runner(data, CONFIG)
    assert r.recover(Selection(source="shop"))[0] > 0
    r.ingest()
    r.instance.dispose()
    assert rows(data / "profile.duckdb", "select count(*) from raw.events") > before


# ---- rebuilds


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that was right from the start, in all its stages; of one rejected record somebody said that it may stay out."""
    data = tmp_path_factory.mktemp("built") / "data"
    deliver(data)
    build(data)
    assert command(data, "rejected", "dismiss", "--file", f"shop/{day(3)}.csv").returncode == 0
    return data


def only(data: Path, target: Path, *names: str) -> Path:
    target.mkdir(parents=True)
    for name in names:
        source = data / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, target / name)
    return target


@pytest.mark.faults
def test_a_rebuild_from_the_archive_alone_gives_identical_tables(built: Path, tmp_path: Path) -> None:
    data = only(built, tmp_path / "data", "archive", "profile.yaml")
    done = command(data, "rebuild", "--yes")
    assert done.returncode == 0, done.stderr
    # That a record was dismissed is in no file that was delivered.
    found, wanted = (contents(d / "profile.duckdb", but_for={"dismissed_at"}) for d in (data, built))
    assert_equal(found, wanted)
    assert contents(data / "serving.duckdb", but_for=set()).keys() == contents(built / "serving.duckdb").keys()
    assert sorted(p.name for p in data.iterdir()) == sorted(
        {p.name for p in built.iterdir()} - {"landing"} | {"ui.lock"}
    )
    assert "nothing waits" in command(data, "run").stdout


@pytest.mark.faults
def test_a_rebuild_gives_the_same_segments_where_older_weeks_were_trained_after_newer_ones(
    built: Path, tmp_path: Path
) -> None:
    data = only(built, tmp_path / "data", *(p.name for p in built.iterdir()))
    r = runner(data)
    r.build_range(r.weeks[-4], last_day_of(r.weeks[-3]))
    r.build_all()
    r.instance.dispose()
    before = contents(data / "profile.duckdb")
    rebuilt(data, CONFIG)
    assert_equal(contents(data / "profile.duckdb"), before)


@pytest.mark.faults
def test_a_rebuild_that_is_killed_has_changed_nothing_and_the_next_gives_the_same_tables(
    built: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(built, data)
    before, bytes_before = contents(data / "profile.duckdb", but_for=set()), (data / "profile.duckdb").read_bytes()
    child = subprocess.Popen(
        [sys.executable, "-m", "profile_pipeline.cli", "rebuild", "--yes"], cwd=ROOT, env=environment(data), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )  # fmt: skip
    assert child.stderr
    while "cleaned to features" not in child.stderr.readline():
        assert child.poll() is None
    time.sleep(1)
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stderr.close()
    assert (data / "rebuilding" / "profile.duckdb").exists()
    assert (data / "profile.duckdb").read_bytes() == bytes_before
    done = command(data, "rebuild", "--yes")
    assert done.returncode == 0, done.stderr
    assert not (data / "rebuilding").exists()
    # Dismissals and the times of loading too are as they were.
    assert_equal(contents(data / "profile.duckdb", but_for=set()), before)


@pytest.fixture(scope="module")
def always(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A week under what the others get only later: another zone and first day, and the right mapping."""
    data = tmp_path_factory.mktemp("always") / "data"
    deliver(data, range(7))
    build(data, WEEK)
    return data


def assert_as_always(data: Path, always: Path) -> None:
    of_the_run = OF_THE_RUN | {"arrived_at"}
    found, wanted = (contents(d / "profile.duckdb", but_for=of_the_run) for d in (data, always))
    assert_equal(found, wanted)
    assert wanted["profiles.user_profiles"]


def rebuilt(data: Path, config: str, *sources: str) -> None:
    r = runner(data, config)
    rebuild(r.settings, r.paths, sources=sources, say=lambda _: None)


@pytest.mark.faults
def test_a_source_that_is_read_anew_gives_what_would_have_been_had_its_mapping_always_been_so(
    always: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    deliver(data, range(7))
    r = runner(data, WEEK.replace(PRICE, DOUBLED_PRICE))
    r.ingest()
    r.build_features(day(5), day(6))
    r.instance.dispose()
    rebuilt(data, WEEK, "shop")
    assert_as_always(data, always)


@pytest.mark.faults
@torture_only
def test_another_zone_and_first_day_give_what_would_have_been_had_they_always_been_so(
    always: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    deliver(data, range(7))
    build(data, CONFIG.replace("end: 2026-03-01", "end: 2026-01-11"))
    (data / "profile.yaml").write_text(WEEK, encoding="utf-8")
    refused = command(data, "run")
    assert refused.returncode == 1
    assert refused.stderr.rstrip().endswith("profile-pipeline rebuild")
    assert "Traceback" not in refused.stderr
    rebuilt(data, WEEK)
    assert_as_always(data, always)


def test_other_changes_are_not_kept_beside_a_source_that_is_read_anew(project: Path) -> None:
    (project / "profile.yaml").write_text(
        WRONG.replace("end: 2026-03-01", "end: 2026-03-01, timezone: Asia/Shanghai"), encoding="utf-8"
    )
    done = command(project, "rebuild", "--source", "shop", "--yes")
    assert done.returncode == 1
    assert "found other changes too: calendar.timezone" in done.stderr
    assert command(project, "rebuild", "--source", "shopp", "--yes").returncode == 1


@pytest.mark.parametrize(
    ("place", "owner"),
    [
        ("ui.lock", "the UI at http://127.0.0.1:3000"),
        ("dagster_home/working/1a2b.lock", "run 1a2b, whose models train"),
    ],
)
def test_nothing_is_replaced_while_the_ui_or_a_run_without_the_lease_is_at_work(
    project: Path, place: str, owner: str
) -> None:
    before = (project / "profile.duckdb").read_bytes()
    r = runner(project, SHORT)
    with (
        lease(project / place, owner=owner, timeout_seconds=0, say=print),
        pytest.raises((LeaseTimeoutError, RunAtWorkError), match=re.escape(owner)),
    ):
        rebuild(r.settings, r.paths, sources=(), say=lambda _: None)
    assert (project / "profile.duckdb").read_bytes() == before
    assert not (project / "rebuilding").exists()


def test_a_rebuild_of_an_archive_without_files_is_refused_and_makes_no_empty_tables(tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    (tmp_path / "profile.yaml").write_text(SHORT, encoding="utf-8")
    done = command(tmp_path, "rebuild", "--yes")
    assert done.returncode == 1
    assert "holds no file that was delivered" in done.stderr
    assert not (tmp_path / "profile.duckdb").exists()


def test_a_rebuild_asks_first(project: Path) -> None:
    before = (project / "profile.duckdb").read_bytes()
    assert command(project, "rebuild").returncode == 1
    assert (project / "profile.duckdb").read_bytes() == before


@pytest.mark.faults
def test_a_file_of_the_archive_that_was_damaged_stops_a_rebuild_and_what_stands_stays(project: Path) -> None:
    ((file_id,),) = rows(project / "profile.duckdb", f"select file_id from raw.files where path = 'shop/{day(1)}.csv'")
    path = project / "archive" / file_id[:2] / file_id
    path.write_bytes(path.read_bytes().replace(b"u1,", b"u9,", 1))
    before = contents(project / "profile.duckdb", but_for=set())
    with pytest.raises(RunFailedError, match="is not what was delivered"):
        rebuilt(project, SHORT)
    assert_equal(contents(project / "profile.duckdb", but_for=set()), before)


@pytest.mark.faults
@torture_only
def test_a_database_that_can_not_be_read_is_built_anew_from_the_archive(project: Path) -> None:
    before = contents(project / "profile.duckdb", but_for=set())
    (project / "profile.duckdb").write_bytes(b"not a database" * 1000)
    with pytest.raises(WarehouseError, match="no record of it can stay"):
        rebuilt(project, SHORT, "shop")
    rebuilt(project, SHORT)
    raw = {table for table in before if table.startswith("raw.") and table != "raw.pending"}
    found = contents(project / "profile.duckdb", but_for=set())
    assert_equal({t: found[t] for t in raw}, {t: before[t] for t in raw})
    judged = rows(project / "profile.duckdb", "select distinct event_date from cleaned.events order by 1")
    assert judged == [(day(n),) for n in range(3)]


@pytest.mark.faults
@pytest.mark.parametrize("sources", [(), ("shop",)])
def test_files_that_the_archive_has_lost_stop_a_rebuild_and_what_stands_stays(
    project: Path, sources: tuple[str, ...]
) -> None:
    ((file_id,),) = rows(project / "profile.duckdb", f"select file_id from raw.files where path = 'shop/{day(1)}.csv'")
    path = project / "archive" / file_id[:2] / file_id
    path.unlink()
    path.with_suffix(".json").unlink()
    before = contents(project / "profile.duckdb", but_for=set())
    with pytest.raises(DamagedArchiveError, match=rf"lacks 1 file whose records the tables hold: shop/{day(1)}\.csv"):
        rebuilt(project, SHORT, *sources)
    assert_equal(contents(project / "profile.duckdb", but_for=set()), before)
    found = [f for f in examine(Paths(config=project / "profile.yaml", data=project)).findings if not f.is_ok]
    assert any("lacks 1 file that was loaded" in f.what for f in found)
