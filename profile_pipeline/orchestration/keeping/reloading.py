"""Loading again what the archive holds and the warehouse does not know: after a rebuild, a restore, or a commit that was lost.

Not here: loading a file (`ingesting`), or the archive itself (`raw.archive`).
"""

import contextlib
import itertools
from collections.abc import Callable, Iterable, Set

from profile_pipeline.orchestration.building.ingesting import Ingested, Load
from profile_pipeline.orchestration.building.reading_apart import ReaderApart
from profile_pipeline.paths import Paths
from profile_pipeline.raw.archive import (
    Archived,
    DamagedArchiveError,
    Delivery,
    ids_of,
    told_by_sidecars,
    verified_path,
)
from profile_pipeline.raw.landing import LandingFile, claimed_by, order_of
from profile_pipeline.raw.readers.evaluate import connect
from profile_pipeline.settings import Settings
from profile_pipeline.warehouse.duckdb import Warehouse
from profile_pipeline.wording import counted


def lost_ids(warehouse: Warehouse, paths: Paths) -> list[str]:
    """Return the ids of archived files that the warehouse does not know: their commit was lost with a write-ahead log or the database."""
    known = {file_id for (file_id,) in warehouse.rows("select distinct file_id from raw.files")}
    return sorted(ids_of(paths.archive) - known)


def lost_files(paths: Paths, delivered: Iterable[Delivery], *, known: Set[str]) -> dict[str, str]:
    """Return the archived files that no table knows, with a path of each; what still lies where it landed waits for its load.

    Parameters
    ----------
    delivered
        What the sidecars say.
    known
        Ids of the files that a table knows.
    """
    return {d.file_id: d.path for d in delivered if d.file_id not in known and not (paths.landing / d.path).exists()}


def unknown_deliveries(warehouse: Warehouse, paths: Paths) -> tuple[list[Delivery], list[str]]:
    """Return what the archive holds and the warehouse does not know: of before it was restored, or all where it is new; and what is
    wrong with sidecars of files that it does not know.
    """
    known = set(warehouse.rows("select file_id, path from raw.files"))
    found, damaged = told_by_sidecars(paths.archive)
    known_ids = {file_id for file_id, _ in known}
    return (
        [d for d in found if (d.file_id, d.path) not in known],
        [told for file_id, told in damaged.items() if file_id not in known_ids],
    )


def reload_files(warehouse: Warehouse, settings: Settings, paths: Paths, *, say: Callable[[str], None]) -> Ingested:
    """Load from the archive what the warehouse does not know, as of the time at which it arrived and in that order.

    Raises
    ------
    DamagedArchiveError
        If the bytes of some files are not those that were delivered, or nobody can read which files they are; all others are
        loaded.
    """
    unknown, damaged = unknown_deliveries(warehouse, paths)
    files = sorted(
        ((d, claimed_by(d.path, settings.sources)) for d in unknown),
        key=lambda pair: (pair[0].arrived_at, order_of(pair[1], settings.sources), pair[0].path),
    )
    done, number = Ingested(), 0
    with contextlib.closing(connect()) as engine, ReaderApart() as apart:
        for arrived_at, together in itertools.groupby(files, key=lambda pair: pair[0].arrived_at):
            load = Load(warehouse, settings, paths, engine, apart, arrived_at, done)
            for delivery, source in together:
                number += 1
                try:
                    archived = Archived.standing(delivery.file_id, verified_path(paths.archive, delivery.file_id))
                except DamagedArchiveError as error:
                    damaged.append(str(error))
                    continue
                file = LandingFile(archived.path, delivery.path, source, archived.size_bytes, modified_ns=0)
                load.load(file, archived, arrived_at)
                if number % 50 == 0 and number < len(files):
                    say(f"{number:,} of {counted(len(files), 'file')} of the archive read")
            load.write_held()
    if damaged:
        raise DamagedArchiveError("\n".join(damaged))
    say(f"{counted(len(files), 'file')} of the archive, {counted(done.n_loaded, 'record')} loaded")
    return done
