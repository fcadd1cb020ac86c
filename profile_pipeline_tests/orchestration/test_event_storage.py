"""Dagster's storage with kept connections leaves what stock leaves, whatever happens to its files and its process."""

import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.events import DagsterEvent, DagsterEventType, StepMaterializationData
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.runs.sqlite.sqlite_run_storage import SqliteRunStorage

from profile_pipeline.orchestration.instance import BATCH_VARIABLE, open_instance
from profile_pipeline.orchestration.storage import IS_KNOWN, PARENT, KeptSqliteEventLogStorage, KeptSqliteRunStorage
from profile_pipeline.paths import Paths
from profile_pipeline_tests.conftest import ROOT


@pytest.fixture
def events(tmp_path: Path) -> Iterator[KeptSqliteEventLogStorage]:
    storage = KeptSqliteEventLogStorage(str(tmp_path))
    yield storage
    storage.dispose()


def note(text: str) -> EventLogEntry:
    return EventLogEntry(None, 20, text, "a run", time.time())


def made(asset: str) -> EventLogEntry:
    data = StepMaterializationData(dg.AssetMaterialization(asset))
    event = DagsterEvent(DagsterEventType.ASSET_MATERIALIZATION.value, "job", step_key="step", event_specific_data=data)
    return EventLogEntry(None, 20, "", "a run", time.time(), "step", "job", event)


def notes(storage: SqliteEventLogStorage) -> list[str]:
    return [entry.user_message for entry in storage.get_logs_for_run("a run")]


def test_a_disk_that_fills_while_a_file_of_events_is_begun_leaves_no_half_file(
    events: KeptSqliteEventLogStorage, tmp_path: Path
) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 10, before[1]))
    try:
        with pytest.raises(Exception, match="disk"):
            events.store_event(note("too much"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    events.store_event(note("once there is room"))
    assert notes(events) == ["once there is room"]
    assert notes(SqliteEventLogStorage(str(tmp_path))) == ["once there is room"]


def test_the_log_of_a_file_that_was_removed_is_not_played_into_the_new_one(tmp_path: Path) -> None:
    code = (
        "import os, sys; from profile_pipeline_tests.orchestration.test_event_storage import *\n"
        "storage = KeptSqliteEventLogStorage(sys.argv[1])\n"
        "for i in range(50): storage.store_event(made(str(i)))\n"
        "os._exit(0)"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code, str(tmp_path)], check=True, cwd=ROOT)
    assert (tmp_path / "a run.db-wal").stat().st_size > 0
    (tmp_path / "a run.db").unlink()
    storage = KeptSqliteEventLogStorage(str(tmp_path))
    storage.store_event(note("anew"))
    assert "anew" in notes(storage)
    storage.dispose()
    with closing(sqlite3.connect(tmp_path / "a run.db")) as connection:
        assert connection.execute("pragma integrity_check").fetchall() == [("ok",)]


@pytest.mark.parametrize("stock", ["", "1"])
def test_who_watches_a_run_sees_the_first_event_of_another_process(
    events: KeptSqliteEventLogStorage, tmp_path: Path, stock: str
) -> None:
    events.store_event(note("begun"))
    seen: list[str] = []
    cursor = events.get_records_for_run("a run").cursor
    events.watch("a run", cursor, lambda event, _: seen.append(event.user_message))
    code = (
        "import sys; from profile_pipeline_tests.orchestration.test_event_storage import *\n"
        "KeptSqliteEventLogStorage(sys.argv[1]).store_event(note('failed'))"
    )
    environment = os.environ | ({"PROFILE_PIPELINE_STOCK_EVENT_STORAGE": stock} if stock else {})
    command = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path)]
    subprocess.run(command, check=True, cwd=ROOT, env=environment)
    deadline = time.monotonic() + 20
    while not seen and time.monotonic() < deadline:
        time.sleep(0.05)
    assert seen == ["failed"]


FORKING = """
import os, sys
from profile_pipeline_tests.orchestration.test_event_storage import *
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from profile_pipeline.orchestration.storage import KeptSqliteStorage
storage = KeptSqliteStorage(sys.argv[1])
events, runs = storage.event_log_storage, storage.run_storage
events.store_event(made("parent"))
runs.set_cursor_values({"parent": "1"})
(closed, close), (written, write) = os.pipe(), os.pipe()
if os.fork() == 0:
    events.store_event(made("child_before"))
    runs.set_cursor_values({"child_before": "1"})
    os.write(write, b"x")
    os.read(closed, 1)
    events.store_event(made("child_after"))
    runs.set_cursor_values({"child_after": "1"})
    os._exit(0)
os.read(written, 1)
storage.dispose()
os.write(close, b"x")
assert os.wait()[1] == 0
on_disk = DagsterSqliteStorage(sys.argv[1])
print(sorted(key.path[0] for key in on_disk.event_log_storage.all_asset_keys()))
print(sorted(on_disk.run_storage.get_cursor_values({"parent", "child_before", "child_after"})))
"""


def test_what_a_fork_writes_is_kept_when_its_parent_closes_its_files(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", FORKING, str(tmp_path)]
    done = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "['child_after', 'child_before', 'parent']\n" * 2


def test_the_event_storage_knows_this_dagster() -> None:
    assert IS_KNOWN, (
        f"Dagster changed a method of its SQLite storage that is overridden to {PARENT}: try the storage again, then add it"
    )


@pytest.mark.parametrize("shard", ["index", "a run"])
def test_a_file_of_events_begins_as_dagster_begins_it(tmp_path: Path, shard: str) -> None:
    begun = []
    for kind in (SqliteEventLogStorage, KeptSqliteEventLogStorage):
        folder = tmp_path / kind.__name__
        with kind(str(folder)).run_connection(shard):
            pass
        with closing(sqlite3.connect(folder / f"{shard}.db")) as connection:
            tables = connection.execute("select type, name, sql from sqlite_master order by name").fetchall()
            told = [connection.execute(f"pragma {name}").fetchall() for name in ("journal_mode", "page_size", "integrity_check")]  # fmt: skip
            begun.append((tables, told, connection.execute("select * from alembic_version").fetchall()))
    assert begun[0] == begun[1]
    assert {path.name.split(".")[0] for path in folder.iterdir()} == {"index", shard}


def test_runs_are_those_of_the_file_that_lies_there_now(tmp_path: Path) -> None:
    stock = {name: SqliteRunStorage.from_local(str(tmp_path / name)) for name in ("before", "after")}
    kept = KeptSqliteRunStorage(stock["before"]._conn_string)
    for name, storage in stock.items():
        storage.set_cursor_values({"a": name})
    assert kept.get_cursor_values({"a"}) == {"a": "before"}
    stock["before"].set_cursor_values({"a": "written by another"})
    assert kept.get_cursor_values({"a"}) == {"a": "written by another"}
    for part in ("", "-wal", "-shm"):
        (tmp_path / "before" / f"runs.db{part}").unlink(missing_ok=True)
    shutil.copy(tmp_path / "after" / "runs.db", tmp_path / "before" / "runs.db")
    assert kept.get_cursor_values({"a"}) == {"a": "after"}
    kept.set_cursor_values({"a": "kept"})
    kept.dispose()
    assert stock["before"].get_cursor_values({"a"}) == {"a": "kept"}


def test_a_batch_of_events_leaves_what_single_events_leave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    days = dg.DailyPartitionsDefinition("2026-01-01", end_date="2026-02-01")

    @dg.asset(partitions_def=days, backfill_policy=dg.BackfillPolicy.single_run(), tags={"stage": "tried"})
    def tried(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        context.add_asset_metadata({"n": 3}, partition_key="2026-01-02")
        return dg.MaterializeResult(metadata={"rows": 7}, tags={"of": "test"})

    @dg.asset_check(asset=tried)
    def holds() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=True)

    job = dg.Definitions(
        assets=[tried], asset_checks=[holds], jobs=[dg.define_asset_job("trying", selection="*")]
    ).resolve_job_def("trying")
    tags = {"dagster/asset_partition_range_start": "2026-01-01", "dagster/asset_partition_range_end": "2026-01-05"}
    run_id, left = "00000000-0000-4000-8000-000000000000", []
    for size in ("0", "500"):
        monkeypatch.setenv(BATCH_VARIABLE, size)
        paths = Paths(config=tmp_path / "profile.yaml", data=tmp_path / size)
        opened = open_instance(paths)
        assert job.execute_in_process(instance=opened, tags=tags, run_id=run_id).success
        key = dg.AssetKey("tried")
        told = [record.asset_materialization for record in opened.fetch_materializations(key, limit=10).records]
        newest = opened.get_latest_materialization_event(key)
        assert newest is not None
        assert newest.dagster_event is not None
        left.append((
            sorted(opened.get_materialized_partitions(key)),
            [(m.partition, dict(m.metadata), m.tags["of"] if m.tags else None) for m in told if m],
            newest.dagster_event.partition,
            _logged(paths, "index", run_id),
            _logged(paths, run_id, run_id),
        ))  # fmt: skip
        opened.dispose()
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    assert len(left[0][0]) == 5
    assert left[0] == left[1]


def _logged(paths: Paths, shard: str, run_id: str) -> list[tuple]:
    """What a file of events holds of a run, and what it says of each asset, without times and ids."""
    with closing(sqlite3.connect(paths.dagster_home / "history" / "runs" / f"{shard}.db")) as connection:
        events = connection.execute(
            "select dagster_event_type, step_key, asset_key, partition from event_logs where run_id = ? and dagster_event_type is not null", (run_id,)
        ).fetchall()  # fmt: skip
        tags = connection.execute("select asset_key, key, value, count(*) from asset_event_tags group by 1, 2, 3")
        assets = connection.execute(
            "select asset_key, last_run_id, last_materialization_timestamp is null from asset_keys"
        )
        return [*sorted(map(str, events)), *tags.fetchall(), *assets.fetchall()]


def test_a_longer_range_opens_no_more_connections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    days = dg.DailyPartitionsDefinition("2026-01-01", end_date="2026-02-01")

    @dg.asset(partitions_def=days, backfill_policy=dg.BackfillPolicy.single_run())
    def tried() -> None:
        return None

    opened: list[int] = []
    sys.addaudithook(lambda event, _: opened.append(1) if event == "sqlite3.connect" else None)
    instance = open_instance(Paths(config=tmp_path / "profile.yaml", data=tmp_path))
    assert type(instance.event_log_storage) is KeptSqliteEventLogStorage
    counts = []
    for last in ("2026-01-02", "2026-01-03", "2026-01-15"):
        before = len(opened)
        tags = {"dagster/asset_partition_range_start": "2026-01-01", "dagster/asset_partition_range_end": last}
        assert dg.materialize([tried], instance=instance, tags=tags).success
        counts.append(len(opened) - before)
    assert len(set(instance.get_materialized_partitions(dg.AssetKey("tried")))) == 15
    assert counts[1] == counts[2]  # the first run creates what later ones find
    instance.dispose()
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
