"""A UI on a copy of the small world, started as `make ui` does, and a browser in front of it."""

import datetime as dt
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.ui_process import BROWSER, DRIVER, Ui, browser
from profile_pipeline_tests.conftest import LAST_DAY, World

HISTORY = [str(LAST_DAY - dt.timedelta(days=n)) for n in range(1, 31)]
SNAPSHOTS = [
    "features.behavior", "features.interests", "features.demand", "features.user_features", "profiles.scores", "profiles.user_profiles", "profiles.tags",
    "applications.recommendations", "applications.audiences", "applications.insights",
]  # fmt: skip


@pytest.fixture(scope="session")
def tell(pytestconfig: pytest.Config) -> Any:
    """Print a measured figure, past pytest's capture."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")

    def say(text: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n   {text}", flush=True)

    return say


@pytest.fixture(scope="package", autouse=True)
def timed(tell: Any) -> Iterator[None]:
    began = time.monotonic()
    yield
    tell(f"tests of the UI took {time.monotonic() - began:.0f} s")


@pytest.fixture(scope="package")
def built(world: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A copy of the small world, to write to."""
    return world.copied(tmp_path_factory.mktemp("ui"))


@pytest.fixture(scope="package")
def ui(built: World, tell: Any) -> Iterator[Ui]:
    started = Ui(built.paths.data, built.paths.config)
    try:
        tell(f"the UI answered after {started.start():.1f} s")
        yield started
        started.stop()
    finally:
        started.kill()


@pytest.fixture(scope="package")
def backfill(ui: Ui) -> str:
    """Thirty days of snapshots, profiles and applications, asked for at once; the daemon works on it while the pages are opened."""
    return ui.backfill(SNAPSHOTS, HISTORY)


@pytest.fixture(scope="package")
def page(ui: Ui) -> Iterator[Any]:
    """The browser. `evil.example` leads to this machine, as a name that was pointed at it would."""
    if not (BROWSER and DRIVER):
        pytest.skip("no chromium and chromedriver on this machine: apt-get install chromium chromium-driver")
    pytest.importorskip("selenium", reason="the extra `ui` is not installed")
    with browser("--host-resolver-rules=MAP evil.example 127.0.0.1") as opened:
        opened.set_page_load_timeout(60)
        yield opened


@pytest.fixture(scope="package")
def reports(built: World) -> Path:
    return built.paths.reports
