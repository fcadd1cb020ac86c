"""Dagster's own instance under the data folder: made, initialised before any server starts, orphaned runs known and ended.

Not here: servers (`servers`), or what runs.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import BinaryIO

import dagster as dg
from dagster._core.instance.ref import InstanceRef
from sqlalchemy.exc import DatabaseError

from profile_pipeline.errors import ExpectedError
from profile_pipeline.orchestration.table_assets import key_of
from profile_pipeline.paths import Paths
from profile_pipeline.warehouse.lease import holder_of, lease

BATCH_VARIABLE, BATCH_SIZE = "DAGSTER_EVENT_BATCH_SIZE", "500"
HOME_VARIABLE = "DAGSTER_HOME"
# A command prints to its own terminal. Captured, that would be kept in the home, and each run would start four processes for it, which
# print their stacks when Ctrl-C ends them.
NOT_CAPTURED = {
    "compute_logs": {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"}
}
WORKING = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


class RunAtWorkError(ExpectedError):
    """A run is at work that must not be."""


@contextmanager
def _turn(home: Path) -> Iterator[None]:
    """Let one process at a time make what a home lacks."""
    with (home / "opening.lock").open("ab") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        yield


def prepare_home(paths: Paths) -> Path:
    """Make the home with the shipped settings, where there is none, and point Dagster at it."""
    home = paths.dagster_home
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    settings = home / "dagster.yaml"
    with _turn(home):
        # An empty one would mean Dagster's own settings, which send telemetry.
        if not settings.exists() or not settings.stat().st_size:
            shipped = resources.files("profile_pipeline.orchestration") / "dagster.yaml"
            # Of one name: what a killed process leaves is written over by the next.
            whole = settings.with_suffix(".tmp")
            whole.write_text(shipped.read_text(encoding="utf-8"), encoding="utf-8")
            whole.replace(settings)
    os.environ[HOME_VARIABLE] = str(home)
    # A run's days are recorded together: a quarter of what Dagster costs.
    os.environ.setdefault(BATCH_VARIABLE, BATCH_SIZE)
    return home


def open_instance(paths: Paths) -> dg.DagsterInstance:
    """Return the instance for this process, its databases created, by one process at a time: two that create them at once fail over
    each other's tables, and break the home for good. Runs of the servers open it by its home, and have what they print captured.
    """
    home = prepare_home(paths)
    with _turn(home):
        instance = dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home), overrides=NOT_CAPTURED))
        instance.get_runs(limit=1)
        instance.all_instigator_state()
        instance.fetch_materializations(key_of("raw.events"), limit=1)
    return instance


def _mark_of(paths: Paths, run_id: str) -> Path:
    return paths.dagster_home / "working" / f"{run_id}.lock"


@contextmanager
def at_work(paths: Paths, run_id: str, *, say: Callable[[str], None]) -> Iterator[None]:
    """Mark that this process works on a run, for as long as it lives: a kill frees the lock, whatever the log says of the run.

    Dagster itself can't tell after a restart. The lease does not tell it either: training runs without.
    """
    mark = _mark_of(paths, run_id)
    with lease(mark, owner=f"run {run_id}", timeout_seconds=0, say=say):
        yield
        mark.unlink(missing_ok=True)


def require_no_run(paths: Paths) -> None:
    """Refuse to replace what a run builds on, also one that has let the lease go while its models train.

    Raises
    ------
    RunAtWorkError
        With the runs.
    """
    marks = sorted((paths.dagster_home / "working").glob("*.lock"))
    found = [holder for mark in marks if (holder := holder_of(mark))]
    if found:
        raise RunAtWorkError(
            f"{'; '.join(found)}: at work in {paths.data}, and would write what it began with. Wait for it or stop it, then run again."
        )


def orphaned_runs(instance: dg.DagsterInstance, paths: Paths) -> list[dg.DagsterRun]:
    """Return the runs that are marked as working while no process works on them."""
    return [
        run
        for run in instance.get_runs(dg.RunsFilter(statuses=WORKING))
        if holder_of(_mark_of(paths, run.run_id)) is None
    ]


def join_commands(instance: dg.DagsterInstance, paths: Paths) -> BinaryIO:
    """Say that a command works here for as long as the returned file is open; the only one ends what killed commands have left.

    A command that has just begun a run may not have marked it yet, so runs are judged only while there is no other command.
    """
    joined = (paths.dagster_home / "commands.lock").open("ab")
    if _is_only(joined):
        end_orphaned_runs(instance, paths, of_servers=False)
    fcntl.flock(joined, fcntl.LOCK_SH)
    return joined


def end_orphaned_runs_before_servers(instance: dg.DagsterInstance, paths: Paths) -> list[str]:
    """End what no process works on any more, before the servers start; a command that is at work has its runs left alone."""
    with (paths.dagster_home / "commands.lock").open("ab") as joined:
        return end_orphaned_runs(instance, paths, of_commands=_is_only(joined))


def _is_only(joined: BinaryIO) -> bool:
    try:
        fcntl.flock(joined, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def end_orphaned_runs(
    instance: dg.DagsterInstance, paths: Paths, *, of_commands: bool = True, of_servers: bool = True
) -> list[str]:
    """End the runs that no process works on any more, so that they are retried; return their ids.

    A worker that outlived its server goes on.

    Parameters
    ----------
    of_commands, of_servers
        Whose runs: one that is starting has no mark yet.
    """
    ended = []
    for run in orphaned_runs(instance, paths):
        if not (of_servers if run.remote_job_origin else of_commands):
            continue
        again = "it is retried" if run.remote_job_origin else "start its command again, it goes on where it was"
        # The mark first: who is killed between the two leaves a run that is ended next time, and not a mark of no run.
        _mark_of(paths, run.run_id).unlink(missing_ok=True)
        why = f"The machine or its server ended while this run was working; {again}."
        try:
            instance.report_run_failed(run, why)
        except DatabaseError:
            # One run whose events can't be read any more must not stop every other: they are laid aside.
            for events in (paths.dagster_home / "history" / "runs").glob(f"{run.run_id}.db*"):
                events.rename(events.with_name(f"damaged-{events.name}.moved"))
            instance.report_run_failed(run, why)
        ended.append(run.run_id)
    return ended
