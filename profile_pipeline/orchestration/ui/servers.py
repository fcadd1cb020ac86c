"""The UI: webserver and daemon of one clone, on loopback, started in the right order, kept alive and stopped together.

Not here: the instance (`instance`), the process that serves (`webserver`), or what runs in it.
"""

import ctypes
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from profile_pipeline.errors import ExpectedError
from profile_pipeline.orchestration.instance import end_orphaned_runs_before_servers, open_instance
from profile_pipeline.paths import CONFIG_VARIABLE, DATA_VARIABLE, Paths
from profile_pipeline.warehouse.lease import holder_of, lease
from profile_pipeline.wording import counted

HOST = "127.0.0.1"
# The same as that of `dagster dev`, which is not there for who has installed the package: it names the package, from where it lies.
WORKSPACE = Path(__file__).with_name("workspace.yaml")
IMPORTED_FROM = Path(__file__).parents[3]
START_SECONDS, STOP_SECONDS = 180, 60
PR_SET_PDEATHSIG = 1
# A server that ends sooner, twice in a row, would only end again.
WORTH_RESTARTING_SECONDS = 30


class ServerError(ExpectedError):
    """The UI can't start; the text says why."""


@dataclass
class Server:
    """One of the processes, started again when it is killed."""

    name: str
    command: list[str]
    environment: dict[str, str]
    lock: int | None = None
    started_at: float = 0.0
    has_ended_soon: bool = False
    process: subprocess.Popen[bytes] | None = field(init=False, default=None)

    def start(self) -> None:
        self.started_at = time.monotonic()
        self.process = subprocess.Popen(
            self.command, env=self.environment, cwd=IMPORTED_FROM, preexec_fn=_end_with_parent,
            pass_fds=() if self.lock is None else (self.lock,),
        )  # fmt: skip

    def keep_alive(self, say: Callable[[str], None], *, is_up: bool) -> None:
        """Start it again if it has ended.

        Parameters
        ----------
        is_up
            The UI has answered: what ends soon after that was killed, and did not fail to start.

        Raises
        ------
        ServerError
            If it ended while starting.
        """
        assert self.process is not None
        status = self.process.poll()
        if status is None:
            return
        ended_soon = time.monotonic() - self.started_at < WORTH_RESTARTING_SECONDS
        if ended_soon and (self.has_ended_soon or not is_up):
            raise ServerError(f"the {self.name} ended with status {status} while starting; what it said stands above")
        self.has_ended_soon = ended_soon
        say(f"the {self.name} ended with status {status}; it is started again")
        self.start()

    def ask_to_stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()

    def stop(self) -> None:
        """Wait until it has stopped, and no longer than it may take."""
        if self.process is None:
            return
        try:
            self.process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _end_with_parent() -> None:
    """Ask Linux to stop this process when its parent is gone, however that ended: nobody else would."""
    # Who started the parent may have it ignored, which is inherited.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def serve(paths: Paths, *, port: int, say: Callable[[str], None], allowed_hosts: Sequence[str] = ()) -> int:
    """Start webserver and daemon, say where they answer, and stop them with this process.

    Parameters
    ----------
    allowed_hosts
        Names beside those of loopback by which the UI may be called, such as that of a proxy with a log-in.

    Raises
    ------
    ServerError
        If the port is busy, a UI of this data folder runs already (two daemons would start everything twice), or a server ends
        while starting.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            raise ServerError(
                f"port {port} is in use by another program. Stop it, or name another: profile-pipeline ui --port {port + 1}"
            ) from None
    holder = holder_of(paths.ui_lock)
    if holder:
        raise ServerError(f"a UI of {paths.data} is running already: {holder}. Use it, or stop it first.")
    with lease(paths.ui_lock, owner=f"the UI at http://{HOST}:{port}", timeout_seconds=1, say=say) as lock:
        return _serve(paths, port=port, say=say, allowed_hosts=allowed_hosts, lock=lock)


def _serve(paths: Paths, *, port: int, say: Callable[[str], None], allowed_hosts: Sequence[str], lock: int) -> int:
    instance = open_instance(paths)
    ended = end_orphaned_runs_before_servers(instance, paths)
    if ended:
        say(f"ended {counted(len(ended), 'run')} that nobody worked on any more, to be retried")
    instance.dispose()
    servers = _servers(paths, port=port, allowed_hosts=allowed_hosts, lock=lock)
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    url = f"http://{HOST}:{port}"
    say("starting the webserver and the daemon …")
    try:
        for server in servers:
            server.start()
        started, has_told = time.monotonic(), False
        while not stopping:
            for server in servers:
                server.keep_alive(say, is_up=has_told)
            if not has_told and _answers(url):
                say(f"the UI answers at {url}; stop it with Ctrl-C")
                has_told = True
            if not has_told and time.monotonic() - started > START_SECONDS:
                raise ServerError(f"no answer at {url} after {START_SECONDS} s")
            time.sleep(0.3)
    finally:
        for server in servers:
            server.ask_to_stop()
        for server in servers:
            server.stop()
    return 0


def _servers(paths: Paths, *, port: int, allowed_hosts: Sequence[str], lock: int) -> list[Server]:
    environment = os.environ | {
        CONFIG_VARIABLE: str(paths.config),
        DATA_VARIABLE: str(paths.data),
        "DAGSTER_DISABLE_TELEMETRY": "1",
    }
    webserver = [
        sys.executable, "-m", "profile_pipeline.orchestration.ui.webserver", "--host", HOST, "--port", str(port), "--workspace", str(WORKSPACE),
        *(part for name in allowed_hosts for part in ("--allow-host", name)),
    ]  # fmt: skip
    daemon = [sys.executable, "-m", "dagster._daemon", "run", "--log-level", "warning", "-w", str(WORKSPACE)]
    return [
        Server(name, command, environment, lock) for name, command in (("webserver", webserver), ("daemon", daemon))
    ]


def _answers(url: str) -> bool:
    # What proxy the environment names is of no use for this machine.
    directly = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with directly.open(f"{url}/server_info", timeout=2) as answer:
            return answer.status == 200
    except (OSError, http.client.HTTPException):
        return False
