"""Sums that have to agree over whole tables: what a sample of people can't see, such as rows of nobody, or rows twice.

Each is one query for what does not balance: (day or null, what, found, expected). Cheap enough for every table and day, and
apart from the SQL that makes the tables. Here are those of raw and cleaned and of the days of aliases. Not here: those of snapshots
and what is made of them (`snapshot_balances`), or what is compared for sampled people (`verifying`).
"""

from collections.abc import Sequence

from profile_pipeline.orchestration.verifying.sampled_rows import NAMED
from profile_pipeline.orchestration.verifying.snapshot_balances import (
    balances_of_deliveries,
    balances_of_snapshots,
    rows_of_nobody,
)
from profile_pipeline.raw.roles import COUNT_OF_ROLE
from profile_pipeline.raw.tables import RECORD_TABLES
from profile_pipeline.table import Table, quote_identifier
from profile_pipeline.verification.compare import Balance

CRM_COLUMNS = (
    "gender",
    "birth_date",
    "birth_year",
    "income_band",
    "occupation",
    "education",
    "city",
    "country",
    "registered_at",
)
ITEM_COLUMNS = ("kind", "title", "categories", "brand", "author", "price", "currency")


def balances(tables: Sequence[Table], *, has_events: bool, activity_days: int) -> list[Balance]:
    """Return all of them.

    Parameters
    ----------
    tables
        All tables of the configuration; each has to hold its keys once.
    has_events
        False: people are those of the CRM, and nothing is counted of events.
    activity_days
        How long people stay in the snapshots without doing anything.
    """
    known = {table.name: table for table in tables}
    keyed = [t for t in tables if t.schema in _KEYED and t.name not in _UNKEYED]
    found = [*map(_once, keyed), *_files(), *_said_of_versions(), *rows_of_nobody(), *balances_of_deliveries()]
    if has_events:
        found += [*_ledger(), *_sums(), *_sessions()]
        found += balances_of_snapshots(known["features.user_features"], activity_days=activity_days)
    return found


_KEYED = ("raw", "cleaned", "features", "profiles", "applications")
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
            "select cast(e.event_date as varchar), 'events unlike their record', count(*), 0 from cleaned.events as e"
            f" left join ({NAMED}) as r on r.file_id = e.file_id and r.row_number = e.row_number where "
            + " or ".join(f"e.{name} is distinct from r.{name}" for name in _COPIED)
            + f" or cast(e.amount * 100 as hugeint) is distinct from {_CENTS} group by e.event_date",
        ),
        Balance(
            "raw.events", "what loading derives follows from the record",
            "select cast(event_date as varchar), 'records of another day or hash', count(*), 0 from raw.events"
            " where event_date <> cast(event_time at time zone 'UTC' at time zone $timezone as date) or event_hash <> hash(event_id) group by event_date",
        ),
    ]  # fmt: skip


# Columns of cleaned.events that say what the record says, or follow from it alone.
_COPIED = (
    "event_id", "event_date", "event_time", "role", "alias_id", "stream_id", "device_id", "order_id", "item_id", "category", "brand", "query",
    "quantity", "value",
)  # fmt: skip
# Cents of a record r, in whole numbers: half a cent goes up, away from zero. Wide enough for whatever a record holds.
_TEN_THOUSANDTHS = "cast(cast({} as decimal(38, 4)) * 10000 as hugeint)"
_CENTS = (
    "case when coalesce(r.currency <> $currency, false) then null when r.price is not null then"
    f" ({_TEN_THOUSANDTHS.format('coalesce(r.quantity, 1)')} * {_TEN_THOUSANDTHS.format('r.price')} + 500000) // 1000000"
    f" when r.role in ('purchase', 'refund') then sign(r.value) * (({_TEN_THOUSANDTHS.format('abs(r.value)')} + 50) // 100) end"
)


def _by_key(table: str, key: str, upstream: str, measures: dict[str, str], where: str) -> Balance:
    """Compare each row of a table with what it is made of: name -> its measure of the rows of one key, in SQL."""
    theirs = ", ".join(f"{of} as {name}" for name, of in measures.items())
    unlike = " or ".join(f"m.{name} is distinct from t.{name}" for name in measures)
    return Balance(
        table, f"rows are those of {upstream}",
        f"with t as (select {key}, {theirs}, true as is_made from {upstream} where {where} group by {key}),"
        f" m as (select {key}, {', '.join(measures)}, true as is_there from {table})"
        f" select cast(event_date as varchar), 'rows unlike what they are made of', count(*), 0 from m full join t using ({key})"
        f" where is_made is null or is_there is null or {unlike} group by event_date",
    )  # fmt: skip


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
    bought = "filter (where role = 'purchase')"
    local_hour = "date_part('hour', event_time at time zone 'UTC' at time zone $timezone)"
    events = {
        "n_events": "count(*)",
        **{name: f"count(*) filter (where role = '{role}')" for role, name in COUNT_OF_ROLE.items()},
        "n_orders": f"count(distinct if(order_id is null, 't' || cast(event_time as varchar), 'o' || order_id)) {bought}",
        "purchase_amount": f"coalesce(sum(amount) {bought}, 0)",
        "refund_amount": "coalesce(sum(amount) filter (where role = 'refund'), 0)",
        "quantity": f"sum(quantity) {bought}",
        "n_night_events": f"count(*) filter (where {local_hour} between 0 and 5)",
        "first_event_at": "min(event_time)",
        "last_event_at": "max(event_time)",
    }
    items = {
        "n": "count(*)",
        "n_uncategorized": "count(*) - count(category)",
        "n_unbranded": "count(*) - count(brand)",
        "quantity": "sum(quantity)",
        "amount": "sum(amount)",
        "value": "sum(value)",
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
        _by_key("features.user_days", "event_date, alias_id", "cleaned.events", events, known),
        _by_key(
            "features.user_item_days",
            "event_date, alias_id, item_id, role",
            "cleaned.events",
            items,
            f"{known} and item_id is not null",
        ),
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


def _said_of_versions() -> list[Balance]:
    """What a version says of a user or an item, some record has said; and who has a record has a version."""
    return [
        *(
            Balance(
                f"cleaned.{name}", f"has who is in raw.{name}",
                f"select null, 'keys on one side only', count(*), 0 from ((select {key} from raw.{name} except select {key} from cleaned.{name})"
                f" union all (select {key} from cleaned.{name} except select {key} from raw.{name})) having count(*) > 0",
            )
            for name, key in (("users", "user_id"), ("items", "item_id"), ("relations", "user_id, other_user_id"))
        ),
        *(
            Balance(
                f"cleaned.{name}", "says what a record has said",
                " union all ".join(
                    f"select null, '{column} of nobody', count(*), 0 from cleaned.{name} as t where {column} is not null and not exists"
                    f" (select 1 from raw.{name} as r where r.{key} = t.{key} and r.{column} = t.{column}) having count(*) > 0"
                    for column in columns
                ),
            )
            for name, key, columns in (("users", "user_id", CRM_COLUMNS), ("items", "item_id", ITEM_COLUMNS))
        ),
    ]  # fmt: skip
