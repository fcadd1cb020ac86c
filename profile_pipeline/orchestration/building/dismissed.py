"""Records that were dismissed stay out where their file is read anew: by a load, as by a rebuild.

What was dismissed is a record, by its text in its file. Its row number is another one where a mended mapping cuts the file into
other records; where none of these has its text, nothing is left of what was dismissed. Not here: dismissing a record (`recovering`), or why one is rejected
(`raw.readers`).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from profile_pipeline.orchestration.building.cleaning import write_ledger
from profile_pipeline.raw.archive import verified_path
from profile_pipeline.raw.readers.read import is_cut_as_mapped, texts_of_records
from profile_pipeline.raw.tables import DISMISSED_BEFORE, EVENTS, RECORD_TABLES, REJECTED_RECORDS
from profile_pipeline.settings import Settings
from profile_pipeline.warehouse.duckdb import Warehouse

_DISMISSED = f"select * from {REJECTED_RECORDS.name} where dismissed_at is not null union all by name from {DISMISSED_BEFORE.name}"


def dismissed_records(w: Warehouse) -> pa.Table:
    """Return all records that were dismissed, of files that stand loaded or were refused as a whole since."""
    return w.arrow(_DISMISSED)


def forget_rejected(w: Warehouse, file_ids: Sequence[str]) -> pa.Table:
    """Remove the rejected records of files that are read anew; return those of them that were dismissed."""
    of = {"files": list(file_ids)}
    dismissed = w.arrow(f"select * from ({_DISMISSED}) where list_contains($files, file_id)", of)
    for table in (REJECTED_RECORDS, DISMISSED_BEFORE):
        w.execute(f"delete from {table.name} where list_contains($files, file_id)", of)
    return dismissed


def rows_now(dismissed: Mapping[int, str], records: Iterable[tuple[int, str]]) -> dict[int, int]:
    """Return at which row of a file each dismissed record is now, by the row at which it was; one that is no record any more is left out.

    Parameters
    ----------
    dismissed
        Texts of the dismissed records, by row number. Of equal ones the first is taken for the first that is there now, and so on.
    records
        All records of the file as it is cut now: row number and text.

    Examples
    --------
    >>> rows_now({3: "bad", 5: "bad", 7: "joined"}, [(1, "good"), (4, "bad"), (6, "bad"), (8, "bad")])
    {3: 4, 5: 6}
    """
    then, now, texts = defaultdict(list), defaultdict(list), set(dismissed.values())
    for number, text in sorted(dismissed.items()):
        then[text].append(number)
    for number, text in records:
        if text in texts:
            now[text].append(number)
    return {was: is_now for text, rows in then.items() for was, is_now in zip(rows, sorted(now[text]), strict=False)}


def _at_rows_now(w: Warehouse, settings: Settings, archive: Path, dismissed: pa.Table) -> pa.Table:
    """Return dismissed records with the row numbers that they have now.

    Only files of which one is not rejected again where it was are looked at.
    """
    w.temporary("dismissed_then", dismissed)
    files = w.rows(
        f"with moved as (select file_id from dismissed_then anti join {REJECTED_RECORDS.name} using (file_id, row_number, record))"
        " select distinct file_id, source from raw.files semi join moved using (file_id) where status = 'loaded' order by 1"
    )
    w.drop("dismissed_then")
    cut = {file_id: settings.sources[name] for file_id, name in files if is_cut_as_mapped(settings.sources[name])}
    texts: dict[str, dict[int, str]] = {file_id: {} for file_id in cut}
    places = [*zip(dismissed["file_id"].to_pylist(), dismissed["row_number"].to_pylist(), strict=True)]
    for (file_id, number), text in zip(places, dismissed["record"].to_pylist(), strict=True):
        if file_id in cut:
            texts[file_id][number] = text
    now = {
        file_id: rows_now(texts[file_id], texts_of_records(verified_path(archive, file_id), source))
        for file_id, source in cut.items()
    }
    numbers = [now[file_id].get(number) if file_id in cut else number for file_id, number in places]
    at = dismissed.schema.get_field_index("row_number")
    moved = dismissed.set_column(at, "row_number", pa.array(numbers, pa.int64()))
    return moved.filter(pc.is_valid(moved["row_number"]))


def keep_dismissed(w: Warehouse, settings: Settings, archive: Path, dismissed: pa.Table) -> dict[str, int]:
    """Take what was dismissed out again where a file that was read anew has loaded it, before anything is judged.

    Where a file is refused as a whole, it is kept until the file can be read.

    Parameters
    ----------
    dismissed
        Rows of `raw.rejected_records`, as they were before.

    Returns
    -------
    dict
        How many loaded records were taken out, by file_id.
    """
    taken_out: dict[str, int] = {}
    w.temporary("dismissed_before", _at_rows_now(w, settings, archive, dismissed))
    with w.transaction():
        w.execute(
            "update raw.rejected_records as r set dismissed_at = d.dismissed_at from dismissed_before as d"
            " where r.file_id = d.file_id and r.row_number = d.row_number"
        )
        for table in RECORD_TABLES.values():
            day = "event_date" if table is EVENTS else "null::date"
            w.temporary(
                "dismissed_now",
                f"select file_id, row_number, {day} as event_date from {table.name} semi join dismissed_before using (file_id, row_number)",
            )
            w.execute(
                f"delete from {table.name} as t using dismissed_now as d where t.file_id = d.file_id and t.row_number = d.row_number"
            )
            w.insert(
                REJECTED_RECORDS, "select * from dismissed_before semi join dismissed_now using (file_id, row_number)"
            )
            taken_out |= dict(w.rows("select file_id, count(*) from dismissed_now group by file_id"))
            w.execute(
                "update raw.files as f set n_loaded = f.n_loaded - d.n, n_rejected = f.n_rejected + d.n"
                " from (select file_id, count(*) as n from dismissed_now group by file_id) as d"
                " where f.file_id = d.file_id and f.status = 'loaded'"
            )
            if table is EVENTS:
                w.execute(
                    "update raw.pending as p set n_events = p.n_events - d.n"
                    " from (select file_id, event_date, count(*) as n from dismissed_now group by all) as d"
                    " where p.file_id = d.file_id and p.event_date = d.event_date"
                )
                w.execute("delete from raw.pending where n_events = 0 and file_id is not null")
                write_ledger(w, w.days("select distinct event_date from dismissed_now"))
            w.drop("dismissed_now")
        w.insert(
            DISMISSED_BEFORE,
            "select * from dismissed_before anti join (from raw.files where status = 'loaded') as f using (file_id)",
        )
    w.drop("dismissed_before")
    return taken_out
