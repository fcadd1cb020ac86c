"""Which runs are ended when the UI starts: those whose process is gone, and no other."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from profile_pipeline.orchestration.instance import (
    at_work,
    end_orphaned_runs,
    end_orphaned_runs_before_servers,
    join_commands,
    open_instance,
    orphaned_runs,
    prepare_home,
)
from profile_pipeline.orchestration.keeping.doctor import examine
from profile_pipeline.paths import Paths
from profile_pipeline_tests.conftest import ROOT

WORKER = """
import sys, time
from pathlib import Path
from profile_pipeline.orchestration.instance import at_work
from profile_pipeline.paths import Paths
with at_work(Paths(config=Path('profile.yaml'), data=Path(sys.argv[1])), sys.argv[2], say=print):
    print('works', flush=True)
    time.sleep(600)
"""


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(config=ROOT / "profile.yaml", data=tmp_path)


@pytest.fixture
def instance(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    opened = open_instance(paths)
    yield opened
    opened.dispose()


@dg.job
def nothing() -> None:
    pass


def started_run(instance: dg.DagsterInstance) -> str:
    run = instance.create_run_for_job(nothing, status=dg.DagsterRunStatus.STARTED)
    return run.run_id


def status(instance: dg.DagsterInstance, run_id: str) -> str:
    run = instance.get_run_by_id(run_id)
    assert run
    return run.status.value


def test_a_run_without_a_process_is_ended_and_said_how_it_goes_on(instance: dg.DagsterInstance, paths: Paths) -> None:
    run_id = started_run(instance)
    assert [run.run_id for run in orphaned_runs(instance, paths)] == [run_id]
    assert any(not finding.is_ok and run_id[:8] in finding.what for finding in examine(paths).findings)
    assert end_orphaned_runs(instance, paths) == [run_id]
    assert status(instance, run_id) == "FAILURE"
    said = [str(entry.dagster_event and entry.dagster_event.message) for entry in instance.all_logs(run_id)]
    assert any("start its command again" in text for text in said)
    assert end_orphaned_runs(instance, paths) == []


def test_a_run_whose_events_can_not_be_read_any_more_is_ended_like_any_other(
    instance: dg.DagsterInstance, paths: Paths
) -> None:
    run_ids = [started_run(instance) for _ in range(2)]
    instance.dispose()
    (paths.dagster_home / "history" / "runs" / f"{run_ids[0]}.db").write_bytes(b"no database" * 1000)
    opened = open_instance(paths)
    try:
        assert sorted(end_orphaned_runs(opened, paths)) == sorted(run_ids)
        assert [status(opened, run_id) for run_id in run_ids] == ["FAILURE"] * 2
    finally:
        opened.dispose()


def test_the_ui_leaves_runs_of_commands_alone_while_one_is_at_work(instance: dg.DagsterInstance, paths: Paths) -> None:
    with join_commands(instance, paths):
        run_id = started_run(instance)
        assert end_orphaned_runs_before_servers(instance, paths) == []
    assert end_orphaned_runs_before_servers(instance, paths) == [run_id]


@pytest.mark.parametrize("found", [None, ""])
def test_a_home_without_settings_gets_those_that_are_shipped(paths: Paths, found: str | None) -> None:
    settings = paths.dagster_home / "dagster.yaml"
    if found is not None:
        settings.parent.mkdir(parents=True)
        settings.write_text(found, encoding="utf-8")
    prepare_home(paths)
    assert "telemetry: {enabled: false}" in settings.read_text(encoding="utf-8")
    assert sorted(path.name for path in settings.parent.iterdir()) == ["dagster.yaml", "opening.lock"]


def test_what_a_process_left_that_was_killed_while_writing_settings_is_gone_afterwards(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Path, "replace", killed)
        prepare_home(paths)
    prepare_home(paths)
    assert sorted(path.name for path in paths.dagster_home.iterdir()) == ["dagster.yaml", "opening.lock"]


def test_who_is_killed_while_ending_a_run_leaves_no_mark_of_a_run_that_is_over(
    instance: dg.DagsterInstance, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = started_run(instance)
    mark = paths.dagster_home / "working" / f"{run_id}.lock"
    mark.parent.mkdir(exist_ok=True)
    mark.touch()
    marks: list[bool] = []
    monkeypatch.setattr(type(instance), "report_run_failed", lambda *_: marks.append(mark.exists()))
    assert end_orphaned_runs(instance, paths) == [run_id]
    assert marks == [False]


def test_a_run_that_a_process_works_on_goes_on_until_that_is_killed(instance: dg.DagsterInstance, paths: Paths) -> None:
    run_id = started_run(instance)
    command = [sys.executable, "-c", WORKER, str(paths.data), run_id]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout and worker.stdout.readline() == "works\n"
        assert end_orphaned_runs(instance, paths) == []
        assert status(instance, run_id) == "STARTED"
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()
    assert end_orphaned_runs(instance, paths) == [run_id]


def test_an_ended_run_leaves_no_mark(paths: Paths) -> None:
    with at_work(paths, "a-run", say=print):
        assert len(list((paths.dagster_home / "working").iterdir())) == 1
    assert list((paths.dagster_home / "working").iterdir()) == []
