"""Ctrl-C: one line, the exit status of shells, and the same command goes on."""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from profile_pipeline.warehouse.lease import holder_of
from profile_pipeline_tests.conftest import ROOT
from profile_pipeline_tests.orchestration.small_project import CONFIG, build, day, deliver, rows, runner
from profile_pipeline_tests.orchestration.test_rebuilding import environment
from profile_pipeline_tests.torture import torture_only

pytestmark = pytest.mark.faults
# Three days, and no model to train.
SHORT = re.sub(r"models:.*(?=tags:)", "", CONFIG, flags=re.DOTALL).replace("end: 2026-03-01", "end: 2026-01-07")
# Seconds within one query, which the engine does not leave before its end.
SLOW = "with recursive t(i) as (select 1 union all select i + 1 from t where i < 200000) select count(*) from t"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    deliver(tmp_path / "data", range(3))
    (tmp_path / "data" / "profile.yaml").write_text(SHORT, encoding="utf-8")
    return tmp_path / "data"


def interrupted(data: Path, *arguments: str, while_held_by: str) -> subprocess.CompletedProcess[str]:
    """Start a command in a group of its own, as a terminal does, and interrupt the group once the warehouse is held."""
    child = subprocess.Popen(
        [sys.executable, "-m", "profile_pipeline.cli", *arguments], cwd=ROOT, env=environment(data), start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    while while_held_by not in (holder_of(data / "profile.duckdb.lease") or ""):
        assert child.poll() is None
        time.sleep(0.02)
    time.sleep(0.3)
    os.killpg(child.pid, signal.SIGINT)
    said, complained = child.communicate()
    return subprocess.CompletedProcess(child.args, child.returncode, said, complained)


def assert_one_line(ended: subprocess.CompletedProcess[str]) -> None:
    assert ended.returncode == 130, ended
    assert ended.stderr.splitlines()[-1].startswith(
        "Interrupted. What was committed is kept: run the same command again"
    )
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("job", [pytest.param("ingest", marks=torture_only), "daily"])
def test_a_run_that_is_interrupted_says_so_in_a_line_and_the_same_command_goes_on(job: str, data: Path) -> None:
    assert_one_line(interrupted(data, "run", while_held_by=f"({job})"))
    build(data, SHORT)
    assert rows(data / "profile.duckdb", "select max(as_of_date) from profiles.user_profiles") == [(day(2),)]


def test_a_query_that_is_interrupted_says_so_in_a_line(data: Path) -> None:
    with closing(runner(data, SHORT).warehouse()) as w:
        assert w.has_table("raw.files")
    assert_one_line(interrupted(data, "sql", SLOW, while_held_by="profile-pipeline sql"))
