"""What a run works with: one warehouse for all its steps.

Here belongs the life of the connection within a run. Not here: SQL, or what is published (`applications.publish` says).
"""

from collections.abc import Callable, Iterator

import dagster as dg

from profile_pipeline.applications.publish import PUBLISHED
from profile_pipeline.orchestration.catalogue import all_tables
from profile_pipeline.settings import Paths, Settings
from profile_pipeline.warehouse.duckdb import Warehouse
from profile_pipeline.warehouse.serving import publish


def open_warehouse(settings: Settings, paths: Paths, *, owner: str, say: Callable[[str], None]) -> Warehouse:
    """Return the warehouse of a configuration; nothing is opened before it is used, and then all tables are there."""
    return Warehouse(
        paths.warehouse,
        owner=owner,
        say=say,
        tables=all_tables(settings),
        lease_timeout_seconds=settings.lease_timeout_seconds,
        memory_limit=settings.memory_limit,
        threads=settings.threads,
    )


def warehouse_resource(settings: Settings, paths: Paths) -> dg.ResourceDefinition:
    """Return the resource: one warehouse a run, opened at first use; at the run's end what it changed is published."""

    @dg.resource(description="The DuckDB warehouse, under its lease.")
    def warehouse(context: dg.InitResourceContext) -> Iterator[Warehouse]:
        run = context.run
        owner = f"run {run.run_id[:8]} ({run.job_name})" if run else "no run"
        opened = open_warehouse(settings, paths, owner=owner, say=context.log.info if context.log else print)
        try:
            yield opened
        finally:
            try:
                # Also after a failure: what is committed is whole, and readers see no more than the live file holds.
                if opened.has_written:
                    publish(opened, paths.serving, PUBLISHED)
            finally:
                opened.close()

    return warehouse
