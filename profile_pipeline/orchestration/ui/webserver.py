"""The process that serves the UI: Dagster's webserver behind the guard. Started by `servers`, never by hand.

Not here: what the guard refuses (`guard`), or starting and stopping (`servers`).
"""

import argparse
from pathlib import Path

import dagster as dg
import uvicorn
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster._utils.interrupts import setup_interrupt_handlers
from dagster_webserver.app import create_app_from_workspace_process_context
from dagster_webserver.version import __version__

from profile_pipeline.orchestration.ui.guard import LOOPBACK, guarded
from profile_pipeline.paths import Paths

POLLED_EVERY_MILLISECONDS = 2000


def main() -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", required=True, type=int)
    parser.add_argument("--workspace", required=True, type=Path)
    parser.add_argument("--allow-host", action="append", default=[])
    asked = parser.parse_args()
    reports = Paths.from_environment().reports
    reports.mkdir(parents=True, exist_ok=True)
    setup_interrupt_handlers()
    with (
        dg.DagsterInstance.get() as instance,
        WorkspaceProcessContext(
            instance, workspace_load_target=WorkspaceFileTarget([str(asked.workspace)]), version=__version__
        ) as workspace,
    ):
        app = create_app_from_workspace_process_context(workspace, live_data_poll_rate=POLLED_EVERY_MILLISECONDS)
        app = guarded(app, hosts={*LOOPBACK, *(name.lower() for name in asked.allow_host)}, reports=reports)
        uvicorn.run(app, host=asked.host, port=asked.port, log_level="warning", server_header=False)


if __name__ == "__main__":
    main()
