"""Records that were dismissed stay out where their file is read anew: by a load, as by a rebuild.

Not here: dismissing a record (`recovering`), or why one is rejected (`raw.readers`).
"""

from collections.abc import Sequence

import pyarrow as pa

from profile_pipeline.orchestration.building.cleaning import write_ledger
from profile_pipeline.raw.tables import EVENTS, RECORD_TABLES, REJECTED_RECORDS
from profile_pipeline.warehouse.duckdb import Warehouse


def forget_rejected(w: Warehouse, file_ids: Sequence[str]) -> pa.Table:
    """Remove the rejected records of files that are read anew; return those of them that were dismissed."""
    of = {"files": list(file_ids)}
    among = f"from {REJECTED_RECORDS.name} where list_contains($files, file_id)"
    dismissed = w.arrow(f"select * {among} and dismissed_at is not null", of)
    w.execute(f"delete {among}", of)
    return dismissed


def keep_dismissed(w: Warehouse, dismissed: pa.Table) -> dict[str, int]:
    """Take what was dismissed out again where a file that was read anew has loaded it, before anything is judged.

    Parameters
    ----------
    dismissed
        Rows of `raw.rejected_records`.

    Returns
    -------
    dict
        How many loaded records were taken out, by file_id.
    """
    taken_out: dict[str, int] = {}
    w.temporary("dismissed_before", dismissed)
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
    w.drop("dismissed_before")
    return taken_out
