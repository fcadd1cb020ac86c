"""Servers of the UI that end are started again, unless they would only end again."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from profile_pipeline.orchestration.ui import servers
from profile_pipeline.orchestration.ui.servers import WORTH_RESTARTING_SECONDS, Server, ServerError
from profile_pipeline.warehouse.lease import holder_of, lease
from profile_pipeline_tests.conftest import ROOT

LOCATIONS = """load_from:
  - python_module:
      module_name: profile_pipeline.definitions
      working_directory: .
      location_name: profile_pipeline
"""
SLEEPING = [sys.executable, "-c", "import time; time.sleep(600)"]


def test_the_ui_and_dagster_dev_load_the_same_and_call_it_the_same() -> None:
    assert (ROOT / "workspace.yaml").read_text(encoding="utf-8") == LOCATIONS
    assert servers.WORKSPACE.read_text(encoding="utf-8") == LOCATIONS


def test_a_server_finds_the_code_from_whatever_folder_the_ui_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "profile_pipeline.py").write_text("raise SystemExit('a file of the user was taken for the code')")
    monkeypatch.chdir(tmp_path)
    server = Server("daemon", [sys.executable, "-m", "profile_pipeline.cli", "--help"], {"TERM": "dumb"})
    server.start()
    assert process_of(server).wait(timeout=60) == 0


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server("daemon", SLEEPING, {})
    server.start()
    yield server
    ends(server)


def ends(server: Server) -> None:
    assert server.process
    server.process.kill()
    server.process.wait()


def process_of(server: Server) -> subprocess.Popen[bytes]:
    assert server.process
    return server.process


def test_a_server_killed_soon_after_the_ui_was_up_is_started_again(server: Server) -> None:
    killed = process_of(server).pid
    ends(server)
    said: list[str] = []
    server.keep_alive(said.append, is_up=True)
    assert process_of(server).pid != killed
    assert process_of(server).poll() is None
    assert said == ["the daemon ended with status -9; it is started again"]


def test_a_server_that_ends_soon_twice_in_a_row_is_given_up(server: Server) -> None:
    ends(server)
    server.keep_alive(print, is_up=True)
    ends(server)
    with pytest.raises(ServerError, match="the daemon ended with status -9 while starting"):
        server.keep_alive(print, is_up=True)


def test_a_server_that_ends_before_the_ui_is_up_has_failed_to_start(server: Server) -> None:
    ends(server)
    with pytest.raises(ServerError, match="while starting"):
        server.keep_alive(print, is_up=False)


def test_a_server_that_lived_long_is_started_again_each_time(server: Server) -> None:
    for _ in range(3):
        server.started_at -= WORTH_RESTARTING_SECONDS
        ends(server)
        server.keep_alive(print, is_up=True)
    assert process_of(server).poll() is None


def test_the_lock_of_the_ui_is_held_as_long_as_one_of_its_servers_lives(tmp_path: Path) -> None:
    path = tmp_path / "ui.lock"
    with lease(path, owner="the UI", timeout_seconds=0, say=print) as lock:
        server = Server("daemon", SLEEPING, {}, lock)
        server.start()
    assert "the UI" in str(holder_of(path))
    ends(server)
    assert holder_of(path) is None


STARTING = f"""
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
from profile_pipeline.orchestration.ui.servers import Server
server = Server("daemon", {SLEEPING}, {{}})
server.start()
print(server.process.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux stops a process with its parent")
def test_a_server_ends_with_who_started_it_however_that_ends() -> None:
    parent = subprocess.Popen([sys.executable, "-c", STARTING], stdout=subprocess.PIPE, cwd=ROOT)
    assert parent.stdout
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 20
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_alive(pid)


def is_alive(pid: int) -> bool:
    """Whether it runs: one that has ended may wait for who adopted it."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return False


def test_a_server_that_does_not_stop_when_asked_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "STOP_SECONDS", 0.5)
    deaf = "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); open(sys.argv[1], 'w'); time.sleep(600)"
    server = Server("daemon", [sys.executable, "-c", deaf, str(tmp_path / "deaf")], {})
    server.start()
    while not (tmp_path / "deaf").exists():
        time.sleep(0.05)
    server.ask_to_stop()
    server.stop()
    assert process_of(server).returncode == -signal.SIGKILL
