"""The same files give the same tables, whatever the machine: threads, time zone, hash seed, locale, one run or a run a day."""

import contextlib
import locale
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from profile_pipeline_tests.conftest import ROOT
from profile_pipeline_tests.faults.tiny_world import differences, logical_hashes
from profile_pipeline_tests.faults.trained_world import MADE_OF_MODELS, N_DAYS, write_trained_world
from profile_pipeline_tests.torture import IS_TORTURE

pytestmark = [pytest.mark.faults, pytest.mark.timeout(7200 if IS_TORTURE else 900)]
# One process each: what a process reads of its surroundings it reads at its start.
N_ALONE = N_DAYS if IS_TORTURE else 5


def first_locale_here(*names: str) -> str:
    """Return the first that this machine has: one that it lacks would be C under another name."""
    kept = locale.setlocale(locale.LC_ALL)
    try:
        for name in names:
            with contextlib.suppress(locale.Error):
                locale.setlocale(locale.LC_ALL, name)
                return name
    finally:
        locale.setlocale(locale.LC_ALL, kept)
    raise AssertionError(f"none of {names} is here")


# Chinese has another order, Turkish another lower case of I; where neither is installed, the plain one of UTF-8 beside C.
LOCALE = first_locale_here("zh_CN.UTF-8", "tr_TR.UTF-8", "C.UTF-8", "C")
VARIATIONS: dict[str, tuple[dict[str, str], int, int]] = {
    "one thread, Shanghai": ({"TZ": "Asia/Shanghai", "PYTHONHASHSEED": "0"}, 1, 0),
    f"four threads, New York, locale {LOCALE}": (
        {"TZ": "America/New_York", "LC_ALL": LOCALE, "LANG": LOCALE, "PYTHONHASHSEED": "1"},
        4,
        0,
    ),
    "days by themselves, locale C": (
        {"TZ": "UTC", "LC_ALL": "C", "LANG": "C", "PYTHONHASHSEED": "2"},
        2,
        N_ALONE,
    ),
}
BUILD = """
import datetime as dt, sys
from pathlib import Path
from profile_pipeline.orchestration.running import Runner
from profile_pipeline.orchestration.jobs import DAILY
from profile_pipeline.orchestration.steps import FEATURE_STAGES
from profile_pipeline.paths import Paths
from profile_pipeline.settings_file import load_settings
data, threads, n_alone = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
settings = load_settings(data / "profile.yaml").model_copy(update={"threads": threads, "stable_seconds": 0.0})
r = Runner(settings, Paths(config=data / "profile.yaml", data=data), lambda _: None)
r.ingest()
together, alone = r.days[: len(r.days) - n_alone], r.days[len(r.days) - n_alone :]
for first, last in [*((together[0], together[-1]) for _ in together[:1]), *((day, day) for day in alone)]:
    r.execute(DAILY, first=first, last=last, groups=FEATURE_STAGES)
r.train(r.weeks[-2:])
r.build_profiles(r.days[-1:])
r.build_metrics(r.days[0], r.days[-1])
r.instance.dispose()
"""


def built(
    data: Path, landed: Path, environment: dict[str, str], threads: int, n_alone: int
) -> dict[str, tuple[int, str]]:
    """Build a world in a process of its own; return its tables' hashes."""
    shutil.copytree(landed, data)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", BUILD, str(data), str(threads), str(n_alone)], capture_output=True, text=True, cwd=ROOT, env=os.environ | environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return logical_hashes(data / "profile.duckdb")


@pytest.fixture(scope="module")
def landed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("landed")
    write_trained_world(folder)
    return folder


@pytest.fixture(scope="module")
def expected(landed: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    """Two threads, in the zone and locale of this machine, as one range."""
    return built(tmp_path_factory.mktemp("expected") / "data", landed, {}, 2, 0)


@pytest.mark.parametrize("variation", VARIATIONS)
def test_the_tables_do_not_depend_on(
    variation: str, landed: Path, expected: dict[str, tuple[int, str]], tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:  # fmt: skip
    record_property("told", variation)
    assert differences(built(tmp_path / "data", landed, *VARIATIONS[variation]), expected) == []
    full = {table for table, (n_rows, _) in expected.items() if n_rows}
    assert {"cleaned.events", "features.user_features", "profiles.user_profiles", *MADE_OF_MODELS} <= full
    assert expected["features.stale_days"][0] == 0
