"""What `doctor` tells of what killed commands have left."""

from pathlib import Path

import pytest

from profile_pipeline.orchestration.keeping.doctor import examine
from profile_pipeline.paths import Paths
from profile_pipeline.warehouse.lease import lease
from profile_pipeline_tests.orchestration.small_project import runner


@pytest.mark.parametrize(
    ("folder", "command"), [("rebuilding", "profile-pipeline rebuild"), ("restoring", "profile-pipeline restore"), ("replaced", "profile-pipeline restore")]
)  # fmt: skip
def test_what_a_killed_command_has_left_is_named_with_its_size_and_what_helps(
    folder: str, command: str, tmp_path: Path
) -> None:
    paths: Paths = runner(tmp_path / "data").paths
    left = paths.data / folder
    left.mkdir()
    (left / "profile.duckdb").write_bytes(bytes(2_500_000))
    (finding,) = [f for f in examine(paths).findings if str(left) in f.what]
    assert not finding.is_ok
    assert "2.5 MB" in finding.what
    assert finding.remedy.startswith(command)
    # Whoever holds the lease is at work there.
    with lease(paths.warehouse.with_suffix(".duckdb.lease"), owner="a command", timeout_seconds=0, say=print):
        assert [f for f in examine(paths).findings if str(left) in f.what] == []
