"""Backups: taken while somebody works, put back, and gone on from."""

import datetime as dt
import hashlib
import json
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import duckdb
import pytest
from typer.testing import CliRunner, Result

from profile_pipeline.cli import app
from profile_pipeline.orchestration.keeping import backing_up
from profile_pipeline.orchestration.keeping.backing_up import IncompleteBackupError, back_up, restore
from profile_pipeline.orchestration.keeping.manifest import BackupError
from profile_pipeline.orchestration.table_assets import key_of
from profile_pipeline.raw.archive import archived_path, deliveries, verified_path
from profile_pipeline.warehouse.lease import LeaseTimeoutError, holder_of, lease
from profile_pipeline_tests.conftest import ROOT
from profile_pipeline_tests.orchestration.small_project import (
    CONFIG,
    OF_THE_RUN,
    assert_equal,
    build,
    contents,
    day,
    deliver,
    land,
    load_three_days,
    rows,
    runner,
)
from profile_pipeline_tests.orchestration.test_manifest import signed
from profile_pipeline_tests.orchestration.test_rebuilding import command, environment
from profile_pipeline_tests.torture import examples

SHORT = CONFIG.replace("end: 2026-03-01", "end: 2026-01-18")
N_DAYS = 14
NOW = dt.datetime(2026, 3, 30, 4, 15)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three days, loaded and backed up."""
    data = tmp_path_factory.mktemp("loaded") / "data"
    load_three_days(data, SHORT)
    take(data, now=NOW - dt.timedelta(days=1))
    return data


@pytest.fixture
def project(loaded: Path, tmp_path: Path) -> Path:
    """A copy of it, to work on."""
    shutil.copytree(loaded, tmp_path / "data")
    return tmp_path / "data"


def backups_of(place: Path) -> list[Path]:
    return sorted(p for p in place.iterdir() if p.name[0].isdigit())


def put_back(data: Path, folder: Path) -> None:
    r = runner(data, SHORT)
    restore(r.settings, r.paths, folder, say=lambda _: None)


def take(data: Path, place: Path | None = None, *, now: dt.datetime = NOW) -> Path:
    r = runner(data, SHORT)
    return back_up(r.settings, r.paths, place or r.paths.backups, now=now, say=lambda _: None)


def files_of_the_archive_in(folder: Path) -> list[str]:
    return [e["file_id"] for e in json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["archive"]]


def test_a_backup_tells_its_files_by_their_sha256_and_holds_the_archive(loaded: Path) -> None:
    (folder,) = backups_of(loaded / "backups")
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert {"profile.duckdb", "profile.yaml", "dagster_home/history/runs.db"} <= manifest["files"].keys()
    ids = {file_id for (file_id,) in rows(loaded / "profile.duckdb", "select file_id from raw.files")}
    assert {entry["file_id"] for entry in manifest["archive"]} == ids
    for file_id in ids:
        kept, original = (
            archived_path(place, file_id) for place in (loaded / "backups" / "archive", loaded / "archive")
        )
        assert kept.read_bytes() == original.read_bytes()
    assert_equal(contents(folder / "profile.duckdb"), contents(loaded / "profile.duckdb"))
    assert [p for p in (loaded / "backups").rglob("*") if p.name.startswith((".partial", ".incoming"))] == []


@pytest.mark.parametrize("name", ["profile.duckdb", "profile.yaml", "manifest.json", "dagster_home/history/runs.db"])
def test_a_backup_that_was_damaged_is_refused_and_nothing_is_changed(project: Path, name: str) -> None:
    (folder,) = backups_of(project / "backups")
    written = bytearray((folder / name).read_bytes())
    written[len(written) // 2] ^= 1
    (folder / name).write_bytes(written)
    before = (project / "profile.duckdb").read_bytes()
    with pytest.raises(BackupError, match=re.escape(name)):
        put_back(project, folder)
    assert (project / "profile.duckdb").read_bytes() == before
    assert not (project / "restoring").exists()


def test_a_restore_that_fails_half_way_leaves_the_tables_and_the_next_one_goes_through(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder,) = backups_of(project / "backups")
    with closing(runner(project, SHORT).warehouse()) as w:
        w.execute("delete from raw.rejected_records")
    before = contents(project / "profile.duckdb")

    def fail(new: Path, path: Path) -> None:
        raise OSError(f"no space left for {new} in place of {path}")

    with monkeypatch.context() as patched, pytest.raises(OSError, match="no space left"):
        patched.setattr(backing_up, "put_in_place", fail)
        put_back(project, folder)
    assert_equal(contents(project / "profile.duckdb"), before)
    put_back(project, folder)
    assert_equal(contents(project / "profile.duckdb"), contents(folder / "profile.duckdb"))
    assert not (project / "replaced").exists()


def test_a_backup_is_enough_on_an_empty_machine(project: Path, tmp_path: Path) -> None:
    (folder,) = backups_of(project / "backups")
    data = tmp_path / "new"
    put_back(data, folder)
    assert_equal(contents(data / "profile.duckdb"), contents(project / "profile.duckdb"))
    assert deliveries(data / "archive") == deliveries(project / "archive")
    for delivery in deliveries(data / "archive"):
        assert verified_path(data / "archive", delivery.file_id).is_file()
    r = runner(data, SHORT)
    assert r.instance.get_latest_materialization_event(key_of("raw.events")) is not None
    r.instance.dispose()


def test_nothing_is_restored_over_a_run_at_work(project: Path) -> None:
    (folder,) = backups_of(project / "backups")
    with (
        lease(project / "profile.duckdb.lease", owner="run 12345678 (daily)", timeout_seconds=1, say=print),
        pytest.raises(LeaseTimeoutError, match=r"is in use by run 12345678 \(daily\)"),
    ):
        put_back(project, folder)


@pytest.mark.faults
def test_what_came_after_a_backup_is_loaded_again_and_a_damaged_file_of_the_archive_comes_back(project: Path) -> None:
    deliver(project, range(3, 5))
    r = runner(project, SHORT)
    r.ingest()
    r.instance.dispose()
    wanted = contents(project / "profile.duckdb")
    ((file_id,),) = rows(project / "profile.duckdb", f"select file_id from raw.files where path = 'shop/{day(1)}.csv'")
    archived_path(project / "archive", file_id).write_bytes(b"damaged")
    (folder,) = backups_of(project / "backups")
    done = command(project, "restore", str(folder), "--yes")
    assert done.returncode == 0, done.stderr
    assert "2 files have arrived since" in done.stderr
    assert_equal(contents(project / "profile.duckdb"), wanted)
    assert b"ts,action" in archived_path(project / "archive", file_id).read_bytes()
    assert not (project / "replaced").exists()
    assert not (project / "restoring").exists()


@pytest.mark.faults
@pytest.mark.parametrize("number", range(examples(1, torture=10)))
def test_a_backup_taken_during_a_write_holds_whole_commits_and_work_goes_on_from_it(
    number: int, tmp_path: Path, finished: Path
) -> None:
    data, place = tmp_path / "data", tmp_path / "elsewhere"
    deliver(data, range(N_DAYS))
    (data / "profile.yaml").write_text(SHORT, encoding="utf-8")
    child = subprocess.Popen(
        [sys.executable, "-m", "profile_pipeline.cli", "run"], cwd=ROOT, env=environment(data), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )  # fmt: skip
    while not is_judging(data):
        assert child.poll() is None
        time.sleep(0.02)
    # Each time at another moment.
    time.sleep(0.03 * number)
    # Held where it is: it would be done before the backup has begun.
    child.send_signal(signal.SIGSTOP)
    taking = subprocess.Popen(
        [sys.executable, "-m", "profile_pipeline.cli", "backup", "--to", str(place)], cwd=ROOT, env=environment(data), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )  # fmt: skip
    assert taking.stderr
    # It waits; what the writer leaves when it is killed is what it gets.
    assert "waiting for the warehouse, in use by run" in taking.stderr.readline()
    child.send_signal(signal.SIGKILL)
    said = taking.stderr.read()
    assert taking.wait() == 0, said
    taking.stderr.close()
    child.wait()
    (folder,) = backups_of(place)
    with duckdb.connect(str(folder / "profile.duckdb"), read_only=True) as connection:
        told = connection.execute(
            "select (select sum(n_loaded) from raw.files where source = 'shop'), (select count(*) from raw.events),"
            " (select sum(n_waiting) from cleaned.ledger), (select coalesce(sum(n_events), 0) from raw.pending),"
            " (select sum(n_cleaned + n_excluded) from cleaned.ledger),"
            " (select count(*) from cleaned.events) + (select count(*) from cleaned.excluded_events)"
        ).fetchall()[0]
    n_loaded, n_rows, n_waiting, n_pending, n_judged, n_placed = told
    assert n_loaded == n_rows == n_waiting + n_judged > 0
    assert (n_waiting, n_judged) == (n_pending, n_placed)
    done = command(data, "restore", str(folder), "--yes")
    assert done.returncode == 0, done.stderr
    done = command(data, "run")
    assert done.returncode == 0, done.stderr
    of_the_run = OF_THE_RUN | {"arrived_at"}
    assert_equal(contents(data / "profile.duckdb", but_for=of_the_run), contents(finished / "profile.duckdb", but_for=of_the_run))  # fmt: skip


def is_judging(data: Path) -> bool:
    """Say whether a run of the daily job has the warehouse."""
    return "(daily)" in (holder_of(data / "profile.duckdb.lease") or "")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two weeks that nobody disturbed."""
    data = tmp_path_factory.mktemp("finished") / "data"
    deliver(data, range(N_DAYS))
    build(data, SHORT)
    return data


def test_a_second_backup_leaves_the_first_and_copies_no_file_of_the_archive_again(project: Path) -> None:
    (first,) = backups_of(project / "backups")
    kept = [p for p in (project / "backups" / "archive").rglob("*") if p.is_file()]
    before = {p: p.stat().st_ino for p in kept}
    land(project, "shop/later.csv", "ts,action,uid,cookie,item,price\n2026-01-08T00:00:00Z,page_view,u1,c1,i1,\n")
    second = take(project)
    assert backups_of(project / "backups") == sorted([first, second])
    assert {p: p.stat().st_ino for p in kept} == before


def rot(path: Path) -> None:
    """Flip one bit: the size stays."""
    written = bytearray(path.read_bytes())
    written[len(written) // 2] ^= 1
    path.write_bytes(written)


def a_file_and_its_copy(project: Path) -> tuple[str, Path, Path, bytes]:
    """A file of the archive: its id, where it lies, where the backups have it, and what it says."""
    file_id = deliveries(project / "archive")[0].file_id
    source, copy = (archived_path(place, file_id) for place in (project / "archive", project / "backups" / "archive"))
    return file_id, source, copy, source.read_bytes()


def test_a_file_that_has_rotten_is_named_also_where_an_earlier_backup_has_a_sound_copy_which_brings_it_back(
    project: Path,
) -> None:
    _, source, copy, sound = a_file_and_its_copy(project)
    rot(source)
    with pytest.raises(IncompleteBackupError, match=f"{source} is not what was delivered.* A sound copy is in"):
        take(project)
    assert copy.read_bytes() == sound
    put_back(project, project / "backups" / "2026-03-30T041500Z")
    assert source.read_bytes() == sound


def test_a_copy_that_has_rotten_gives_way_to_the_file_and_one_of_a_rotten_file_is_not_in_the_backup(
    project: Path,
) -> None:
    file_id, source, copy, sound = a_file_and_its_copy(project)
    rot(copy)
    assert file_id in files_of_the_archive_in(take(project))
    assert copy.read_bytes() == sound
    rot(copy)
    rot(source)
    with pytest.raises(IncompleteBackupError, match="is not what was delivered"):
        take(project, now=NOW.replace(minute=16))
    assert file_id not in files_of_the_archive_in(project / "backups" / "2026-03-30T041600Z")


def wear_out(path: Path) -> None:
    """Have every reading of a file answered with an error, as by a disk that is worn."""
    path.unlink()
    path.symlink_to("/proc/self/mem")


def test_a_file_that_the_disk_does_not_give_any_more_is_named_and_all_others_are_kept(project: Path) -> None:
    lost, *others = sorted({delivery.file_id for delivery in deliveries(project / "archive")})
    wear_out(archived_path(project / "archive", lost))
    place = project.with_name("elsewhere")
    with pytest.raises(IncompleteBackupError, match=f"{lost} can't be read: Input/output error"):
        take(project, place)
    assert files_of_the_archive_in(backups_of(place)[0]) == others


def test_a_copy_that_the_disk_does_not_give_any_more_gives_way_to_the_file(project: Path) -> None:
    file_id = deliveries(project / "archive")[0].file_id
    wear_out(archived_path(project / "backups" / "archive", file_id))
    take(project)
    assert not verified_path(project / "backups" / "archive", file_id).is_symlink()


def test_an_archive_that_consists_of_links_is_backed_up_and_restored_as_its_files(project: Path) -> None:
    file_id = deliveries(project / "archive")[0].file_id
    place = project.with_name("elsewhere")
    (place / "archive").mkdir(parents=True)
    (project / "archive").rename(project.with_name("store"))
    shutil.copytree(project.with_name("store"), project / "archive", copy_function=lambda s, d: Path(d).symlink_to(s))
    folder = take(project, place)
    assert not archived_path(place / "archive", file_id).is_symlink()
    assert verified_path(place / "archive", file_id)
    shutil.rmtree(project / "archive")
    put_back(project, folder)
    assert not archived_path(project / "archive", file_id).is_symlink()


def test_a_backup_that_has_no_room_is_one_message_and_leaves_earlier_ones(project: Path, tmp_path: Path) -> None:
    place = tmp_path / "small"
    place.mkdir()
    (folder,) = backups_of(project / "backups")
    # Room for the tables, and not for the history of runs.
    n_bytes = (folder / "profile.duckdb").stat().st_size + (64 << 10)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={n_bytes}", "tmpfs", str(place)], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"a disk can't be mounted here: {mounted.stderr.strip()}")
    try:
        refused = command(project, "backup", "--to", str(place))
        assert refused.returncode == 1
        assert "Traceback" not in refused.stderr
        assert "database or disk is full" in refused.stderr
        assert backups_of(place) == []
    finally:
        subprocess.run(["umount", str(place)], check=True)
    assert len(backups_of(project / "backups")) == 1


def test_a_backup_to_where_nothing_can_be_written_is_one_message(project: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused = command(project, "backup", "--to", str(tmp_path / "file"))
    assert refused.returncode == 1
    assert refused.stderr.startswith(str(tmp_path / "file"))
    assert "name another folder: profile-pipeline backup --to" in refused.stderr


def test_a_manifest_that_leads_out_of_the_backup_is_refused_and_nothing_is_written(project: Path) -> None:
    (folder,) = backups_of(project / "backups")
    told = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    (folder.parent / "evil").write_bytes(b"evil")
    told["files"]["../evil"] = {"sha256": hashlib.sha256(b"evil").hexdigest()}
    signed(folder, json.dumps(told))
    before = sorted(project.rglob("*"))
    with pytest.raises(BackupError, match="expected a path inside of the backup"):
        put_back(project, folder)
    assert sorted(project.rglob("*")) == before


def test_tables_for_which_there_is_no_room_name_the_place_and_how_to_look_at_it(project: Path) -> None:
    place = project.with_name("a small disk")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200 << 10, hard))
    try:
        with pytest.raises(BackupError) as told:
            take(project, place)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(told.value).startswith(f"{place}/2026-03-30T041500Z can't be taken: IO Error: ")
    assert f"(df -h '{place}')" in str(told.value)
    assert "doctor" not in str(told.value)
    assert backups_of(place) == []


def test_the_printed_command_puts_back_a_backup_whose_path_a_shell_would_take_apart(project: Path) -> None:
    place = project.with_name("""a 'b" [bold] $HOME; ü""")
    options = ["--data", str(project), "--config", str(project / "profile.yaml")]
    taken = CliRunner().invoke(app, ["backup", "--to", str(place), *options])
    assert taken.exit_code == 0, taken.output
    (folder,) = backups_of(place)
    (line,) = [line for line in taken.stdout.splitlines() if line.startswith("to put it back: ")]
    typed = shlex.split(line.removeprefix("to put it back: "))
    assert typed[:3] == ["profile-pipeline", "restore", str(folder)]
    assert sorted(typed[3:]) == sorted(options)


def restored(project: Path, folder: Path, *options: str, answer: str = "") -> Result:
    given = ["--data", str(project), "--config", str(project / "profile.yaml"), *options]
    return CliRunner().invoke(app, ["restore", str(folder), *given], input=answer)


def test_what_is_no_backup_is_told_before_anything_is_asked(project: Path) -> None:
    done = restored(project, project / "nosuch")
    assert done.exit_code == 1
    assert "Replace" not in done.output
    assert f"{project}/nosuch is no backup: expected a folder that holds" in str(done.exception)


@pytest.mark.parametrize(("more", "is_told"), [("", False), ("# of today\n", True)])
def test_a_configuration_other_than_that_of_the_backup_is_named_with_how_to_take_it(
    more: str, is_told: bool, project: Path
) -> None:
    (folder,) = backups_of(project / "backups")
    (project / "profile.yaml").write_text(SHORT + more, encoding="utf-8")
    told = restored(project, folder, answer="n\n").stdout
    assert (f"{folder}/profile.yaml is not the same as {project}/profile.yaml" in told) is is_told
    assert (f"cp {folder}/profile.yaml {project}/profile.yaml" in told) is is_told


def test_where_there_is_no_configuration_that_of_the_backup_is_named(project: Path) -> None:
    (folder,) = backups_of(project / "backups")
    (project / "profile.yaml").unlink()
    done = restored(project, folder, "--yes")
    assert f"cp {folder}/profile.yaml {project}/profile.yaml" in str(done.exception)
