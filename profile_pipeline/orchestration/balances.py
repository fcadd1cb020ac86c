"""Sums that have to agree over whole tables: what a sample of people can't see, such as rows of nobody, or rows twice.

Each is one query for what does not balance: (day or null, what, found, expected). Cheap enough for every table and day, and
apart from the SQL that makes the tables. Not here: what is compared row by row (`verifying`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from profile_pipeline.features.tables import BEHAVIOR, USER_FEATURES
from profile_pipeline.raw.roles import COUNT_OF_ROLE
from profile_pipeline.raw.tables import RECORD_TABLES
from profile_pipeline.table import Table, quote_identifier

SNAPSHOTS = ("features.demand", "features.user_features")


@dataclass(frozen=True)
class Balance:
    """What has to agree, and the query for where it does not."""

    table: str
    what: str
    query: str


def balances(tables: Sequence[Table], *, has_events: bool) -> list[Balance]:
    """Return all of them.

    Parameters
    ----------
    tables
        All tables of the configuration; each has to hold its keys once.
    has_events
        False: people are those of the CRM, and nothing is counted of events.
    """
    known = {table.name: table for table in tables}
    keyed = [t for t in tables if t.schema in ("raw", "cleaned", "features", "profiles") and t.name not in _UNKEYED]
    counted = [*_files(), *_ledger(), *_sums(), *_sessions(), *_interests(), *_matrix(known["features.user_features"])]
    return [*map(_once, keyed), *(counted if has_events else _files()), *_nobody()]


# raw.pending holds a day that was opened without a file; touched and stale_days are notes.
_UNKEYED = ("raw.pending", "cleaned.touched", "features.stale_days")


def _once(table: Table) -> Balance:
    key = ", ".join(quote_identifier(name) for name in table.key)
    day = f"min({table.partition_column})" if table.partition_column else "null"
    return Balance(
        table.name,
        f"({', '.join(table.key)}) stands once",
        f"select cast(day as varchar), 'rows of one key', n, 1 from"
        f" (select {day} as day, count(*) as n from {table.name} group by {key} having count(*) > 1)",
    )


def _files() -> list[Balance]:
    rows = " union all ".join(
        f"select file_id, count(*) as n from {table.name} group by file_id" for table in RECORD_TABLES.values()
    )
    files = "raw.files where status = 'loaded'"
    found = [
        Balance(
            "raw.files", "records loaded are there",
            f"with there as (select file_id, sum(n) as n from ({rows}) group by file_id), files as (select file_id, n_loaded from {files})"
            " select null, 'records of file ' || left(coalesce(file_id, ''), 12), coalesce(n, 0), coalesce(n_loaded, 0)"
            " from files full join there using (file_id) where coalesce(n, 0) <> coalesce(n_loaded, 0)",
        ),
        Balance(
            "raw.rejected_records", "records rejected are there",
            f"with there as (select file_id, count(*) as n from raw.rejected_records group by file_id), files as (select file_id, n_rejected from {files})"
            " select null, 'rejected records of file ' || left(coalesce(file_id, ''), 12), coalesce(n, 0), coalesce(n_rejected, 0)"
            " from files full join there using (file_id) where coalesce(n, 0) <> coalesce(n_rejected, 0)",
        ),
        Balance(
            "raw.files", "records = loaded + rejected + suppressed",
            "select null, 'records of file ' || left(file_id, 12), n_records, n_loaded + n_rejected + n_suppressed from raw.files"
            " where n_records <> n_loaded + n_rejected + n_suppressed",
        ),
    ]  # fmt: skip
    return found


def _ledger() -> list[Balance]:
    by_file = "event_date, file_id, count(*) as n"
    counts = (
        f"with l as (select {by_file} from raw.events group by all), c as (select {by_file} from cleaned.events group by all),"
        f" x as (select {by_file} from cleaned.excluded_events group by all),"
        " w as (select event_date, file_id, sum(n_events) as n from raw.pending where file_id is not null group by all),"
        " t as (select event_date, file_id, coalesce(l.n, 0) as loaded, coalesce(c.n, 0) as counted, coalesce(x.n, 0) as excluded, coalesce(w.n, 0) as waiting"
        " from l full join c using (event_date, file_id) full join x using (event_date, file_id) full join w using (event_date, file_id))"
    )
    ledger = " union all ".join(
        f"select cast(event_date as varchar), '{name} of file ' || left(file_id, 12), coalesce({name}, 0), coalesce({there}, 0)"
        f" from t full join cleaned.ledger using (event_date, file_id) where coalesce({name}, 0) <> coalesce({there}, 0)"
        for name, there in (
            ("n_loaded", "loaded"),
            ("n_cleaned", "counted"),
            ("n_excluded", "excluded"),
            ("n_waiting", "waiting"),
        )
    )
    return [
        Balance(
            "cleaned.events", "loaded = cleaned + excluded + waiting",
            f"{counts} select cast(event_date as varchar), 'records placed of file ' || left(file_id, 12), counted + excluded + waiting, loaded"
            " from t where counted + excluded + waiting <> loaded",
        ),
        Balance("cleaned.ledger", "the ledger says what is there", f"{counts} {ledger}"),
        Balance(
            "cleaned.events", "no event counts and is excluded",
            "select cast(e.event_date as varchar), 'places of one record', 2, 1 from cleaned.events as e"
            " join cleaned.excluded_events as x using (file_id, row_number)",
        ),
        Balance(
            "cleaned.events", "what counts says what was loaded",
            "select cast(e.event_date as varchar), 'events unlike their record', count(*), 0 from cleaned.events as e left join raw.events as r"
            " on r.file_id = e.file_id and r.row_number = e.row_number where "
            + " or ".join(
                f"e.{name} is distinct from r.{name}"
                for name in ("event_id", "event_date", "event_time", "role", "device_id", "order_id", "item_id", "category", "brand", "query", "quantity", "value")
            )
            + " group by e.event_date",
        ),
    ]  # fmt: skip


def _by_day(table: str, upstream: str, pairs: dict[str, tuple[str, str]], where: str, upstream_where: str) -> Balance:
    """Sums of each day of two tables, that must agree: name -> (of the table, of what it is made of)."""
    mine = ", ".join(f"coalesce({of}, 0) as {name}" for name, (of, _) in pairs.items())
    theirs = ", ".join(f"coalesce({of}, 0) as {name}" for name, (_, of) in pairs.items())
    unequal = " union all ".join(
        f"select cast(event_date as varchar), '{name}, summed', coalesce(cast(m.{name} as varchar), '0'), coalesce(cast(t.{name} as varchar), '0')"
        f" from m full join t using (event_date) where coalesce(m.{name}, 0) <> coalesce(t.{name}, 0)"
        for name in pairs
    )
    return Balance(
        table, f"sums by day are those of {upstream}",
        f"with m as (select event_date, {mine} from {table} where {where} group by event_date),"
        f" t as (select event_date, {theirs} from {upstream} where {upstream_where} group by event_date) {unequal}",
    )  # fmt: skip


def _sums() -> list[Balance]:
    known = "alias_id is not null"
    events = {
        "n_events": ("sum(n_events)", "count(*)"),
        **{name: (f"sum({name})", f"count(*) filter (where role = '{role}')") for role, name in COUNT_OF_ROLE.items()},
        "purchase_amount": ("sum(purchase_amount)", "sum(amount) filter (where role = 'purchase')"),
        "refund_amount": ("sum(refund_amount)", "sum(amount) filter (where role = 'refund')"),
        "quantity": ("sum(quantity)", "sum(quantity) filter (where role = 'purchase')"),
        "n_aliases": ("count(*)", "count(distinct alias_id)"),
    }
    items = {
        "n": ("sum(n)", "count(*)"),
        "n_uncategorized": ("sum(n_uncategorized)", "count(*) filter (where category is null)"),
        "quantity": ("sum(quantity)", "sum(quantity)"),
        "amount": ("sum(amount)", "sum(amount)"),
        "value": ("sum(value)", "sum(value)"),
    }
    terms = {
        "categories": (
            "sum(n) filter (where kind = 'category')",
            "count(*) filter (where category is not null)",
        ),
        "brands": ("sum(n) filter (where kind = 'brand')", "count(*) filter (where brand is not null)"),
        "searches": (
            "count(distinct alias_id) filter (where kind = 'keyword')",
            r"count(distinct alias_id) filter (where trim(regexp_replace(query, '[ \t\n\f\r]+', ' ', 'g')) <> '')",
        ),
    }
    time = {
        "n_sessions": ("sum(n_sessions)", "sum(n_sessions)"),
        "session_seconds": ("sum(session_seconds)", "sum(session_seconds)"),
    }
    return [
        _by_day("features.user_days", "cleaned.events", events, "true", known),
        _by_day("features.user_item_days", "cleaned.events", items, "true", f"{known} and item_id is not null"),
        _by_day("features.user_term_days", "cleaned.events", terms, "true", known),
        _by_day("features.user_days", "cleaned.session_days", time, "true", "true"),
    ]


def _sessions() -> list[Balance]:
    starts = {"n_sessions": ("count(*)", "sum(n_sessions)")}
    return [
        _by_day("cleaned.sessions", "cleaned.session_days", starts, "true", "true"),
        Balance(
            "cleaned.sessions", "hold the events of all streams",
            "select null, 'events of streams', n, expected from (select coalesce(sum(n_events), 0) as n from cleaned.sessions),"
            " (select count(*) as expected from cleaned.events where stream_id is not null) where n <> expected",
        ),
        Balance(
            "cleaned.session_days", "belong to a session",
            "select cast(event_date as varchar), 'rows of no session', count(*), 0 from cleaned.session_days anti join cleaned.sessions"
            " using (session_id) group by event_date",
        ),
    ]  # fmt: skip


def _interests() -> list[Balance]:
    return [
        Balance(
            "features.interests", "ranks go from 1 without a hole",
            "select cast(as_of_date as varchar), 'interests of ' || profile_id, max(rank), count(*) from features.interests"
            " group by as_of_date, profile_id, kind having max(rank) <> count(*)",
        ),
    ]  # fmt: skip


def _matrix(matrix: Table) -> list[Balance]:
    """The rows of a day are the same people in each table, and what stands in two tables is the same."""
    shared = [
        name
        for name in BEHAVIOR.column_names
        if name in matrix.column_names and name not in USER_FEATURES.key and name in BEHAVIOR.types
    ]
    differs = " or ".join(f"cast(b.{name} as double) is distinct from m.{name}" for name in shared)
    return [
        *(
            Balance(
                name, "has the people of features.behavior",
                f"select cast(as_of_date as varchar), 'people without a row in features.behavior', count(*), 0 from {name}"
                " anti join features.behavior using (as_of_date, profile_id) group by as_of_date"
                " union all select cast(as_of_date as varchar), 'people of features.behavior without a row', count(*), 0 from features.behavior"
                f" anti join {name} using (as_of_date, profile_id) group by as_of_date",
            )
            for name in SNAPSHOTS
        ),
        Balance(
            matrix.name, "says what features.behavior says",
            f"select cast(b.as_of_date as varchar), 'people for whom it differs', count(*), 0 from features.behavior as b"
            f" join {matrix.name} as m using (as_of_date, profile_id) where {differs} group by b.as_of_date",
        ),
    ]  # fmt: skip


def _nobody() -> list[Balance]:
    """Rows of profiles that nobody was on that day."""
    tables = (
        "features.behavior",
        "features.interests",
        "features.user_features",
        "profiles.user_profiles",
        "profiles.tags",
        "profiles.scores",
    )
    return [
        Balance(
            name, "are of people known that day",
            f"select cast(t.as_of_date as varchar), 'rows of nobody', count(*), 0 from {name} as t where not exists (select 1 from cleaned.identities as i"
            " where i.profile_id = t.profile_id and i.valid_from <= t.as_of_date and (i.valid_to is null or i.valid_to > t.as_of_date))"
            " group by t.as_of_date",
        )
        for name in tables
    ]  # fmt: skip
