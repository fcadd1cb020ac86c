"""Dagster's own instance under the data folder: made, initialised before any server starts, orphaned runs ended.

Not here: servers (`servers`), or what runs.
"""

import os
from importlib import resources
from pathlib import Path

import dagster as dg

from profile_pipeline.orchestration.table_assets import key_of
from profile_pipeline.paths import Paths
from profile_pipeline.warehouse.lease import holder_of

HOME_VARIABLE = "DAGSTER_HOME"
WORKING = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


def prepare_home(paths: Paths) -> Path:
    """Make the home with the shipped settings, where there is none, and point Dagster at it."""
    home = paths.dagster_home
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    settings = home / "dagster.yaml"
    if not settings.exists():
        shipped = resources.files("profile_pipeline.orchestration") / "dagster.yaml"
        settings.write_text(shipped.read_text(encoding="utf-8"), encoding="utf-8")
    os.environ[HOME_VARIABLE] = str(home)
    return home


def open_instance(paths: Paths) -> dg.DagsterInstance:
    """Return the instance, its databases created: two servers that create them at once would break the home for good."""
    prepare_home(paths)
    instance = dg.DagsterInstance.get()
    instance.get_runs(limit=1)
    instance.all_instigator_state()
    instance.fetch_materializations(key_of("raw.events"), limit=1)
    return instance


def end_orphaned_runs(instance: dg.DagsterInstance, paths: Paths) -> list[str]:
    """End runs that no process works on any more, so that they are retried; return their ids.

    Called before the servers start. A worker that outlived its server holds the lease or will take it: then nothing is ended.
    """
    if holder_of(paths.warehouse.with_suffix(".duckdb.lease")) is not None:
        return []
    ended = []
    for run in instance.get_runs(dg.RunsFilter(statuses=WORKING)):
        instance.report_run_failed(run, "The machine or its server ended while this run was working; it is retried.")
        ended.append(run.run_id)
    return ended
