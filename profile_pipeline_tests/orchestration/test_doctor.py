"""What `doctor` tells of what killed commands have left, of files of the archive, and how its commands name what they are about."""

import datetime as dt
import shlex
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from profile_pipeline.orchestration.keeping.doctor import examine
from profile_pipeline.paths import Paths
from profile_pipeline.raw.archive import archived_path, describe, store
from profile_pipeline.warehouse.lease import lease
from profile_pipeline_tests.orchestration.small_project import SHOP_COLUMNS, land, runner


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


def test_archived_files_that_are_gone_and_those_of_another_size_are_named(tmp_path: Path) -> None:
    r = runner(tmp_path / "data")
    # A file is known by two names: it is told of once.
    with closing(r.warehouse()) as w:
        for letter, name, n_bytes in (
            ("a", "gone", 3),
            ("b", "short", 1_000),
            ("b", "twice", 1_000),
            ("c", "sound", 3),
        ):
            w.execute(
                "insert into raw.files (file_id, source, path, size_bytes, n_records, n_loaded, n_rejected, n_suppressed, loaded_at, arrived_at,"
                " archived_sha256, status) values ($id, 'shop', $path, $n, 0, 0, 0, 0, now(), now(), $id, 'loaded')",
                {"id": letter * 64, "path": f"shop/{name}.csv", "n": n_bytes},
            )
    for letter in "bc":
        path = archived_path(r.paths.archive, letter * 64)
        path.parent.mkdir(parents=True)
        path.write_bytes(b"abc")
    told = [f for f in examine(r.paths).findings if str(r.paths.archive) in f.what and not f.is_ok]
    short = archived_path(r.paths.archive, "b" * 64)
    assert [f.what for f in told] == [
        f"{r.paths.archive} lacks 1 file that was loaded: shop/gone.csv",
        f"1 file in {r.paths.archive} of another size than was loaded: shop/short.csv ({short}: found 3 bytes, expected 1,000)",
    ]
    assert all(f.remedy.startswith("profile-pipeline restore") for f in told)


def test_archived_files_that_no_table_knows_are_named_unless_they_wait_where_they_landed(tmp_path: Path) -> None:
    land(tmp_path / "data", "shop/a.csv", SHOP_COLUMNS)
    r = runner(tmp_path / "data")
    archived = store(r.paths.landing / "shop" / "a.csv", archive=r.paths.archive)
    describe(archived, source="shop", path="shop/a.csv", arrived_at=dt.datetime(2026, 1, 5), mapping_version="")
    with closing(r.warehouse()) as w:
        assert not w.rows("select 1 from raw.files")
    assert [f for f in examine(r.paths).findings if "of which no table knows" in f.what] == []
    (r.paths.landing / "shop" / "a.csv").unlink()
    (finding,) = [f for f in examine(r.paths).findings if "of which no table knows" in f.what]
    assert "shop/a.csv" in finding.what
    assert finding.remedy.startswith("profile-pipeline run")


@pytest.mark.parametrize("folder", ["rebuilding", "restoring"])
def test_a_command_that_removes_a_folder_names_it_as_a_shell_takes_it(folder: str, tmp_path: Path) -> None:
    paths = runner(tmp_path / "a folder; of ours").paths
    left = paths.data / folder
    left.mkdir()
    (finding,) = [f for f in examine(paths).findings if str(left) in f.what]
    assert shlex.split(finding.remedy.partition("rm -r ")[2]) == [str(left)]


def test_where_there_is_no_configuration_the_command_that_makes_one_is_named(tmp_path: Path) -> None:
    paths = Paths(config=tmp_path / "profile.yaml", data=tmp_path / "data")
    (finding,) = [f for f in examine(paths).findings if not f.is_ok]
    assert f"{paths.config}: no such file" in finding.what
    assert finding.remedy.startswith("profile-pipeline sources add FILE")


HOLDING = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); input()"


def test_a_program_that_has_the_tables_open_is_named_with_what_readers_can_use(tmp_path: Path) -> None:
    r = runner(tmp_path / "data")
    with closing(r.warehouse()):
        pass
    command = [sys.executable, "-c", HOLDING, str(r.paths.warehouse)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout
        assert other.stdout.readline() == "open\n"
        (finding,) = [f for f in examine(r.paths).findings if not f.is_ok]
        other.communicate("")
    assert f"{r.paths.warehouse} is open in another program: " in finding.what
    assert f"(PID {other.pid})" in finding.what
    assert finding.remedy == f"close it; readers use {r.paths.serving}"


def test_tables_that_can_not_be_opened_are_one_finding_with_what_helps(tmp_path: Path) -> None:
    paths = runner(tmp_path / "data").paths
    paths.warehouse.write_bytes(b"no database" * 999)
    (finding,) = [f for f in examine(paths).findings if not f.is_ok]
    assert finding.what.startswith("the warehouse can't be opened: ")
    assert finding.remedy.startswith("profile-pipeline rebuild")
