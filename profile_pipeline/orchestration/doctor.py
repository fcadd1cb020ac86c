"""What can be wrong with an installation, each with one command that helps.

Not here: mending it.
"""

import shutil
import sqlite3
from dataclasses import dataclass
from typing import Any

import duckdb

from profile_pipeline.errors import ConfigurationError
from profile_pipeline.orchestration.configuration import load_checked
from profile_pipeline.orchestration.instance import open_instance, orphaned_runs
from profile_pipeline.orchestration.storage import IS_KNOWN
from profile_pipeline.paths import Paths
from profile_pipeline.warehouse.lease import holder_of

LEAST_FREE_BYTES = 2_000_000_000


@dataclass(frozen=True)
class Finding:
    """Something that was looked at."""

    what: str
    is_ok: bool
    remedy: str = ""


def examine(paths: Paths) -> tuple[list[Finding], list[dict[str, Any]]]:
    """Look at everything; return what was found and the last ten files."""
    findings: list[Finding] = []
    files: list[dict[str, Any]] = []
    try:
        load_checked(paths)
        findings.append(Finding(f"configuration {paths.config}", True))
    except ConfigurationError as error:
        findings.append(Finding(f"configuration: {error}", False, f"edit {paths.config}"))
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
    if holder is None:
        findings += _warehouse(paths, files)
    findings += _instance(paths)
    findings.append(
        Finding(
            f"event storage with kept connections is {'on' if IS_KNOWN else 'off: this Dagster is not known, storage is stock and slower'}",
            True,
        )
    )
    return findings, files


def _warehouse(paths: Paths, files: list[dict[str, Any]]) -> list[Finding]:
    if not paths.warehouse.exists():
        return [Finding(f"no warehouse at {paths.warehouse} yet", True, "profile-pipeline run (or: make demo)")]
    try:
        connection = duckdb.connect(str(paths.warehouse), read_only=True)
    except duckdb.Error as error:
        text = str(error).splitlines()[0]
        if "lock" in text:
            return [
                Finding(
                    f"another program has the warehouse open: {text}",
                    False,
                    "close it; readers use data/serving.duckdb",
                )
            ]
        if "WAL" in text:
            return [
                Finding(
                    f"the write-ahead log is damaged: {text}",
                    False,
                    f"mv {paths.warehouse}.wal {paths.warehouse}.wal.damaged  # then: profile-pipeline run, which does again what its commits had",
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
                f"mv {paths.warehouse} {paths.warehouse}.damaged  # then: profile-pipeline run, which loads again from data/archive",
            )
        ]
    try:
        names = {
            f"{s}.{t}" for s, t in connection.execute("select schema_name, table_name from duckdb_tables()").fetchall()
        }
        findings = [Finding(f"warehouse {paths.warehouse}", True)]
        if "cleaned.ledger" in names:
            loaded, cleaned, excluded, waiting = connection.execute(
                "select coalesce(sum(n_loaded), 0), coalesce(sum(n_cleaned), 0), coalesce(sum(n_excluded), 0), coalesce(sum(n_waiting), 0) from cleaned.ledger"
            ).fetchall()[0]
            adds_up = loaded == cleaned + excluded + waiting
            findings.append(
                Finding(
                    f"events loaded {loaded:,} = cleaned {cleaned:,} + excluded {excluded:,} + waiting {waiting:,}",
                    adds_up,
                    ""
                    if adds_up
                    else "profile-pipeline run --from … --to … for the days of cleaned.ledger that do not add up",
                )
            )
            if waiting:
                findings.append(
                    Finding(
                        f"{waiting:,} events wait for a refresh",
                        True,
                        "profile-pipeline run (the running UI does it by itself)",
                    )
                )
            stale = connection.execute("select as_of_date from features.stale_days order by 1").fetchall()
            if stale:
                findings.append(
                    Finding(
                        f"{len(stale)} snapshots are outdated by late events: {', '.join(str(d) for (d,) in stale[:5])}",
                        True,
                        "profile-pipeline run --stale",
                    )
                )
            rows = connection.execute(
                "select f.path, f.status || coalesce(' (' || f.reason || ')', ''), coalesce(f.n_loaded, 0), coalesce((select cast(sum(n_events) as bigint) from raw.pending as p"
                " where p.file_id = f.file_id), 0) from raw.files as f order by f.loaded_at desc, f.path desc limit 10"
            ).fetchall()
            files += [dict(zip(("path", "status", "n_loaded", "n_waiting"), row, strict=True)) for row in rows]
        return findings
    finally:
        connection.close()


def _instance(paths: Paths) -> list[Finding]:
    home = paths.dagster_home
    if not home.exists():
        return [Finding(f"no Dagster instance at {home} yet", True, "make ui")]
    schedules = home / "schedules" / "schedules.db"
    if schedules.exists():
        with sqlite3.connect(schedules) as connection:
            heads = connection.execute("select count(*) from alembic_version").fetchone()[0]
        if heads > 1:
            return [
                Finding(
                    f"{home} is broken: two servers created it at once",
                    False,
                    f"rm -r {home}  # only the history of runs is lost",
                )
            ]
    instance = open_instance(paths)
    try:
        orphaned = orphaned_runs(instance, paths)
    finally:
        instance.dispose()
    if orphaned:
        ids = ", ".join(run.run_id[:8] for run in orphaned)
        return [Finding(f"{len(orphaned)} runs that nobody works on: {ids}", False, "make ui  # ends and retries them")]
    return [Finding(f"Dagster instance {home}", True)]
