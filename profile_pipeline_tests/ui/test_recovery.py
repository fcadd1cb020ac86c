"""Whatever is killed, a started refresh ends as it would have, without a hand."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from benchmarks.ui_process import UNFINISHED, Ui, until
from profile_pipeline_tests.conftest import FIRST_DAY, LAST_DAY, World

# The first test waits for the world and the servers.
pytestmark = [pytest.mark.recovery, pytest.mark.timeout(1800)]
TABLES = ("cleaned.events", "cleaned.sessions", "features.user_days", "features.behavior", "features.demand")


@pytest.fixture(scope="module")
def built(world: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    return world.copied(tmp_path_factory.mktemp("recovery"))


@pytest.fixture(scope="module")
def ui(built: World) -> Iterator[Ui]:
    started = Ui(built.paths.data, built.paths.config)
    try:
        started.start()
        yield started
        started.stop()
    finally:
        started.kill()


def contents(path: Path) -> list[list[tuple]]:
    with duckdb.connect(str(path), read_only=True) as connection:
        return [connection.execute(f"select * from {table} order by all").fetchall() for table in TABLES]


def launched(ui: Ui) -> str:
    """The whole history anew, from events to snapshots; return the run when it works on the warehouse."""
    run_id = ui.launch(
        [*TABLES, "cleaned.excluded_events", "cleaned.session_days"],
        dagster__asset_partition_range_start=str(FIRST_DAY),
        dagster__asset_partition_range_end=str(LAST_DAY),
    )
    lease = ui.data / "profile.duckdb.lease"
    until(lambda: run_id[:8] in lease.read_text(), 300, "the run did not take the warehouse", every_seconds=0.05)
    return run_id


def worker_of(ui: Ui) -> int:
    """The process that has the warehouse: the lease says its pid."""
    return int((ui.data / "profile.duckdb.lease").read_text().split("pid ")[1].split(",")[0])


def ends_well(ui: Ui, run_id: str, built: World, world: World) -> None:
    """The run, or the retry of it, succeeds; no run is left hanging; the tables are those of a world where nothing was killed."""

    def succeeded() -> bool:
        family = [r for r in ui.runs() if run_id in (r["runId"], r["parentRunId"])]
        return any(r["status"] == "SUCCESS" for r in family)

    until(succeeded, 600, "neither the run nor a retry of it succeeded")
    until(lambda: not [r for r in ui.runs() if r["status"] in UNFINISHED], 600, "runs are left hanging")
    assert contents(built.paths.warehouse) == contents(world.paths.warehouse)


def test_a_killed_worker(ui: Ui, built: World, world: World, tell: Any) -> None:
    run_id = launched(ui)
    ui.kill_process(worker_of(ui))
    began = time.monotonic()
    ends_well(ui, run_id, built, world)
    tell(f"a killed worker: its retry had succeeded after {time.monotonic() - began:.1f} s")


def test_a_killed_daemon(ui: Ui, built: World, world: World, tell: Any) -> None:
    run_id = launched(ui)
    assert ui.kill("dagster._daemon")
    began = time.monotonic()
    ends_well(ui, run_id, built, world)
    next_run = ui.launch(["features.demand"], partition=str(LAST_DAY))
    assert ui.wait_for([next_run]) == ["SUCCESS"]
    tell(f"a killed daemon: its run and the next one had succeeded after {time.monotonic() - began:.1f} s")


def test_a_killed_webserver(ui: Ui, built: World, world: World, tell: Any) -> None:
    run_id = launched(ui)
    assert ui.kill("orchestration.ui.webserver")
    began = time.monotonic()
    ui.wait_until_up()
    tell(f"a killed webserver: it answered after {time.monotonic() - began:.1f} s")
    ends_well(ui, run_id, built, world)


def test_everything_killed_at_once(ui: Ui, built: World, world: World, tell: Any) -> None:
    run_id = launched(ui)
    assert len(ui.kill()) >= 4
    began = time.monotonic()
    ui.start()
    assert ui.run(run_id)["status"] == "FAILURE"
    ends_well(ui, run_id, built, world)
    tell(f"everything killed at once: the retry had succeeded {time.monotonic() - began:.1f} s after the new start")
