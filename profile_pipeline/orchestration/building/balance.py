"""The law of counting, asked of the tables themselves: every record that was read is in exactly one place.

Here are the queries that transactions assert before they commit and that `doctor` prints. Not here: writing the books
(`ingesting`, `cleaning`), or what a record is refused or excluded for.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from profile_pipeline.raw.tables import RECORD_TABLES
from profile_pipeline.wording import counted

LISTED = 5
IN_WHOLE = "in whole"


class CountingError(Exception):
    """Records would be lost or doubled; nothing was written."""


# Rows of a load, of a table: `loaded_at` is there for speed (newest blocks only), and a join finds a thousand files faster than a list.
def _loaded(table: str) -> str:
    return (
        f"select * from {table} semi join (select unnest($files) as file_id) using (file_id) where loaded_at >= $since"
    )


# Of each file in $files: records read, and where they are now.
_PLACED = " union all ".join(
    f"select file_id, count(*) as n_placed, 0 as n_refused from ({_loaded(table.name)}) group by file_id"
    for table in RECORD_TABLES.values()
)
_FILES_THAT_DO_NOT_ADD_UP = (
    f"with placed as ({_PLACED} union all select file_id, 0 as n_placed, count(*) as n_refused from ({_loaded('raw.rejected_records')}) group by file_id),"
    " found as (select file_id, cast(sum(n_placed) as bigint) as n_placed, cast(sum(n_refused) as bigint) as n_refused from placed group by file_id)"
    " select f.file_id, f.n_records, f.n_loaded, coalesce(n_placed, 0), f.n_rejected, coalesce(n_refused, 0), f.n_suppressed"
    f" from ({_loaded('raw.files')}) as f left join found using (file_id) where f.status = 'loaded'"
    " and (f.n_records <> f.n_loaded + f.n_rejected + f.n_suppressed or f.n_loaded <> coalesce(n_placed, 0) or f.n_rejected <> coalesce(n_refused, 0))"
    " order by f.path"
)
# Of the events of $files: as many as were loaded wait, day by day, and the ledger says so.
_EVENTS_THAT_DO_NOT_WAIT = (
    f"with loaded as (select event_date, file_id, count(*) as n from ({_loaded('raw.events')}) group by all),"
    " files as (select unnest($files) as file_id),"
    " waiting as (select event_date, file_id, cast(sum(n_events) as bigint) as n from raw.pending semi join files using (file_id) group by all),"
    " booked as (select event_date, file_id, n_loaded, n_waiting from cleaned.ledger semi join files using (file_id))"
    " select event_date, file_id, loaded.n, waiting.n, n_loaded, n_waiting from loaded full join waiting using (event_date, file_id)"
    " full join booked using (event_date, file_id) where loaded.n is distinct from waiting.n or loaded.n is distinct from n_loaded"
    " or loaded.n is distinct from n_waiting order by all"
)
# Of the days of `ledger_days`: each loaded event stands once in cleaned or excluded, or waits. Row numbers are summed as well: one
# event lost and another one doubled would leave the counts as they are.
_DAYS_THAT_DO_NOT_ADD_UP = (
    "with loaded as (select event_date, file_id, count(*) as n, sum(row_number) as told from raw.events semi join ledger_days using (event_date) group by all),"
    " cleaned as (select event_date, file_id, row_number, 1 as is_cleaned from cleaned.events semi join ledger_days using (event_date)),"
    " excluded as (select event_date, file_id, row_number, 0 as is_cleaned from cleaned.excluded_events semi join ledger_days using (event_date)),"
    " judged as (select event_date, file_id, count(*) as n, sum(is_cleaned) as n_cleaned, sum(row_number) as told"
    " from (select * from cleaned union all select * from excluded) group by all),"
    " waiting as (select event_date, file_id, sum(n_events) as n from raw.pending semi join ledger_days using (event_date) where file_id is not null group by all),"
    " placed as (select event_date, file_id, coalesce(loaded.n, 0) as n_loaded, coalesce(n_cleaned, 0) as n_cleaned, coalesce(judged.n - n_cleaned, 0) as n_excluded,"
    " coalesce(waiting.n, 0) as n_waiting, coalesce(loaded.told, 0) = coalesce(judged.told, 0) as is_told"
    " from loaded full join judged using (event_date, file_id) full join waiting using (event_date, file_id)),"
    " booked as (select l.* from cleaned.ledger as l semi join ledger_days using (event_date))"
    " select event_date, file_id, p.n_loaded, p.n_cleaned, p.n_excluded, p.n_waiting from placed as p full join booked as b using (event_date, file_id)"
    " where p.n_loaded <> p.n_cleaned + p.n_excluded + p.n_waiting or (p.n_waiting = 0 and not p.is_told)"
    " or (p.n_loaded, p.n_cleaned, p.n_excluded, p.n_waiting) is distinct from (b.n_loaded, b.n_cleaned, b.n_excluded, b.n_waiting)"
    " order by event_date, file_id"
)


def require_files_add_up(rows: Callable[..., list[tuple]], files: Sequence[str], *, since: Any) -> None:
    """Refuse a load unless, file by file, all records read are loaded or rejected, and all events loaded wait.

    Parameters
    ----------
    rows
        Asks the warehouse: query and parameters in, rows out.
    since
        `loaded_at` of the load, UTC.

    Raises
    ------
    CountingError
        With the files that do not add up; raised inside the transaction, which then writes nothing.
    """
    of = {"files": list(files), "since": since}
    faults = [
        f"file {file_id[:12]}: read {read}, loaded {loaded} (found {placed}), rejected {rejected} (found {refused}), suppressed {suppressed}"
        for file_id, read, loaded, placed, rejected, refused, suppressed in rows(_FILES_THAT_DO_NOT_ADD_UP, of)
    ] or [
        f"{day} of file {file_id[:12]}: loaded {loaded or 0}, waiting {waiting or 0}, in the ledger {booked or 0} and {booked_waiting or 0}"
        for day, file_id, loaded, waiting, booked, booked_waiting in rows(_EVENTS_THAT_DO_NOT_WAIT, of)
    ]
    _refuse(faults, "files")


def require_days_add_up(rows: Callable[..., list[tuple]]) -> None:
    """Refuse to commit unless each loaded event of the days in `ledger_days` is in exactly one place, and the ledger says where.

    Raises
    ------
    CountingError
        With the days and files that do not add up.
    """
    faults = [
        f"{day} of file {file_id[:12]}: loaded {n or 0}, cleaned {c or 0}, excluded {x or 0}, waiting {w or 0}"
        for day, file_id, n, c, x, w in rows(_DAYS_THAT_DO_NOT_ADD_UP)
    ]
    _refuse(faults, "days of files")


def _refuse(faults: list[str], what: str) -> None:
    if faults:
        raise CountingError(f"{len(faults)} {what} do not add up, nothing was written: {'; '.join(faults[:LISTED])}")


@dataclass(frozen=True)
class Balance:
    """Where the records of each source are, and of all together; what does not add up is named.

    Attributes
    ----------
    sources
        One row a source, then one of all: `read` as counted apart from the parser, and where records are now. Records that are no
        events count as `kept` where they are loaded.
    faults
        Files and days whose records are not where the books say.
    """

    sources: list[dict[str, Any]]
    excluded: dict[str, int]
    faults: list[str] = field(default_factory=list)


_OF_FILES = " union all ".join(
    f"select file_id, count(*) as n, 'kept' as place from {table.name} group by file_id"
    for table in RECORD_TABLES.values()
    if table.name != "raw.events"
)
_BALANCE = (
    "with places as ("
    "select file_id, count(*) as n, 'rejected' as place from raw.rejected_records group by file_id"
    f" union all {_OF_FILES}"
    " union all select file_id, count(*) as n, 'cleaned' as place from cleaned.events group by file_id"
    " union all select file_id, count(*) as n, 'excluded' as place from cleaned.excluded_events group by file_id"
    " union all select file_id, cast(sum(n_events) as bigint) as n, 'waiting' as place from raw.pending where file_id is not null group by file_id),"
    " found as (pivot places on place in ('kept', 'cleaned', 'excluded', 'waiting', 'rejected') using coalesce(sum(n), 0) group by file_id)"
    " select file_id, f.path, f.source, f.n_records, f.n_loaded, f.n_rejected, f.n_suppressed,"
    " coalesce(kept, 0), coalesce(cleaned, 0), coalesce(excluded, 0), coalesce(waiting, 0), coalesce(rejected, 0)"
    " from found full join (select * from raw.files where status = 'loaded') as f using (file_id) order by f.source, f.path"
)
_PLACES = ("kept", "cleaned", "excluded", "waiting", "rejected", "suppressed")


def balance_of(rows: Callable[..., list[tuple]]) -> Balance:
    """Count the records of all sources where they are now, and compare with what was read and with the books.

    Parameters
    ----------
    rows
        Asks the database, which may be open for reading only: query in, rows out.
    """
    sources: dict[str, dict[str, Any]] = {}
    faults: list[str] = []
    for file_id, path, source, read, loaded, rejected, suppressed, *places in rows(_BALANCE):
        if path is None:
            faults.append(f"{counted(sum(places), 'record')} of a file {file_id!s:.12} that was never loaded")
            continue
        found = dict(zip(_PLACES, (*places, suppressed), strict=True))
        row = sources.setdefault(source, {"source": source, "read": 0} | dict.fromkeys(_PLACES, 0))
        for name, n in {"read": read, **found}.items():
            row[name] += int(n)
        n_found = sum(found.values())
        if read != n_found or rejected != found["rejected"] or read != loaded + rejected + suppressed:
            faults.append(
                f"{path}: read {read:,}, found {n_found:,} ("
                + ", ".join(f"{n:,} {p}" for p, n in found.items() if n)
                + ")"
            )
    told = [*sources.values()]
    if len(told) > 1:
        told.append({"source": IN_WHOLE} | {name: sum(row[name] for row in told) for name in ("read", *_PLACES)})
    excluded = dict(rows("select reason_code, count(*) from cleaned.excluded_events group by 1 order by 2 desc, 1"))
    return Balance(told, excluded, [*faults, *_days_off_the_ledger(rows)])


def _days_off_the_ledger(rows: Callable[..., list[tuple]]) -> list[str]:
    days = "select distinct event_date from raw.events union select event_date from cleaned.ledger"
    rows(f"create or replace temp table ledger_days as {days}")
    return [
        f"{day} of file {file_id[:12]}: loaded {n or 0:,}, cleaned {c or 0:,}, excluded {x or 0:,}, waiting {w or 0:,}, and the ledger says otherwise"
        for day, file_id, n, c, x, w in rows(_DAYS_THAT_DO_NOT_ADD_UP)
    ]
