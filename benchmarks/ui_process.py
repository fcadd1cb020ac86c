"""The UI as a user starts it, driven from outside: its processes, its GraphQL, and a headless browser in front of it.

Tests of the UI and the pictures of the README are made with it. Not here: what is asked of it.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LOCATION = {"repositoryLocationName": "profile_pipeline", "repositoryName": "__repository__"}
UNFINISHED = ("NOT_STARTED", "QUEUED", "STARTING", "STARTED", "CANCELING")
BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--hide-scrollbars",
)  # fmt: skip

LAUNCH_RUN = """mutation ($params: ExecutionParams!) { launchRun(executionParams: $params) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
LAUNCH_BACKFILL = """mutation ($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
RUN = "query ($id: ID!) { runOrError(runId: $id) { ... on Run { runId status tags { key value } startTime endTime assetMaterializations { assetKey { path } partition } } } }"
RUNS = "query ($filter: RunsFilter) { runsOrError(filter: $filter) { ... on Runs { results { runId status jobName parentRunId } } } }"
BACKFILL = "query ($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status runs { runId status } } } }"


class UiError(Exception):
    """The UI did not do what was asked; the text is what it said."""


@dataclass
class Ui:
    """A UI on a data folder of its own."""

    data: Path
    config: Path
    port: int = field(default_factory=lambda: free_port())
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, *, patience_seconds: float = 180) -> float:
        """Start it as a user does, from the data folder, where nothing of the code lies; return how many seconds it took until it answered with the code loaded."""
        began = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "profile_pipeline.cli", "ui", "--port", str(self.port)], cwd=self.data, start_new_session=True, stdout=subprocess.DEVNULL,
            stderr=(self.data / "ui.log").open("ab"), env=os.environ | {"PROFILE_PIPELINE_DATA": str(self.data), "PROFILE_PIPELINE_CONFIG": str(self.config)},
        )  # fmt: skip
        self.wait_until_up(patience_seconds)
        return time.monotonic() - began

    def wait_until_up(self, patience_seconds: float = 180) -> None:
        def is_up() -> bool:
            with contextlib.suppress(OSError, UiError):
                asked = "{ repositoriesOrError { ... on RepositoryConnection { nodes { name } } } }"
                return bool(self.graphql(asked)["repositoriesOrError"].get("nodes"))
            return False

        until(is_up, patience_seconds, f"{self.url} does not answer; see {self.data / 'ui.log'}", every_seconds=0.3)

    def stop(self) -> None:
        """Stop it as Ctrl-C does."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(timeout=90)

    def descendants(self) -> dict[int, str]:
        """The processes of this UI, workers of runs included, with their command lines: those whose environment names its data."""
        mine = f"PROFILE_PIPELINE_DATA={self.data}".encode()
        found = {}
        for folder in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                if mine in (folder / "environ").read_bytes().split(b"\0"):
                    found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        return found

    def kill_process(self, pid: int) -> None:
        """Kill -9 one of its processes."""
        assert pid in self.descendants()
        os.kill(pid, signal.SIGKILL)

    def kill(self, part: str = "") -> list[int]:
        """Kill -9 the processes whose command line holds `part`: all of them, where it is empty."""
        killed = []
        for pid, command in self.descendants().items():
            if part in command:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)
        if self.process:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=0.5)
        return killed

    def graphql(self, query: str, **variables: Any) -> dict[str, Any]:
        request = urllib.request.Request(
            f"{self.url}/graphql",
            json.dumps({"query": query, "variables": variables}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            told = json.loads(answer.read())
        if told.get("errors"):
            raise UiError(json.dumps(told["errors"])[:2000])
        return told["data"]

    def launch(self, assets: Sequence[str], *, partition: str = "", job: str = "__ASSET_JOB", **tags: str) -> str:
        """Start a run of some assets; return its id."""
        told = {name.replace("__", "/"): value for name, value in tags.items()}
        told |= {"dagster/partition": partition} if partition else {}
        selection = [{"path": name.split(".")} for name in assets]
        params = {
            "selector": {**LOCATION, "jobName": job, "assetSelection": selection},
            "runConfigData": {},
            "mode": "default",
            "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in told.items()]},
        }
        answer = self.graphql(LAUNCH_RUN, params=params)["launchRun"]
        if answer["__typename"] != "LaunchRunSuccess":
            raise UiError(json.dumps(answer))
        return answer["run"]["runId"]

    def backfill(self, assets: Sequence[str], partitions: Sequence[str]) -> str:
        """Start a backfill; return its id."""
        params = {"assetSelection": [{"path": name.split(".")} for name in assets], "partitionNames": list(partitions)}
        answer = self.graphql(LAUNCH_BACKFILL, params=params)["launchPartitionBackfill"]
        if answer["__typename"] != "LaunchBackfillSuccess":
            raise UiError(json.dumps(answer))
        return answer["backfillId"]

    def run(self, run_id: str) -> dict[str, Any]:
        return self.graphql(RUN, id=run_id)["runOrError"]

    def runs(self, **wanted: Any) -> list[dict[str, Any]]:
        return self.graphql(RUNS, filter=wanted)["runsOrError"]["results"]

    def wait_for(self, run_ids: Sequence[str], *, patience_seconds: float = 600) -> list[str]:
        """Wait until runs have ended; return their statuses."""

        def ended() -> list[str]:
            statuses = [self.run(run_id)["status"] for run_id in run_ids]
            return [] if set(statuses) & set(UNFINISHED) else statuses

        return until(ended, patience_seconds, f"runs {', '.join(run_ids)} did not end")

    def wait_for_backfill(self, backfill_id: str, *, patience_seconds: float = 600) -> dict[str, Any]:
        """Wait until a backfill has ended; return its status and runs."""

        def ended() -> dict[str, Any] | None:
            told = self.graphql(BACKFILL, id=backfill_id)["partitionBackfillOrError"]
            return told if told["status"] not in ("REQUESTED", "CANCELING", "FAILING") else None

        return until(ended, patience_seconds, f"backfill {backfill_id} did not end")


def until(condition: Any, patience_seconds: float, otherwise: str, *, every_seconds: float = 0.5) -> Any:
    """Wait until a condition gives something true, and return that.

    Raises
    ------
    UiError
        With `otherwise`, after so many seconds.
    """
    end = time.monotonic() + patience_seconds
    while not (found := condition()):
        if time.monotonic() > end:
            raise UiError(f"{otherwise} within {patience_seconds:.0f} s")
        time.sleep(every_seconds)
    return found


def free_port() -> int:
    """Return a port of loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def browser(*flags: str, width: int = 1600, height: int = 1000) -> Iterator[Any]:
    """A headless Chromium with a profile of its own."""
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = Options()
        options.binary_location = BROWSER
        for flag in (*FLAGS, *flags, f"--window-size={width},{height}", f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        driver = webdriver.Chrome(options=options, service=Service(DRIVER))
        try:
            yield driver
        finally:
            driver.quit()
