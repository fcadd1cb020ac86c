"""Servers of the UI that end are started again, unless they would only end again."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from profile_pipeline.orchestration.ui.servers import WORTH_RESTARTING_SECONDS, Server, ServerError


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server("daemon", [sys.executable, "-c", "import time; time.sleep(600)"], {}, tmp_path)
    server.start()
    yield server
    server.process.kill()
    server.process.wait()


def ends(server: Server) -> None:
    server.process.kill()
    server.process.wait()


def test_a_server_killed_soon_after_the_ui_was_up_is_started_again(server: Server) -> None:
    killed = server.process.pid
    ends(server)
    said: list[str] = []
    server.keep_alive(said.append, is_up=True)
    assert server.process.pid != killed
    assert server.process.poll() is None
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
    assert server.process.poll() is None
