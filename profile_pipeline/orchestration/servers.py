"""The UI: webserver and daemon of one clone, on loopback, started in the right order and stopped together.

Not here: the instance (`instance`), or what runs in it.
"""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from profile_pipeline.errors import ExpectedError
from profile_pipeline.orchestration.instance import end_orphaned_runs, open_instance
from profile_pipeline.paths import CONFIG_VARIABLE, DATA_VARIABLE, Paths

HOST = "127.0.0.1"
START_SECONDS = 180


class ServerError(ExpectedError):
    """The UI can't start; the text says why."""


def serve(paths: Paths, *, port: int, workspace: Path, say: Callable[[str], None]) -> int:
    """Start webserver and daemon, say where they answer, and stop them with this process.

    Raises
    ------
    ServerError
        If the port is busy, the workspace is missing, or a server ends while starting.
    """
    if not workspace.is_file():
        raise ServerError(f"{workspace}: no such file. Start in the project's folder.")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            raise ServerError(
                f"port {port} is in use by another program. Stop it, or name another: make ui PORT={port + 1}"
            ) from None
    instance = open_instance(paths)
    ended = end_orphaned_runs(instance, paths)
    if ended:
        say(f"ended {len(ended)} runs that nobody worked on any more; they are retried")
    instance.dispose()
    environment = os.environ | {
        CONFIG_VARIABLE: str(paths.config),
        DATA_VARIABLE: str(paths.data),
        "DAGSTER_DISABLE_TELEMETRY": "1",
    }
    common = ["-w", str(workspace)]
    webserver = [sys.executable, "-m", "dagster_webserver", "-h", HOST, "-p", str(port), *common]
    daemon = [sys.executable, "-m", "dagster._daemon", "run", *common]
    processes = [subprocess.Popen(command, env=environment, cwd=workspace.parent) for command in (webserver, daemon)]
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    url = f"http://{HOST}:{port}"
    try:
        say("starting the webserver and the daemon …")
        started, has_told = time.monotonic(), False
        while not stopping:
            if any(process.poll() is not None for process in processes):
                raise ServerError("a server ended; what it said stands above")
            if not has_told and _answers(url):
                say(f"the UI answers at {url}; stop it with Ctrl-C")
                has_told = True
            if not has_told and time.monotonic() - started > START_SECONDS:
                raise ServerError(f"no answer at {url} after {START_SECONDS} s")
            time.sleep(0.3)
    finally:
        for process in processes:
            if process.poll() is None:
                process.terminate()
        for process in processes:
            process.wait(timeout=60)
    return 0


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/server_info", timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False
