"""Records that were rejected: listed, shown, and read again from the archive once the mapping is mended.

What is recovered enters as if it had been right the first time: the same row of the same file, judged like any other that waits.
A mapping that changed since is taken for that of the whole source only if it gives every row that is loaded as it stands, and cuts
files into the same records as before.
Not here: why a record is rejected (`raw.readers`), loading of files (`ingesting`), or the command line.
"""

import contextlib
import datetime as dt
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from profile_pipeline.errors import ConfigurationError
from profile_pipeline.orchestration.building.cleaning import write_ledger
from profile_pipeline.orchestration.building.ingesting import insert_batches
from profile_pipeline.orchestration.keeping.built_with import (
    adopt_source,
    differences,
    note_facts,
    source_fact,
    stored_facts,
)
from profile_pipeline.paths import Paths
from profile_pipeline.raw.archive import verified_path
from profile_pipeline.raw.readers.bytes import FileRefused
from profile_pipeline.raw.readers.evaluate import connect
from profile_pipeline.raw.readers.read import is_cut_as_mapped, read_file, texts_of_records
from profile_pipeline.raw.tables import EVENTS, RECORD_TABLES
from profile_pipeline.settings import Settings
from profile_pipeline.source_settings import SourceSettings
from profile_pipeline.table import quote_identifier
from profile_pipeline.warehouse.duckdb import Warehouse
from profile_pipeline.wording import counted

# Rejected records `r` with the path of their file.
WITH_PATH = "left join (select file_id, min(path) as path from raw.files where status = 'loaded' group by file_id) as f on f.file_id = r.file_id"

# Records of a file as the mapping gives them now, in a table of the connection's own.
READ_AGAIN = "temp.read_again"


@dataclass(frozen=True)
class Selection:
    """Which rejected records: by source, reason, and file (its path, or the beginning of its id); None: all.

    Records that were dismissed are left out, but for `dismissed`.
    """

    source: str | None = None
    reason: str | None = None
    file: str | None = None
    dismissed: bool = False

    @property
    def condition(self) -> str:
        """SQL over `r`, a rejected record."""
        return (
            "($source is null or r.source = $source) and ($reason is null or r.reason_code = $reason)"
            " and ($file is null or starts_with(r.file_id, $file) or r.file_id in (select file_id from raw.files where path = $file))"
            f" and r.dismissed_at is {'not ' if self.dismissed else ''}null"
        )

    @property
    def parameters(self) -> dict[str, Any]:
        return {"source": self.source, "reason": self.reason, "file": self.file}

    def written(self) -> str:
        """Return it as text, for the tag of a run."""
        return json.dumps(asdict(self), sort_keys=True)

    @staticmethod
    def parsed(text: str) -> "Selection":
        """Read what `written` gave."""
        return Selection(**json.loads(text))


def by_file_ids(w: Warehouse, selection: Selection) -> list[Selection]:
    """Return a selection as those that name a file by its id: tags of runs are kept, and a path may be of a person."""
    if selection.file is None:
        return [selection]
    ids = w.rows(
        "select distinct file_id from raw.files where path = $file or starts_with(file_id, $file) order by 1",
        {"file": selection.file},
    )
    return [replace(selection, file=file_id) for (file_id,) in ids]


@dataclass
class Recovered:
    """What reading again has brought."""

    n_recovered: int = 0
    n_still_rejected: int = 0


def rejected_groups(w: Warehouse, selection: Selection) -> list[dict[str, Any]]:
    """Return how many records were rejected, by source and reason, and where the first of them is: nothing of any record."""
    return w.dicts(
        "with rejected as (select r.source, r.reason_code, r.file_id, r.row_number, f.path from raw.rejected_records as r"
        f" {WITH_PATH}"
        f" where {selection.condition})"
        " select source, reason_code, count(*) as n_records, count(distinct file_id) as n_files,"
        " arg_min(path, (path, row_number)) as first_file, arg_min(row_number, (path, row_number)) as first_row"
        " from rejected group by source, reason_code order by n_records desc, source, reason_code",
        selection.parameters,
    )


def rejected_records(w: Warehouse, selection: Selection, *, limit: int) -> list[dict[str, Any]]:
    """Return rejected records with their text, in the order of their files."""
    return w.dicts(
        "select r.source, f.path, r.row_number, r.reason_code, r.detail, r.record from raw.rejected_records as r"
        f" {WITH_PATH}"
        f" where {selection.condition} order by r.source, f.path, r.row_number limit $limit",
        selection.parameters | {"limit": limit},
    )


def dismiss(w: Warehouse, selection: Selection, *, now: dt.datetime) -> int:
    """Note that rejected records have been looked at and stay out; they go on counting as rejected. Return how many."""
    return w.execute(
        f"update raw.rejected_records as r set dismissed_at = $now where {selection.condition}",
        selection.parameters | {"now": now},
    )


def recover(
    w: Warehouse,
    settings: Settings,
    paths: Paths,
    selection: Selection,
    *,
    now: dt.datetime,
    say: Callable[[str], None],
) -> Recovered:
    """Read the selected records of the archive again and load those that are right now; a file is one transaction.

    Raises
    ------
    DamagedArchiveError
        If the bytes of a file are not those that were delivered; files before it stay recovered.
    ConfigurationError
        If a mapping that changed gives other rows than those that are loaded, or other records: all of the source is to be built
        anew then.
    """
    done = Recovered()
    files = w.rows(
        f"select r.file_id, r.source, list(r.row_number order by r.row_number) from raw.rejected_records as r where {selection.condition} group by all order by all",
        selection.parameters,
    )
    with contextlib.closing(connect()) as engine:
        asked = {source for _, source, _ in files} | ({selection.source} if selection.source else set())
        _adopt_mappings(w, settings, paths, asked, engine=engine, say=say)
        for file_id, source, numbers in files:
            if source not in settings.sources:
                say(f"{counted(len(numbers), 'record')} of {source}, which is no source any more: still rejected")
                done.n_still_rejected += len(numbers)
                continue
            found, rejected = _read_again(verified_path(paths.archive, file_id), source, settings, numbers, engine)
            with w.transaction():
                n = _load(w, settings, file_id, source, found, now=now)
                _note_reasons(w, file_id, rejected)
                if n:
                    note_facts(w, settings, [source])
            done.n_recovered += n
            done.n_still_rejected += len(numbers) - n
    return done


@dataclass(frozen=True)
class _Beside:
    """A file as it stands beside what the mapping makes of it now."""

    n_records: int
    n_found: int
    n_same: int
    is_cut_alike: bool


def _adopt_mappings(
    w: Warehouse, settings: Settings, paths: Paths, sources: set[str], *, engine: Any, say: Callable[[str], None]
) -> None:
    """Take the changed mappings of sources for what their rows were built with, once that is seen to be true.

    Where nothing was loaded there is nothing to be taken; that files are cut as they were has to be seen all the same.
    """
    faults = []
    known, changed = stored_facts(w.rows).keys(), differences(w.rows, settings).keys()
    for name in sorted(sources & settings.sources.keys()):
        if source_fact(name) in known - changed:
            continue
        files = w.rows(
            "select file_id, n_records, n_loaded from raw.files where source = $source and status = 'loaded' order by 1",
            {"source": name},
        )
        n_loaded = sum(n for _, _, n in files)
        beside = [_beside(w, settings, paths, name, file_id, n_records, engine) for file_id, n_records, _ in files]
        n_same, cut = sum(b.n_same for b in beside), [b for b in beside if not b.is_cut_alike]
        anew = f"All of the source is to be read anew: profile-pipeline rebuild --source {name}"
        if cut:
            faults.append(
                f"sources.{name}: the mapping as it is now cuts {counted(len(cut), 'file')} into other records: found {sum(b.n_found for b in cut):,},"
                f" expected the same {sum(b.n_records for b in cut):,} as before. {anew}"
            )
        elif n_same < n_loaded:
            faults.append(
                f"sources.{name}: the mapping as it is now gives another row for {n_loaded - n_same:,} of {counted(n_loaded, 'loaded record')}. {anew}"
            )
        elif source_fact(name) in changed:
            say(f"{name}: the mapping as it is now gives the same row for each of {counted(n_loaded, 'loaded record')}")
            adopt_source(w, settings, name)
    if faults:
        raise ConfigurationError("\n".join(faults))


def _beside(
    w: Warehouse, settings: Settings, paths: Paths, name: str, file_id: str, n_records: int, engine: Any
) -> _Beside:
    """Hold a file as it stands against what the mapping makes of it now."""
    path, source = verified_path(paths.archive, file_id), settings.sources[name]
    try:
        read = read_file(path, name=name, source=source, engine=engine)
        n_same = sum(_count_same(w, settings, name, file_id, batch) for batch in read.batches)
        is_cut_alike = read.n_records == n_records and _has_rejected_texts(w, file_id, path, source)
    except FileRefused:
        return _Beside(n_records, 0, 0, is_cut_alike=False)
    return _Beside(n_records, read.n_records, n_same, is_cut_alike)


def _count_same(w: Warehouse, settings: Settings, name: str, file_id: str, batch: pa.Table) -> int:
    """Return how many records of a batch stand in the warehouse just as the mapping gives them now."""
    table = RECORD_TABLES[settings.sources[name].table]
    names = ", ".join(quote_identifier(c) for c in table.column_names if c != "loaded_at")
    w.temporary("read_again", f"select * from {table.name} where false")
    fresh = replace(table, name=READ_AGAIN)
    insert_batches(w, settings, name, [(file_id, batch)], now=dt.datetime(1970, 1, 1), into=fresh)
    same = f"select {names} from {READ_AGAIN} intersect select {names} from {table.name} where file_id = $file"
    n_same = w.scalar(f"select count(*) from ({same})", {"file": file_id})
    w.drop("read_again")
    return n_same


def _has_rejected_texts(w: Warehouse, file_id: str, path: Path, source: SourceSettings) -> bool:
    """Say whether the records that are rejected stand at their rows, as the mapping cuts the file now; another encoding gives another text."""
    if not is_cut_as_mapped(source):
        return True
    rejected = dict(
        w.rows(
            "select row_number, record from raw.rejected_records where file_id = $file and reason_code <> 'bad_encoding'",
            {"file": file_id},
        )
    )
    return not rejected or rejected == {n: text for n, text in texts_of_records(path, source) if n in rejected}


def _read_again(
    path: Path, name: str, settings: Settings, numbers: list[int], engine: Any
) -> tuple[list[pa.Table], pa.Table | None]:
    """Return the records of these row numbers that can be loaded now, and why the others can't; None: the file can't be read."""
    wanted = pa.array(numbers, pa.int64())
    try:
        read = read_file(path, name=name, source=settings.sources[name], engine=engine)
        loaded = [batch.filter(pc.is_in(batch.column("row_number"), value_set=wanted)) for batch in read.batches]
    except FileRefused:
        return [], None
    return loaded, read.rejected.filter(pc.is_in(read.rejected.column("row_number"), value_set=wanted))


def _note_reasons(w: Warehouse, file_id: str, rejected: pa.Table | None) -> None:
    """Note why records stay rejected: by a mended mapping it may be for another reason than before."""
    if rejected is None or not rejected.num_rows:
        return
    w.temporary("still_rejected", rejected)
    w.execute(
        "update raw.rejected_records as r set reason_code = s.reason_code, detail = s.detail from still_rejected as s"
        " where r.file_id = $file and r.row_number = s.row_number",
        {"file": file_id},
    )
    w.drop("still_rejected")


def _load(
    w: Warehouse, settings: Settings, file_id: str, source: str, batches: list[pa.Table], *, now: dt.datetime
) -> int:
    """Move records from the rejected ones to the loaded ones, and let their days wait."""
    table = RECORD_TABLES[settings.sources[source].table]
    numbers = [n for batch in batches for n in batch.column("row_number").to_pylist()]
    if not numbers:
        return 0
    of = {"file": file_id, "numbers": numbers}
    w.execute("delete from raw.rejected_records where file_id = $file and list_contains($numbers, row_number)", of)
    insert_batches(w, settings, source, [(file_id, batch) for batch in batches], now=now)
    w.execute(
        "update raw.files set n_loaded = n_loaded + $n, n_rejected = n_rejected - $n where file_id = $file and status = 'loaded'",
        {"file": file_id, "n": len(numbers)},
    )
    if table is EVENTS:
        w.temporary(
            "recovered_days",
            "select event_date, count(*) as n from raw.events where file_id = $file and list_contains($numbers, row_number) group by event_date",
            of,
        )
        w.execute(
            "update raw.pending as p set n_events = p.n_events + d.n from recovered_days as d where p.file_id = $file and p.event_date = d.event_date",
            {"file": file_id},
        )
        w.execute(
            "insert into raw.pending (file_id, event_date, n_events) select $file, d.event_date, d.n from recovered_days as d"
            " anti join (select event_date from raw.pending where file_id = $file) as p using (event_date)",
            {"file": file_id},
        )
        write_ledger(w, w.days("select event_date from recovered_days"))
        w.drop("recovered_days")
    return len(numbers)
