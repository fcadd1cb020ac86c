"""Where backups may lie: nowhere that the installation itself reads, replaces or removes."""

import datetime as dt
from pathlib import Path

import pytest

from profile_pipeline.orchestration.keeping.backing_up import back_up, restore
from profile_pipeline.orchestration.keeping.manifest import BackupError
from profile_pipeline_tests.orchestration.small_project import runner


def take(data: Path, place: Path) -> None:
    r = runner(data)
    back_up(r.settings, r.paths, place, now=dt.datetime(2026, 3, 30), say=lambda _: None)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """An empty data folder with links into it and out of it."""
    data = tmp_path / "data"
    (data / "backups").mkdir(parents=True)
    for link in (data / "linked", data / "backups" / "linked"):
        link.symlink_to(data / "landing")
    (data / "offsite").symlink_to(tmp_path / "another disk")
    return data


@pytest.mark.parametrize(
    "place",
    [
        ".", "landing", "landing/x", "archive", "archive/x", "dagster_home", "reports/x", "exports", "truth", "rebuilding",
        "restoring", "replaced/x", "unknown", "backups/../landing", "linked", "backups/linked/x",
    ],
)  # fmt: skip
def test_a_backup_into_what_the_installation_itself_reads_or_removes_is_refused(place: str, data: Path) -> None:
    with pytest.raises(BackupError) as told:
        take(data, data / place)
    assert f"{data / place} is no place for backups: found it in {data}" in str(told.value)
    assert f"Expected {data}/backups, or a folder outside of the data folder" in str(told.value)
    assert not (data / place / ".lease").exists()


def test_the_data_folder_itself_is_named_and_not_a_folder_in_it(data: Path) -> None:
    with pytest.raises(BackupError) as told:
        take(data, data)
    assert f"found it in {data}, which" in str(told.value)


def test_a_backup_to_where_the_landing_folder_is_linked_is_refused(tmp_path: Path) -> None:
    data, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    data.mkdir()
    (data / "landing").symlink_to(elsewhere)
    with pytest.raises(BackupError, match="is no place for backups"):
        take(data, elsewhere / "x")


def test_a_backup_whose_archive_would_be_the_data_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="is no place for backups"):
        take(tmp_path / "archive", tmp_path)


@pytest.mark.parametrize("place", ["data/backups", "data/backups/nightly", "data/offsite", "elsewhere", "."])
def test_a_backup_below_the_folder_of_backups_or_outside_of_the_data_folder_is_taken(place: str, data: Path) -> None:
    # As far as there is something: of an empty folder nothing is backed up.
    with pytest.raises(BackupError, match="there is nothing to back up"):
        take(data, data.parent / place)


@pytest.mark.parametrize("place", ["restoring", "replaced", "reports", "dagster_home"])
def test_a_backup_that_lies_where_a_restore_removes_is_refused_and_stays(place: str, data: Path) -> None:
    folder = data / place / "backups" / "2026-03-30T000000Z"
    folder.mkdir(parents=True)
    r = runner(data)
    with pytest.raises(BackupError) as told:
        restore(r.settings, r.paths, folder, say=lambda _: None)
    assert f"{folder} lies in {data / place}, which a restore replaces." in str(told.value)
    assert f"move {folder.parent}, with the archive in it, elsewhere first" in str(told.value)
    assert folder.is_dir()
