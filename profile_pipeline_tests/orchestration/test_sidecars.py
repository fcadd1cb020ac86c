"""Sidecars of the archive: what they say of files holds, and one that can't be read is named with what helps while everything else goes on."""

import datetime as dt
import re
import shutil
from contextlib import closing
from pathlib import Path

import pytest

from profile_pipeline.orchestration.keeping.backing_up import IncompleteBackupError, back_up, restore
from profile_pipeline.orchestration.keeping.doctor import examine
from profile_pipeline.orchestration.keeping.rebuilding import rebuild
from profile_pipeline.orchestration.steps import RunFailedError
from profile_pipeline.orchestration.verifying.missing import missing
from profile_pipeline.orchestration.verifying.verify import remedies
from profile_pipeline.paths import Paths
from profile_pipeline.raw.archive import DamagedArchiveError, archived_path, deliveries, describe, sidecar_of, store
from profile_pipeline_tests.orchestration.small_project import (
    CONFIG,
    contents,
    day,
    deliver,
    load_three_days,
    rows,
    runner,
)

NOW = dt.datetime(2026, 3, 30, 4, 15)
SHORT = re.sub(r"models:.*(?=tags:)", "", CONFIG, flags=re.DOTALL).replace("end: 2026-03-01", "end: 2026-01-07")
BROKEN = {"no JSON": b"[{", "no text": b"\xff\xfe[", "another shape": b'{"path": 1}', "nothing": b"[]", "no time": b'[{"path": "a", "arrived_at": "x", "mapping_version": ""}]'}  # fmt: skip


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("loaded") / "data"
    load_three_days(data, SHORT)
    return data


@pytest.fixture
def data(loaded: Path, tmp_path: Path) -> Path:
    shutil.copytree(loaded, tmp_path / "data")
    return tmp_path / "data"


def sidecar_of_day(data: Path, number: int) -> Path:
    ((file_id,),) = rows(
        data / "profile.duckdb", f"select file_id from raw.files where path = 'shop/{day(number)}.csv'"
    )
    return sidecar_of(archived_path(data / "archive", file_id))


def break_two(data: Path) -> list[Path]:
    broken = [sidecar_of_day(data, 0), sidecar_of_day(data, 1)]
    for sidecar in broken:
        sidecar.write_bytes(b"\xff")
    return broken


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_sidecar_that_says_nothing_is_named_with_what_helps(content: bytes, tmp_path: Path) -> None:
    sidecar = tmp_path / "ab" / "abc.json"
    sidecar.parent.mkdir()
    sidecar.write_bytes(content)
    with pytest.raises(
        DamagedArchiveError, match=r"does not say what was delivered\. Restore it from a backup, or remove"
    ):
        deliveries(tmp_path)


@pytest.mark.faults
def test_a_rebuild_names_all_of_them_before_it_changes_anything_and_writes_them_anew_once_they_are_removed(
    data: Path,
) -> None:
    before, delivered = contents(data / "profile.duckdb", but_for=set()), deliveries(data / "archive")
    broken = break_two(data)
    r = runner(data, SHORT)
    with pytest.raises(DamagedArchiveError) as refused:
        rebuild(r.settings, r.paths, sources=(), say=lambda _: None)
    assert [path for path in broken if str(path) not in str(refused.value)] == []
    assert not (data / "rebuilding").exists()
    assert contents(data / "profile.duckdb", but_for=set()) == before
    for sidecar in broken:
        sidecar.unlink()
    rebuild(r.settings, r.paths, sources=(), say=lambda _: None)
    assert deliveries(data / "archive") == delivered


def test_what_is_lost_is_loaded_again_but_for_files_whose_sidecar_says_nothing(data: Path) -> None:
    (broken,) = {sidecar_of_day(data, 1)}
    broken.write_bytes(b"?")
    (data / "profile.duckdb").unlink()
    r = runner(data, SHORT)
    with pytest.raises(RunFailedError, match="does not say what was delivered") as failed:
        r.ingest()
    r.instance.dispose()
    assert str(broken) in str(failed.value)
    loaded = [
        path for (path,) in rows(data / "profile.duckdb", "select path from raw.files where source = 'shop' order by 1")
    ]
    assert loaded == [f"shop/{day(0)}.csv", f"shop/{day(2)}.csv"]


def test_a_file_that_comes_again_beside_a_broken_sidecar_waits_and_the_others_are_loaded(data: Path) -> None:
    broken = sidecar_of_day(data, 0)
    broken.write_bytes(b"?")
    again = data / "landing" / "shop" / "again.csv"
    again.parent.mkdir(exist_ok=True)
    shutil.copyfile(broken.with_suffix(""), again)
    deliver(data, range(3, 5))
    r = runner(data, SHORT)
    with pytest.raises(RunFailedError, match="does not say what was delivered"):
        r.ingest()
    assert again.exists()
    n_new = rows(
        data / "profile.duckdb",
        f"select count(*) from raw.files where path in ('shop/{day(3)}.csv', 'shop/{day(4)}.csv')",
    )
    assert n_new == [(2,)]
    broken.unlink()
    r.ingest()
    r.instance.dispose()
    assert not again.exists()


def test_doctor_names_them(data: Path) -> None:
    (broken, _) = break_two(data)
    found = [f for f in examine(Paths(config=data / "profile.yaml", data=data)).findings if not f.is_ok]
    assert any("2 sidecars" in f.what and broken.name in f.what and f.remedy for f in found)


def test_a_backup_holds_what_is_sound_names_the_rest_and_a_restore_mends_it(data: Path, tmp_path: Path) -> None:
    r = runner(data, SHORT)
    place = tmp_path / "backups"
    first = back_up(r.settings, r.paths, place, now=NOW, say=lambda _: None)
    delivered = deliveries(data / "archive")
    broken = break_two(data)
    lost = sidecar_of_day(data, 2).with_suffix("")
    lost.unlink()
    # Of what is lost the earlier backup has a sound copy, which is in the new one too; it is named all the same.
    with pytest.raises(IncompleteBackupError) as told:
        back_up(r.settings, r.paths, place, now=NOW.replace(minute=1), say=lambda _: None)
    assert [path for path in (*broken, lost) if str(path) not in str(told.value)] == []
    elsewhere = tmp_path / "elsewhere"
    with pytest.raises(IncompleteBackupError, match=f"shop/{day(2)}.csv: {lost} is not there"):
        back_up(r.settings, r.paths, elsewhere, now=NOW, say=lambda _: None)
    assert (elsewhere / first.name / "manifest.json").is_file()
    restore(r.settings, r.paths, first, say=lambda _: None)
    assert deliveries(data / "archive") == delivered
    assert lost.is_file()


def test_a_file_whose_load_was_killed_has_arrived_when_it_was_put_into_the_archive(data: Path) -> None:
    deliver(data, range(3, 4))
    name, first = f"shop/{day(3)}.csv", dt.datetime(2026, 1, 8, 1)
    archived = store(data / "landing" / name, archive=data / "archive")
    describe(archived, source="shop", path=name, arrived_at=first, mapping_version="of the run that was killed")
    r = runner(data, SHORT)
    r.ingest()
    r.instance.dispose()
    assert rows(data / "profile.duckdb", f"select arrived_at from raw.files where path = '{name}'") == [(first,)]


@pytest.mark.parametrize(
    ("statement", "column"),
    [
        ("update raw.files set arrived_at = arrived_at - interval 1 second where path = '{name}'", "arrived_at"),
        ("update raw.files set size_bytes = size_bytes + 1 where path = '{name}'", "size_bytes"),
        ("delete from raw.files where path = 'crm/the same people.csv'", "path"),
    ],
)
def test_a_file_that_is_not_noted_as_it_was_delivered_is_told(statement: str, column: str, data: Path) -> None:
    r = runner(data, SHORT)
    with closing(r.warehouse()) as w:
        assert missing(w, r.settings, r.paths, r.instance) == []
        assert w.execute(statement.format(name=f"shop/{day(1)}.csv")) == 1
        (told,) = missing(w, r.settings, r.paths, r.instance)
    r.instance.dispose()
    assert (told.table, told.column) == ("raw.files", column)
    assert remedies([told], r.settings) == ["profile-pipeline rebuild"]
