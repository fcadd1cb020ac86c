"""Backups: a folder for each, with tables, reports and the history of runs, beside one archive that all backups of a place share.

A backup is there whole or not at all, and is never changed. Not here: how the database is copied (`warehouse.backup`), what a
backup says of itself (`manifest`), or the command line.
"""

import contextlib
import datetime as dt
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from profile_pipeline.disk import sha256_of, sync
from profile_pipeline.orchestration.instance import require_no_run
from profile_pipeline.orchestration.keeping.built_with import refuse_newer
from profile_pipeline.orchestration.keeping.manifest import DATABASE, BackupError, read_manifest, write_manifest
from profile_pipeline.paths import Paths
from profile_pipeline.raw.archive import (
    DamagedArchiveError,
    NotReadableError,
    archived_path,
    sidecar_of,
    store,
    told_in,
    verified_path,
)
from profile_pipeline.settings import Settings
from profile_pipeline.shell import word
from profile_pipeline.warehouse.backup import NotWritableError, copy_database, delivered_files, write_log_into_file
from profile_pipeline.warehouse.duckdb import Warehouse
from profile_pipeline.warehouse.lease import lease
from profile_pipeline.warehouse.replacing import put_in_place, wal_of
from profile_pipeline.wording import counted

HOME, REPORTS, ARCHIVE, PROFILE = "dagster_home", "reports", "archive", "profile.yaml"
PARTIAL = ".partial-"


class IncompleteBackupError(BackupError):
    """A backup was taken of everything that is sound; the text names the rest."""


def back_up(settings: Settings, paths: Paths, place: Path, *, now: dt.datetime, say: Callable[[str], None]) -> Path:
    """Write a backup; return its folder.

    Whoever writes is waited for. The lease is held while the tables are copied, and not while files of the archive are: these
    never change.

    Parameters
    ----------
    place
        Gets a folder named by the time (UTC) and, once, each file of the archive.

    Raises
    ------
    BackupError
        If nothing can be backed up, or not to there.
    IncompleteBackupError
        If the archive lacks files that the tables know, or has damaged some: the backup is there, without those of which no earlier
        backup has a sound copy.
    """
    _require_apart(paths, place)
    if not paths.warehouse.exists():
        raise BackupError(
            f"{paths.warehouse} is not there: there is nothing to back up. Run `profile-pipeline run` first."
        )
    target = place / f"{now:%Y-%m-%dT%H%M%SZ}"
    if target.exists():
        raise BackupError(f"{target} is there already, and no backup is ever written over. Try again in a second.")
    try:
        return _written(settings, paths, target, now=now, say=say)
    except (OSError, sqlite3.Error, NotWritableError) as error:
        raise BackupError(
            f"{target} can't be taken: {error}. Earlier backups are as they were. See whether {place} may be written to and has room"
            f" (df -h {word(place)}), or name another folder: profile-pipeline backup --to … What was begun is removed by the next backup there."
        ) from error


def _require_apart(paths: Paths, place: Path) -> None:
    """Refuse a place that is, or lies in, what the installation itself reads, replaces or removes."""
    is_in_backups = _first_around((place,), (paths.backups,)) is not None
    folders = paths.own_folders if is_in_backups else (*paths.own_folders, paths.data)
    found = _first_around((place, place / ARCHIVE), folders)
    if found:
        raise BackupError(
            f"{place} is no place for backups: found it in {found}, which the installation itself reads, replaces or removes. Expected {paths.backups}, or a"
            " folder outside of the data folder, at best on another disk: profile-pipeline backup --to …"
        )


def _first_around(places: Iterable[Path], folders: Sequence[Path]) -> Path | None:
    """Return the first folder in which one of the places lies, wherever links lead; None: there is no such folder."""
    return next((f for p in places for f in folders if p.resolve().is_relative_to(f.resolve())), None)


def _written(settings: Settings, paths: Paths, target: Path, *, now: dt.datetime, say: Callable[[str], None]) -> Path:
    place = target.parent
    place.mkdir(parents=True, exist_ok=True)
    owner = "profile-pipeline backup"
    with lease(place / ".lease", owner=owner, timeout_seconds=settings.lease_timeout_seconds, say=say):
        for left in place.glob(f"{PARTIAL}*"):
            shutil.rmtree(left)
        partial = place / f"{PARTIAL}{target.name}"
        partial.mkdir()
        place_of_lease = paths.warehouse.with_suffix(".duckdb.lease")
        with lease(place_of_lease, owner=owner, timeout_seconds=settings.lease_timeout_seconds, say=say):
            copy_database(paths.warehouse, partial / DATABASE)
            sidecars, faults = _sidecars(paths.archive)
            _copy_home(paths.dagster_home, partial / HOME)
            if paths.reports.exists():
                shutil.copytree(paths.reports, partial / REPORTS)
        if paths.config.is_file():
            shutil.copyfile(paths.config, partial / PROFILE)
        known = delivered_files(partial / DATABASE)
        archived = []
        for file_id in sorted(sidecars.keys() | known.keys()):
            copy, fault = _kept(paths.archive, place / ARCHIVE, file_id)
            if copy:
                archived.append(
                    {"file_id": file_id, "size_bytes": copy.stat().st_size, "sidecar": sidecars.get(file_id)}
                )
            if fault:
                faults.append(f"{known.get(file_id, file_id)}: {fault}")
        write_manifest(partial, archived, now)
        partial.rename(target)
        sync(place)
    if faults:
        told = f"{target} is taken, but of the archive {counted(len(faults), 'file is', 'files are')} lost or damaged; what earlier backups hold was left as it is."
        raise IncompleteBackupError("\n".join([told, *faults, "Mend them, then take another backup."]))
    return target


def _sidecars(archive: Path) -> tuple[dict[str, str], list[str]]:
    """Return what the sidecars say, by the id of their file, and what is wrong with those that can't be read."""
    said, faults = {}, []
    for sidecar in sorted(archive.glob("??/*.json")):
        try:
            told_in(sidecar)
        except DamagedArchiveError as error:
            faults.append(str(error))
        else:
            said[sidecar.stem] = sidecar.read_text(encoding="utf-8")
    return said, faults


def _copy_home(home: Path, target: Path) -> None:
    """Copy the history of runs: without it nobody knows which partitions are built. Logs of runs are left out."""
    for path in sorted(home.rglob("*.db")):
        copy = target / path.relative_to(home)
        copy.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(sqlite3.connect(path)) as source, contextlib.closing(sqlite3.connect(copy)) as new:
            source.backup(new)
    if (home / "dagster.yaml").is_file():
        target.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(home / "dagster.yaml", target / "dagster.yaml")


def _kept(archive: Path, kept: Path, file_id: str) -> tuple[Path | None, str | None]:
    """Return the copy of a file of the archive, if there is a sound one, and what is wrong with the file itself.

    Both are read: bits rot without a change of size, here as there. A sound copy stays, whatever has become of the file; one that has
    rotten gives way.
    """
    copy = archived_path(kept, file_id)
    is_kept, fault = _is_good(kept, file_id), _fault_of(archive, file_id)
    if fault and is_kept:
        return copy, f"{fault} A sound copy is in {kept}: a restore of this backup brings it back."
    if fault:
        return None, fault
    if not is_kept:
        copy.unlink(missing_ok=True)
        _copied(archived_path(archive, file_id), kept)
    return copy, None


def _copied(path: Path, archive: Path) -> None:
    """Add a sound file to an archive. A link is followed here: archives that deduplicating tools keep consist of links."""
    try:
        store(path.resolve(), archive=archive)
    except NotReadableError as error:
        raise BackupError(f"{path} {error}: it was sound a moment ago. Run the same command again.") from error
    sync(archive)


# ---- restoring


def other_configuration(paths: Paths, folder: Path) -> Path | None:
    """Return the configuration that lies in a backup, if it is not the one that is used; a restore leaves that as it is.

    Raises
    ------
    BackupError
        If the folder is no backup.
    """
    told = read_manifest(folder)["files"].get(PROFILE)
    if told is None or (paths.config.is_file() and sha256_of(paths.config) == told["sha256"]):
        return None
    return folder / PROFILE


def restore(settings: Settings, paths: Paths, folder: Path, *, say: Callable[[str], None]) -> None:
    """Put a backup in the place of tables, reports and history of runs; files of the archive that are missing are added.

    Raises
    ------
    BackupError
        With everything that is missing or other than when it was taken; nothing is changed then.
    LeaseTimeoutError
        If a run or the UI is at work.
    RunAtWorkError
        If a run is at work that has let the lease go.
    """
    require_no_run(paths)
    _require_out_of_the_way(paths, folder)
    manifest = _verified(folder, paths)
    with (
        lease(paths.ui_lock, owner="profile-pipeline restore", timeout_seconds=0, say=say),
        lease(
            paths.warehouse.with_suffix(".duckdb.lease"), owner="profile-pipeline restore", timeout_seconds=0, say=say
        ),
    ):
        coming = paths.restoring
        if coming.exists():
            shutil.rmtree(coming)
        coming.mkdir(parents=True)
        for name in manifest["files"]:
            copy = coming / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / name, copy)
            sync(copy)
        _require_readable(settings, coming / DATABASE, say)
        _add_archived(folder.parent / ARCHIVE, paths.archive, manifest)
        _swap(coming, paths)


def _require_out_of_the_way(paths: Paths, folder: Path) -> None:
    """Refuse a backup that lies where a restore itself moves and removes."""
    found = _first_around((folder,), (paths.restoring, paths.replaced, paths.dagster_home, paths.reports))
    if found:
        raise BackupError(
            f"{folder} lies in {found}, which a restore replaces. Expected a backup outside of it: move {folder.parent}, with the archive in it, elsewhere first."
        )


def _verified(folder: Path, paths: Paths) -> dict[str, Any]:
    """Read the manifest and hold everything against it."""
    manifest = read_manifest(folder)
    faults = []
    for name, told in manifest["files"].items():
        path = folder / name
        if not path.is_file():
            faults.append(f"{path} is missing")
        elif (found := sha256_of(path)) != told["sha256"]:
            faults.append(f"{path}: found the sha256 {found}, expected {told['sha256']}")
    for entry in manifest["archive"]:
        if not _is_good(paths.archive, entry["file_id"]) and not _is_good(folder.parent / ARCHIVE, entry["file_id"]):
            faults.append(f"{archived_path(folder.parent / ARCHIVE, entry['file_id'])} is missing or damaged")
    if faults:
        raise BackupError("\n".join([*faults, "Nothing was changed. Take another backup."]))
    return manifest


def _is_good(archive: Path, file_id: str) -> bool:
    return _fault_of(archive, file_id) is None


def _fault_of(archive: Path, file_id: str) -> str | None:
    """Say what is wrong with a file of an archive; None: it is what was delivered."""
    try:
        verified_path(archive, file_id)
    except DamagedArchiveError as error:
        return str(error)
    except OSError as error:
        # A worn disk answers with an error, not with other bytes.
        return f"{archived_path(archive, file_id)} can't be read: {error.strerror}. Restore it from a backup, or deliver the file again."
    return None


def _is_told(sidecar: Path) -> bool:
    try:
        return sidecar.exists() and bool(told_in(sidecar))
    except DamagedArchiveError:
        return False


def _require_readable(settings: Settings, database: Path, say: Callable[[str], None]) -> None:
    opened = Warehouse(
        database, owner="profile-pipeline restore", say=say, on_open=refuse_newer, is_read_only=True,
        lease_timeout_seconds=settings.lease_timeout_seconds,
    )  # fmt: skip
    with contextlib.closing(opened) as w:
        w.rows("select count(*) from raw.files")


def _add_archived(kept: Path, archive: Path, manifest: dict[str, Any]) -> None:
    """Add the files that the archive lacks, or has damaged. What came after the backup stays, with what is said of it."""
    for entry in manifest["archive"]:
        file_id = entry["file_id"]
        if not _is_good(archive, file_id):
            archived_path(archive, file_id).unlink(missing_ok=True)
            _copied(archived_path(kept, file_id), archive)
        sidecar = sidecar_of(archived_path(archive, file_id))
        if entry["sidecar"] is not None and not _is_told(sidecar):
            written = sidecar.with_suffix(".tmp")
            written.write_text(entry["sidecar"], encoding="utf-8")
            sync(written)
            written.replace(sidecar)


def _swap(coming: Path, paths: Paths) -> None:
    """Replace history, then tables, then reports; what is replaced lies aside until all is done.

    In this order: an older history makes a run build again what is there already, a newer one would make it leave things out.
    """
    aside = paths.replaced
    if aside.exists():
        shutil.rmtree(aside)
    aside.mkdir()
    paths.serving_is_behind.touch()
    for new, path in ((coming / HOME, paths.dagster_home), (coming / REPORTS, paths.reports)):
        if path.exists():
            path.rename(aside / path.name)
        if new.exists():
            new.rename(path)
    if paths.warehouse.exists():
        # Only a damaged database keeps a log: else there would be a moment in which it lies apart from its file.
        write_log_into_file(paths.warehouse)
        (aside / DATABASE).hardlink_to(paths.warehouse)
    if wal_of(paths.warehouse).exists():
        wal_of(paths.warehouse).rename(aside / wal_of(paths.warehouse).name)
    put_in_place(coming / DATABASE, paths.warehouse)
    shutil.rmtree(coming)
    shutil.rmtree(aside)
