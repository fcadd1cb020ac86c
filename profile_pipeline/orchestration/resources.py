"""What a run works with: one warehouse for all its steps.

Here belongs the life of the connection within a run. Not here: SQL, or what is published (`applications.publish` says).
"""

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import nullcontext

import dagster as dg

from profile_pipeline.applications.publish import PER_PERSON, published
from profile_pipeline.orchestration.building.days import RECOVER_TAG
from profile_pipeline.orchestration.catalogue import all_tables
from profile_pipeline.orchestration.instance import at_work
from profile_pipeline.orchestration.keeping.built_with import refuse_newer, require_same
from profile_pipeline.orchestration.table_assets import key_of
from profile_pipeline.paths import Paths
from profile_pipeline.settings import Settings
from profile_pipeline.warehouse.duckdb import Warehouse
from profile_pipeline.warehouse.serving import publish


def open_warehouse(
    settings: Settings,
    paths: Paths,
    *,
    owner: str,
    say: Callable[[str], None],
    on_first_write: Callable[[Warehouse], None] = lambda _: None,
    is_read_only: bool = False,
) -> Warehouse:
    """Return the warehouse of a configuration; nothing is opened before it is used, and then all tables are there, unless it
    is only read.
    """
    return Warehouse(
        paths.warehouse,
        owner=owner,
        say=say,
        tables=all_tables(settings),
        lease_timeout_seconds=settings.lease_timeout_seconds,
        memory_limit=settings.memory_limit,
        threads=settings.threads,
        on_first_write=on_first_write,
        on_open=refuse_newer,
        is_read_only=is_read_only,
    )


def publish_if_behind(warehouse: Warehouse, paths: Paths, instance: dg.DagsterInstance) -> None:
    """Publish if the warehouse may have changed since the last time; a mark on disk says so, so a killed run forgets nothing."""
    if paths.serving_is_behind.exists():
        publish(warehouse, paths.serving, published(_whole_day(warehouse, instance)))
        paths.serving_is_behind.unlink(missing_ok=True)


def _whole_day(warehouse: Warehouse, instance: dg.DagsterInstance) -> dt.date | None:
    """Return the newest day of which all that readers see of a person was built; None where there is no such day.

    A run that failed, or built some of the tables only, leaves newer days that lack others.
    """
    built = [set(instance.get_materialized_partitions(key_of(table))) for table in PER_PERSON]
    days: dt.date | None = warehouse.scalar(
        "select max(as_of_date) from profiles.user_profiles where list_contains($days, cast(as_of_date as varchar))",
        {"days": sorted(set.intersection(*built))},
    )
    return days


def warehouse_resource(
    settings: Settings,
    paths: Paths,
    *,
    at_the_end: Callable[[Warehouse, Paths, dg.DagsterInstance], None] = publish_if_behind,
    say: Callable[[str], None] | None = None,
) -> dg.ResourceDefinition:
    """Return the resource: one warehouse a run, opened at first use; at the run's end what it changed is published.

    Before the first statement that changes something the tables are held against the configuration.

    Parameters
    ----------
    say
        Where waiting is told; else in the log of the run.
    """

    @dg.resource(description="The DuckDB warehouse, under its lease.")
    def warehouse(context: dg.InitResourceContext) -> Iterator[Warehouse]:
        run = context.run
        reads_again = run is not None and RECOVER_TAG in run.tags

        def check_and_mark(w: Warehouse) -> None:
            require_same(w, settings, paths, sources_too=not reads_again)
            paths.serving_is_behind.touch()

        owner = f"run {run.run_id[:8]} ({run.job_name})" if run else "no run"
        tell = say or (context.log.info if context.log else print)
        with at_work(paths, run.run_id, say=tell) if run else nullcontext():
            opened = open_warehouse(settings, paths, owner=owner, say=tell, on_first_write=check_and_mark)
            try:
                yield opened
            finally:
                try:
                    # Also after a failure: what is committed is whole, and readers see no more than the live file holds.
                    if context.instance:
                        at_the_end(opened, paths, context.instance)
                finally:
                    opened.close()

    return warehouse
