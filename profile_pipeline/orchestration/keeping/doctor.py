"""What can be wrong with an installation, each with one command that helps.

Not here: mending it.
"""

import shutil
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy.exc import DatabaseError

from profile_pipeline.errors import ConfigurationError
from profile_pipeline.orchestration.building.balance import IN_WHOLE, LISTED, Balance, balance_of
from profile_pipeline.orchestration.configuration import load_checked
from profile_pipeline.orchestration.instance import open_instance, orphaned_runs
from profile_pipeline.orchestration.keeping.built_with import Ask, refusals
from profile_pipeline.orchestration.keeping.reloading import lost_files
from profile_pipeline.orchestration.storage import IS_KNOWN
from profile_pipeline.paths import Paths
from profile_pipeline.raw.archive import Delivery, archived_path, told_by_sidecars
from profile_pipeline.settings import Settings
from profile_pipeline.shell import word
from profile_pipeline.warehouse.lease import LeaseTimeoutError, holder_of
from profile_pipeline.warehouse.opening import WarehouseError, open_database
from profile_pipeline.warehouse.replacing import wal_of
from profile_pipeline.wording import counted

LEAST_FREE_BYTES = 2_000_000_000


@dataclass(frozen=True)
class Finding:
    """Something that was looked at."""

    what: str
    is_ok: bool
    remedy: str = ""


@dataclass
class Examined:
    """What was found, the last ten files, and where the records of each source are (None: there is no warehouse to ask)."""

    findings: list[Finding] = field(default_factory=list)
    files: list[dict[str, Any]] = field(default_factory=list)
    balance: Balance | None = None


def examine(paths: Paths) -> Examined:
    """Look at everything."""
    examined = Examined()
    findings = examined.findings
    settings = None
    try:
        settings = load_checked(paths)
        findings.append(Finding(f"configuration {paths.config}", True))
    except ConfigurationError as error:
        findings.append(Finding(f"configuration: {error}", False, _configured(paths)))
    if paths.data.exists():
        free = shutil.disk_usage(paths.data).free
        findings.append(
            Finding(
                f"{free / 1e9:.1f} GB free for {paths.data}",
                free >= LEAST_FREE_BYTES,
                "" if free >= LEAST_FREE_BYTES else "make room, or set PROFILE_PIPELINE_DATA to another disk",
            )
        )
    holder = holder_of(paths.warehouse.with_suffix(".duckdb.lease"))
    findings.append(Finding(f"the warehouse is {'in use by ' + holder if holder else 'free'}", True))
    delivered, damaged = told_by_sidecars(paths.archive)
    if holder is None:
        findings += _warehouse(paths, settings, delivered, examined)
        findings += _left_behind(paths)
    findings += _sidecars(paths, damaged)
    findings += _instance(paths)
    findings.append(
        Finding(
            f"event storage with kept connections is {'on' if IS_KNOWN else 'off: this Dagster is not known, storage is stock and slower'}",
            True,
        )
    )
    return examined


def _configured(paths: Paths) -> str:
    if paths.config.exists():
        return f"edit {paths.config}"
    return "profile-pipeline sources add FILE  # writes one for a file of yours; or name one: --config, PROFILE_PIPELINE_CONFIG"


def _warehouse(paths: Paths, settings: Settings | None, delivered: list[Delivery], examined: Examined) -> list[Finding]:
    if not paths.warehouse.exists():
        return [Finding(f"no warehouse at {paths.warehouse} yet", True, "profile-pipeline run (or: make demo)")]
    try:
        connection = open_database(
            paths.warehouse, is_read_only=True, timeout_seconds=0, memory_limit=None, threads=None, say=lambda _: None
        )
    except LeaseTimeoutError as error:
        return [Finding(str(error), False, f"close it; readers use {word(paths.serving)}")]
    except WarehouseError as error:
        text = str(error.__cause__).splitlines()[0]
        if "WAL" in text:
            wal = wal_of(paths.warehouse)
            return [
                Finding(
                    f"the write-ahead log is damaged: {text}",
                    False,
                    f"mv {word(wal)} {word(wal.with_name(wal.name + '.damaged'))}  # then: profile-pipeline run, which does again what its commits had; or: profile-pipeline rebuild",
                )
            ]
        if "version number" in text:
            return [
                Finding(
                    f"the file was written by a newer DuckDB: {text}",
                    False,
                    "install the locked dependencies: make setup",
                )
            ]
        return [
            Finding(
                f"the warehouse can't be opened: {text}",
                False,
                "profile-pipeline rebuild  # from data/archive; or, where there is a backup: profile-pipeline restore …",
            )
        ]
    try:
        names = {
            f"{s}.{t}" for s, t in connection.execute("select schema_name, table_name from duckdb_tables()").fetchall()
        }
        findings = [Finding(f"warehouse {paths.warehouse}", True)]
        if settings and "raw.built_with" in names:
            findings += _other_mappings(settings, lambda query: connection.execute(query).fetchall())
        if "cleaned.ledger" in names:
            examined.balance = balance = balance_of(lambda query: connection.execute(query).fetchall())
            findings.append(_told_of(balance))
            waiting = sum(row["waiting"] for row in balance.sources if row["source"] != IN_WHOLE)
            if waiting:
                findings.append(
                    Finding(
                        f"{counted(waiting, 'event waits', 'events wait')} for a refresh",
                        True,
                        "profile-pipeline run (the running UI does it by itself)",
                    )
                )
            stale = connection.execute("select as_of_date from features.stale_days order by 1").fetchall()
            if stale:
                findings.append(
                    Finding(
                        f"{counted(len(stale), 'snapshot is', 'snapshots are')} outdated by late events: {', '.join(str(d) for (d,) in stale[:5])}",
                        True,
                        "profile-pipeline run --stale",
                    )
                )
            findings += _lost_bytes(
                paths,
                delivered,
                connection.execute(
                    "select file_id, min(path), max(size_bytes) from raw.files group by file_id order by 2"
                ).fetchall(),
            )
            rows = connection.execute(
                "select f.path, f.status || coalesce(' (' || f.reason || ')', ''), coalesce(f.n_loaded, 0), coalesce((select cast(sum(n_events) as bigint) from raw.pending as p"
                " where p.file_id = f.file_id), 0) from raw.files as f order by f.loaded_at desc, f.path desc limit 10"
            ).fetchall()
            examined.files += [dict(zip(("path", "status", "n_loaded", "n_waiting"), row, strict=True)) for row in rows]
        return findings
    finally:
        connection.close()


def _lost_bytes(paths: Paths, delivered: list[Delivery], files: list[tuple[str, str, int]]) -> list[Finding]:
    """Name what the archive lacks, and what has another size there. What was altered and kept its size only a hash tells: `backup`."""
    lost, altered = [], []
    unknown = lost_files(paths, delivered, known={file_id for file_id, _, _ in files})
    for file_id, path, size_bytes in files:
        archived = archived_path(paths.archive, file_id)
        if not archived.is_file():
            lost.append(path)
        elif (found := archived.stat().st_size) != size_bytes:
            altered.append(f"{path} ({archived}: found {found:,} bytes, expected {size_bytes:,})")
    findings = []
    if lost:
        findings.append(
            Finding(
                f"{paths.archive} lacks {counted(len(lost), 'file that was', 'files that were')} loaded: {', '.join(lost[:LISTED])}",
                False,
                "profile-pipeline restore …  # a backup; or deliver them again",
            )
        )
    if unknown:
        findings.append(
            Finding(
                f"{counted(len(unknown), 'file')} in {paths.archive} of which no table knows: {', '.join(list(unknown.values())[:LISTED])}",
                False,
                "profile-pipeline run  # loads them again",
            )
        )
    if altered:
        findings.append(
            Finding(
                f"{counted(len(altered), 'file')} in {paths.archive} of another size than was loaded: {'; '.join(altered[:LISTED])}",
                False,
                "profile-pipeline restore …  # a backup; or remove them there, and deliver them again",
            )
        )
    return findings


def _sidecars(paths: Paths, damaged: dict[str, str]) -> list[Finding]:
    if not damaged:
        return []
    listed = ", ".join(f"{file_id}.json" for file_id in list(damaged)[:LISTED])
    return [
        Finding(
            f"{counted(len(damaged), 'sidecar')} in {paths.archive} can't be read: {listed}",
            False,
            "profile-pipeline restore …  # a backup; or remove them, then: profile-pipeline rebuild, which writes them anew",
        )
    ]


def _left_behind(paths: Paths) -> list[Finding]:
    """Name what killed commands have left; whoever writes there now holds the lease."""
    remedies = {
        paths.rebuilding: f"profile-pipeline rebuild  # starts over, and removes it; or, where the tables are to stay: rm -r {word(paths.rebuilding)}",
        paths.restoring: f"profile-pipeline restore …  # again, and it is removed; or, where nothing is to be restored: rm -r {word(paths.restoring)}",
        paths.replaced: "profile-pipeline restore …  # the same backup again: some of what it holds may be in place, and some not",
    }
    what = {paths.rebuilding: "a rebuild", paths.restoring: "a restore", paths.replaced: "a restore"}
    return [
        Finding(f"{path} is left of {what[path]} that was killed, {_size_of(path)}", False, remedy)
        for path, remedy in remedies.items()
        if path.is_dir()
    ]


def _size_of(folder: Path) -> str:
    return f"{sum(p.stat().st_size for p in folder.rglob('*') if p.is_file()) / 1e6:,.1f} MB"


def _other_mappings(settings: Settings, ask: Ask) -> list[Finding]:
    changed = [place for told in refusals(ask, settings).values() for place, _, _ in told]
    if not changed:
        return []
    return [
        Finding(
            f"the tables were built with another {', '.join(changed[:LISTED])}: nothing is written to them",
            False,
            "profile-pipeline run  # says what differs, and which command helps",
        )
    ]


def _told_of(balance: Balance) -> Finding:
    if balance.faults:
        listed = "; ".join(balance.faults[:LISTED])
        return Finding(
            f"{counted(len(balance.faults), 'file or day does', 'files or days do')} not add up: {listed}",
            False,
            "profile-pipeline run --from … --to … for the days named; if a file is named, restore the database from a backup",
        )
    return Finding("every record that was read is in exactly one place", True)


def _broken_home(home: Path, why: str) -> Finding:
    remedy = f"profile-pipeline restore …  # a backup; or: rm -r {word(home)}, which loses the history of runs: Dagster then draws as not built what is"
    return Finding(f"{home} is broken: {why}", False, remedy)


def _instance(paths: Paths) -> list[Finding]:
    home = paths.dagster_home
    if not home.exists():
        return [Finding(f"no Dagster instance at {home} yet", True, "make ui")]
    schedules = home / "schedules" / "schedules.db"
    if schedules.exists():
        try:
            with sqlite3.connect(schedules) as connection:
                heads = connection.execute("select count(*) from alembic_version").fetchone()[0]
        except sqlite3.DatabaseError as error:
            return [_broken_home(home, str(error))]
        if heads > 1:
            return [_broken_home(home, "two servers created it at once")]
    try:
        instance = open_instance(paths)
    except DatabaseError as error:
        return [_broken_home(home, str(error).splitlines()[0])]
    try:
        orphaned = orphaned_runs(instance, paths)
    finally:
        instance.dispose()
    if orphaned:
        ids = ", ".join(run.run_id[:8] for run in orphaned)
        return [
            Finding(
                f"{counted(len(orphaned), 'run')} that nobody works on: {ids}",
                False,
                "make ui  # ends and retries them",
            )
        ]
    return [Finding(f"Dagster instance {home}", True)]
