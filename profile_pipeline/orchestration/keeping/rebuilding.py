"""Building all tables anew from the archive, beside those that stand, which they replace once they are finished.

What was built before is built again: the same snapshots, weeks and profiles. A rebuild that is killed has changed nothing; the
next one starts over. Not here: reading files (`ingesting`), single runs (`steps`), or the command line.
"""

import contextlib
import datetime as dt
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import dagster as dg
import pyarrow as pa

from profile_pipeline.errors import ConfigurationError
from profile_pipeline.orchestration.building.days import last_day_of, stretches
from profile_pipeline.orchestration.building.dismissed import dismissed_records, keep_dismissed
from profile_pipeline.orchestration.building.naming import NamedAfter, recorded_names, written
from profile_pipeline.orchestration.instance import open_instance, require_no_run
from profile_pipeline.orchestration.keeping.built_with import refusals, source_fact
from profile_pipeline.orchestration.resources import open_warehouse
from profile_pipeline.orchestration.running import Runner
from profile_pipeline.orchestration.table_assets import key_of
from profile_pipeline.paths import Paths
from profile_pipeline.raw.archive import Archived, DamagedArchiveError, archived_path, deliveries, describe
from profile_pipeline.raw.landing import claimed_by
from profile_pipeline.raw.tables import BUILT_WITH, FILES, RECORD_TABLES, REJECTED_RECORDS
from profile_pipeline.settings import Settings
from profile_pipeline.warehouse.duckdb import EngineError, Warehouse
from profile_pipeline.warehouse.lease import lease
from profile_pipeline.warehouse.opening import WarehouseError
from profile_pipeline.warehouse.replacing import put_in_place
from profile_pipeline.wording import counted

LISTED = 5
OWNER = "profile-pipeline rebuild"
RECORDS_AT_ONCE, RECORDS_A_PAGE = 100_000, 10_000


@dataclass(frozen=True)
class Before:
    """What the tables that stand hold that files do not tell."""

    snapshots: list[dt.date]
    weeks: list[dt.date]
    contests: list[dt.date]
    profiles: list[dt.date]
    dismissed: pa.Table
    named_after: NamedAfter


def rebuild(settings: Settings, paths: Paths, *, sources: Sequence[str], say: Callable[[str], None]) -> Runner:
    """Build everything anew; return who did it, for what it measured.

    Parameters
    ----------
    sources
        Read the files of these anew, and take the records of all others as they stand; none: read all files anew.

    Raises
    ------
    DamagedArchiveError
        If the archive has lost files, or sidecars can't be read: all of them are named, and nothing is changed.
    ConfigurationError
        If records of other sources, which are to stay, were built with something else than the configuration says.
    WarehouseError
        If records are to stay and the warehouse can't be opened.
    LeaseTimeoutError, RunAtWorkError
        If the UI or a run is at work: models that are trained now would be written into the new tables.
    """
    require_no_run(paths)
    work = replace(paths, data=paths.rebuilding, shared_archive=paths.archive)
    with lease(paths.ui_lock, owner=OWNER, timeout_seconds=0, say=say), _held(settings, paths, say) as old:
        deliveries(paths.archive)
        if work.data.exists():
            say(f"what a rebuild that was killed has left in {work.data} is removed")
            shutil.rmtree(work.data)
        before = None
        if old is not None:
            if sources:
                _require_others_same(old, settings, sources)
            before = _look(old, settings, paths, say)
            _require_all_files(old, paths, _read_anew(old, settings, sources) if sources else None)
        runner = Runner(settings, work, say)
        if sources:
            if old is None:
                raise WarehouseError(
                    f"{paths.warehouse} can't be read, so no record of it can stay: profile-pipeline rebuild"
                )
            _keep_others(old, runner, sources)
        with runner.publishing_once():
            _build(runner, before)
        runner.instance.dispose()
        _tell(work, paths)
        _swap(work, paths)
    return runner


@contextlib.contextmanager
def _held(settings: Settings, paths: Paths, say: Callable[[str], None]) -> Iterator[Warehouse | None]:
    """Hold the lease of the tables that stand until they are replaced; give them, where they can be read.

    Everything that is in the write-ahead log goes into the file: the log would outlive it.
    """
    if paths.warehouse.exists():
        old = open_warehouse(settings, paths, owner=OWNER, say=say)
        try:
            old.connection.execute("checkpoint").fetchall()
        except WarehouseError as error:
            say(f"what stands is not looked at: {error}")
        else:
            with contextlib.closing(old):
                yield old
            return
    place = paths.warehouse.with_suffix(".duckdb.lease")
    with lease(place, owner=OWNER, timeout_seconds=settings.lease_timeout_seconds, say=say):
        yield None


def _require_others_same(old: Warehouse, settings: Settings, sources: Sequence[str]) -> None:
    """Refuse to keep records of others that were built with something else."""
    others = sorted(refusals(old.rows, settings).keys() - set(map(source_fact, sources)))
    if others:
        raise ConfigurationError(
            f"found other changes too: {', '.join(others)}. Build all tables anew: profile-pipeline rebuild"
        )


def _read_anew(old: Warehouse, settings: Settings, sources: Sequence[str]) -> list[str]:
    """Return the ids of the files of these sources: as they were claimed, and as they are claimed now."""
    return sorted(
        {
            file_id
            for file_id, source, path in old.rows("select file_id, source, path from raw.files")
            if source in sources or claimed_by(path, settings.sources) in sources
        }
    )


def _require_all_files(old: Warehouse, paths: Paths, anew: Sequence[str] | None) -> None:
    """Refuse to replace tables by poorer ones, because the archive has lost what they were made of.

    Parameters
    ----------
    anew
        Ids of the files that are read; none: all of them.

    Raises
    ------
    DamagedArchiveError
        With the names of the files.
    """
    lost = [
        path
        for file_id, path in old.rows(
            "select file_id, min(path) from raw.files where n_loaded > 0 and ($every or list_contains($anew, file_id)) group by file_id order by 2",
            {"every": anew is None, "anew": list(anew or ())},
        )
        if not archived_path(paths.archive, file_id).is_file()
    ]
    if lost:
        listed = ", ".join(lost[:LISTED]) + (", …" if len(lost) > LISTED else "")
        raise DamagedArchiveError(
            f"{paths.archive} lacks {counted(len(lost), 'file')} whose records the tables hold: {listed}. Nothing was changed."
            " Restore them from a backup, or deliver them again; then rebuild."
        )


def _look(old: Warehouse, settings: Settings, paths: Paths, say: Callable[[str], None]) -> Before | None:
    """Look at what was built; None where a damaged file does not say it: what files tell is enough to build everything."""
    try:
        _complete_sidecars(old, paths)
        return _built_before(old, settings)
    except EngineError as error:
        say(f"what stands can't be read, and is built anew as at a first load: {str(error).splitlines()[0]}")
        return None


def _built_before(old: Warehouse, settings: Settings) -> Before:
    several = [
        f"select week from models.{name} where algorithm is not null group by week having count(*) > 1"
        for name in settings.models
    ]
    return Before(
        snapshots=old.days("select distinct as_of_date from features.user_features"),
        weeks=old.days("select distinct week from evaluation.gates"),
        contests=old.days(f"select distinct week from ({' union all '.join(several)})") if several else [],
        profiles=old.days("select distinct as_of_date from profiles.user_profiles"),
        dismissed=dismissed_records(old),
        named_after=recorded_names(old, settings),
    )


def _complete_sidecars(old: Warehouse, paths: Paths) -> None:
    """Write into the archive what only the table of files knows: earlier releases described no file that no source claimed."""
    known = {(d.file_id, d.path) for d in deliveries(paths.archive)}
    for file_id, source, path, arrived_at in old.rows(
        "select file_id, source, path, arrived_at from raw.files order by arrived_at, path"
    ):
        place = archived_path(paths.archive, file_id)
        if (file_id, path) not in known and place.is_file():
            archived = Archived.standing(file_id, place)
            describe(archived, source=source, path=path, arrived_at=arrived_at, mapping_version="")


def _keep_others(old: Warehouse, runner: Runner, sources: Sequence[str]) -> None:
    """Copy the records of all files but those of these sources, and what they were built with."""
    told = {"anew": _read_anew(old, runner.settings, sources)}
    others = old.rows(
        "select distinct source from raw.files where n_loaded > 0 and not list_contains($anew, file_id)", told
    )
    facts = [source_fact(name) for (name,) in others if name not in sources]
    with contextlib.closing(runner.warehouse()) as new, new.transaction():
        for table in (FILES, *RECORD_TABLES.values(), REJECTED_RECORDS):
            kept = f"select * from {table.name} where not list_contains($anew, file_id)"
            rows = old.connection.sql(kept, params=told).to_arrow_reader(RECORDS_AT_ONCE)
            new.insert_from(table, "select * from incoming_arrow", rows)
        kept = (
            f"select * from {BUILT_WITH.name} where not starts_with(name, $of_a_source) or list_contains($facts, name)"
        )
        new.insert(BUILT_WITH, old.arrow(kept, {"of_a_source": source_fact(""), "facts": facts}))
        new.execute(
            "insert into raw.pending (file_id, event_date, n_events)"
            " select file_id, event_date, count(*) from raw.events group by file_id, event_date"
        )
        new.execute(
            "insert into cleaned.ledger (event_date, file_id, n_loaded, n_cleaned, n_excluded, n_waiting)"
            " select event_date, file_id, n_events, 0, 0, n_events from raw.pending"
        )


def _build(runner: Runner, before: Before | None) -> None:
    """Load the archive and build what a first load builds, and what was built before."""
    runner.reload()
    if before is None:
        runner.build_all()
        return
    with contextlib.closing(runner.warehouse()) as new:
        keep_dismissed(new, runner.settings, runner.paths.archive, before.dismissed)
    days = runner.days
    runner.build_features(days[max(0, len(days) - 1 - runner.settings.restate_days)], days[-1])
    for first, last in stretches(_in(days, before.snapshots) - _built(runner, "features.user_features")):
        runner.build_features(first, last)
    snapshots = _built(runner, "features.user_features")
    newest = runner.weeks[-runner.settings.training.backfill_weeks :]
    weeks = [w for w in sorted(_in(runner.weeks, before.weeks) | set(newest)) if last_day_of(w) in snapshots]
    for together in _up_to(weeks, set(before.contests)):
        runner.train(together, tags=written(before.named_after))
    runner.build_profiles(sorted((_in(days, before.profiles) | set(runner.profile_days())) & snapshots))
    runner.build_all()


def _in(calendar: Iterable[dt.date], days: Iterable[dt.date]) -> set[dt.date]:
    return set(calendar) & set(days)


def _built(runner: Runner, table: str) -> set[dt.date]:
    return {dt.date.fromisoformat(key) for key in runner.instance.get_materialized_partitions(key_of(table))}


def _up_to(weeks: Sequence[dt.date], ends: set[dt.date]) -> list[list[dt.date]]:
    """Cut weeks after each at which algorithms competed: they do so in the last week of a run."""
    found: list[list[dt.date]] = []
    is_open = False
    for week in weeks:
        if not is_open:
            found.append([])
        found[-1].append(week)
        is_open = week not in ends
    return found


def _tell(work: Paths, paths: Paths) -> None:
    """Tell the instance of the UI what was built, as it was told where it was built, in that order."""
    source = open_instance(work)
    try:
        told = [record for key in source.all_asset_keys() for record in _newest(source, key)]
    finally:
        source.dispose()
    target = open_instance(paths)
    try:
        for record in sorted(told, key=lambda r: (r.timestamp, r.storage_id)):
            if record.asset_materialization:
                target.report_runless_asset_event(record.asset_materialization)
    finally:
        target.dispose()


def _newest(instance: dg.DagsterInstance, key: dg.AssetKey) -> list[dg.EventLogRecord]:
    """Return the newest record of each partition of an asset."""
    newest: dict[str | None, dg.EventLogRecord] = {}
    cursor: str | None = None
    while True:
        page = instance.fetch_materializations(key, limit=RECORDS_A_PAGE, cursor=cursor)
        for record in page.records:
            newest.setdefault(record.partition_key, record)
        cursor = page.cursor
        if not page.has_more:
            return list(newest.values())


def _swap(work: Paths, paths: Paths) -> None:
    """Put what was built in the place of what stood, tables first."""
    paths.serving_is_behind.touch()
    put_in_place(work.warehouse, paths.warehouse)
    if work.serving.exists() and not work.serving_is_behind.exists():
        put_in_place(work.serving, paths.serving)
        paths.serving_is_behind.unlink()
    if work.reports.exists():
        shutil.copytree(work.reports, paths.reports, dirs_exist_ok=True)
    shutil.rmtree(work.data)
