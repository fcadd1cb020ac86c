import os
import subprocess
import sys
from pathlib import Path

import pytest

from profile_pipeline.orchestration.ui.servers import ServerError, serve
from profile_pipeline.paths import Paths
from profile_pipeline.warehouse.lease import lease
from profile_pipeline_tests.conftest import ROOT


def reset(data: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "profile_pipeline.cli", "reset", "--yes", "--data", str(data)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=os.environ | {"COLUMNS": "200"})


def test_nothing_is_removed_while_the_ui_of_the_folder_runs(tmp_path: Path) -> None:
    kept = tmp_path / "dagster_home" / "runs.db"
    kept.parent.mkdir()
    kept.touch()
    with lease(tmp_path / "ui.lock", owner="the UI at http://127.0.0.1:3000", timeout_seconds=1, say=print):
        done = reset(tmp_path)
    assert done.returncode == 1
    assert "the UI at http://127.0.0.1:3000, pid" in done.stderr
    assert kept.exists()
    assert reset(tmp_path).returncode == 0
    assert not kept.exists()


def test_a_second_ui_of_one_folder_is_refused(tmp_path: Path) -> None:
    paths = Paths(config=ROOT / "profile.yaml", data=tmp_path)
    with (
        lease(paths.ui_lock, owner="the UI at http://127.0.0.1:3000", timeout_seconds=1, say=print),
        pytest.raises(ServerError, match="is running already: the UI at"),
    ):
        serve(paths, port=0, say=print)
