"""Which people are looked at when the tables are verified, and the records of theirs that have to be read for it.

What a row rests on reaches further than the person: copies of a record may belong to somebody else, a stream may be shared,
a bot is judged by all that a stream did on a day. Here all of that is read from raw. Not here: what follows from it
(`verification`).
"""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from profile_pipeline.raw.tables import ITEMS, RELATIONS, USERS
from profile_pipeline.settings import Settings
from profile_pipeline.table import Table
from profile_pipeline.verification.judging import CANONICAL, COORDINATES, RawEvent, order_of_copy
from profile_pipeline.verification.versions import ITEM_FIELDS, TEXT, USER_FIELDS
from profile_pipeline.warehouse.duckdb import Warehouse

Row = dict[str, Any]

# Who has more records than this is no person; what one person costs is bounded by it.
MOST_EVENTS = 100_000
_ALIAS = "coalesce('user:' || user_id, 'email:' || email_hash, 'phone:' || phone_hash, 'anonymous:' || anonymous_id, 'device:' || device_id)"
_STREAM = "coalesce('anonymous:' || anonymous_id, 'device:' || device_id, 'user:' || user_id, 'email:' || email_hash, 'phone:' || phone_hash)"
NAMED = (
    f"select *, {_ALIAS} as alias_id, {_STREAM} as stream_id, 'device:' || device_id as device_alias, 'email:' || email_hash as email_alias,"
    " 'phone:' || phone_hash as phone_alias, 'user:' || user_id as user_alias from raw.events"
)
_WEAKER = ("stream_id", "device_alias", "email_alias", "phone_alias")
# People who are hard to get right, by what makes it hard: aliases, the hardest first. $seed puts equals in an order.
HARD: dict[str, str] = {
    "most events": f"select alias_id from ({NAMED}) where alias_id is not null group by alias_id having count(*) <= {MOST_EVENTS}"
    " order by count(*) desc, alias_id",
    "came late": f"with days as (select event_date, min(loaded_at) as first_loaded_at from raw.events group by event_date)"
    f" select alias_id from ({NAMED}) join days using (event_date) where loaded_at > first_loaded_at and alias_id is not null"
    " group by alias_id order by count(*) desc, alias_id",
    "shared by users": f"select device_alias from ({NAMED}) where device_alias is not null group by device_alias"
    " having count(distinct user_alias) > 1 order by md5($seed || device_alias)",
    "signed in later": f"select stream_id from ({NAMED}) where stream_id not like 'user:%' group by stream_id"
    " having count(distinct user_alias) > 0 and count(*) > count(user_alias) order by md5($seed || stream_id)",
    "over midnight": "select d.alias_id from cleaned.session_days as d join cleaned.sessions as s using (session_id)"
    " where d.event_date > s.event_date group by d.alias_id order by md5($seed || d.alias_id)",
    "not all counted": f"select alias_id from ({NAMED}) semi join cleaned.excluded_events using (file_id, row_number)"
    " where alias_id is not null group by alias_id order by md5($seed || alias_id)",
    "changed in the CRM": "select 'user:' || user_id from raw.users group by user_id having count(*) > 1 order by md5($seed || user_id)",
}  # fmt: skip
ANYBODY = (
    f"select alias_id from (select alias_id from ({NAMED}) where alias_id is not null group by alias_id having count(*) <= {MOST_EVENTS}"
    " union select 'user:' || user_id from raw.users where not $has_events) order by md5($seed || alias_id)"
)


@dataclass(frozen=True)
class Records:
    """What is read for some people.

    Attributes
    ----------
    aliases, streams, heads
        See `verification.people.People`.
    judged
        Places of the records on which the people's rows rest.
    pool
        Those, their copies, and what else their streams did on those days.
    waiting
        (file_id, event_date) of records that are in no table yet.
    """

    aliases: set[str]
    streams: set[str]
    heads: set[str]
    judged: set[tuple[str, int]]
    pool: list[RawEvent]
    waiting: set[tuple[str, dt.date]]
    arrived_at: dict[str, dt.datetime | None]
    order_of_copies: dict[tuple[str, int], tuple[Any, ...]]
    users: list[Row]
    items: list[Row]
    relations: list[Row]


def sampled_aliases(w: Warehouse, settings: Settings, *, n_people: int, seed: str) -> list[str]:
    """Return so many aliases, a third of them hard ones; the same for the same seed and data."""
    chosen: dict[str, None] = {}
    of_each = max(1, n_people // (3 * len(HARD)))
    for query in HARD.values():
        known = {"seed": seed} if "$seed" in query else {}
        chosen |= dict.fromkeys(alias for (alias,) in w.rows(f"{query} limit {of_each}", known))
    chosen = dict.fromkeys(list(chosen)[:n_people])
    anybody = w.rows(f"{ANYBODY} limit {2 * n_people + len(chosen)}", {"seed": seed, "has_events": settings.has_events})
    return list(chosen | dict.fromkeys(alias for (alias,) in anybody))[:n_people]


def read_records(w: Warehouse, aliases: Iterable[str]) -> Records:
    """Read what has to be known of some people.

    The users whom a weaker alias names are looked at with it, and a user's weaker aliases with him: only so is what a
    profile holds wholly known. Of an alias that many users share only the first two matter, who settle whose it is.
    """
    _hold(w, "asked_aliases", {"alias_id": list(aliases)})
    w.temporary(
        "asked_users",
        f"with seen as (select stream_id, device_alias, email_alias, phone_alias, user_alias, event_date from ({NAMED}) where user_alias is not null),"
        f" named as ({' union all '.join(f'select {name} as alias, user_alias, event_date from seen where {name} is not null' for name in _WEAKER)}),"
        " firsts as (select alias, user_alias, min(event_date) as first_day from named"
        " where alias in (select alias_id from asked_aliases) and alias <> user_alias group by alias, user_alias),"
        " ranked as (select user_alias, row_number() over (partition by alias order by first_day, user_alias) as place from firsts)"
        " select user_alias from ranked where place <= 2 union select alias_id from asked_aliases where alias_id like 'user:%'",
    )
    w.temporary(
        "verified_aliases",
        f"with theirs as (select {', '.join(_WEAKER)} from ({NAMED}) where user_alias in (select user_alias from asked_users))"
        " select alias_id from asked_aliases union select user_alias from asked_users"
        f" union {' union '.join(f'select {name} from theirs where {name} is not null' for name in _WEAKER)}",
    )
    w.temporary(
        "verified_streams",
        f"select distinct stream_id from ({NAMED}) where alias_id in (from verified_aliases) union select alias_id from verified_aliases",
    )
    w.temporary(
        "verified_records",
        f"select file_id, row_number, event_id, stream_id, event_date from ({NAMED}) where alias_id in (from verified_aliases)"
        " or stream_id in (from verified_streams) or device_alias in (from verified_aliases)"
        " or email_alias in (from verified_aliases) or phone_alias in (from verified_aliases)",
    )
    w.temporary(
        "pool",
        "with days as (select distinct stream_id, event_date from verified_records where stream_id is not null),"
        f" wide as (select file_id, row_number, event_id from ({NAMED}) semi join days using (stream_id, event_date)"
        " union select file_id, row_number, event_id from verified_records)"
        " select e.file_id, e.row_number from raw.events as e semi join wide using (event_id)",
    )
    pool = [RawEvent(*row) for row in w.rows(_pooled(", ".join(RawEvent._fields)))]
    records = Records(
        aliases=_strings(w, "select alias_id from verified_aliases"),
        streams=_strings(w, "select stream_id from verified_streams"),
        heads=_strings(
            w,
            "select alias_id from verified_aliases where alias_id not like 'user:%' union select user_alias from asked_users",
        ),
        judged={(file_id, row) for file_id, row in w.rows("select file_id, row_number from verified_records")},
        pool=pool,
        waiting=set(w.rows("select file_id, event_date from raw.pending where file_id is not null")),
        arrived_at=dict(w.rows("select file_id, min(arrived_at) from raw.files group by file_id")),
        order_of_copies=_copies(w),
        users=_versioned(w, USERS, USER_FIELDS, "'user:' || user_id in (from verified_aliases)"),
        items=_versioned(
            w,
            ITEMS,
            ITEM_FIELDS,
            "item_id in (select item_id from raw.events semi join verified_records using (file_id, row_number))",
        ),
        relations=_rows(w, RELATIONS, "'user:' || user_id in (from verified_aliases)"),
    )
    w.drop("asked_aliases", "asked_users", "pool")
    return records


def _pooled(columns: str, where: str = "true") -> str:
    return f"select {columns} from raw.events semi join pool using (file_id, row_number) where {where}"


def _copies(w: Warehouse) -> dict[tuple[str, int], tuple[Any, ...]]:
    """Return what sorts the pool's records that share their id with another."""
    texts = ", ".join(name if name in COORDINATES else f"cast({name} as varchar) as {name}" for name in CANONICAL)
    shared = f"event_id in (select event_id from ({_pooled('event_id')}) group by event_id having count(*) > 1)"
    rows = w.rows(_pooled(f"file_id, row_number, {texts}", shared))
    return {(file_id, row): order_of_copy(dict(zip(CANONICAL, values, strict=True))) for file_id, row, *values in rows}


def _versioned(w: Warehouse, table: Table, fields: Iterable[str], where: str) -> list[Row]:
    """Return records with the text of their fields beside them, as the engine writes it; lists as JSON."""
    texts = [
        f"cast({f'to_json({name})' if table.types[name].endswith('[]') else name} as varchar) as {TEXT}{name}"
        for name in fields
    ]
    return _rows(w, table, where, *texts)


def _rows(w: Warehouse, table: Table, where: str, *more: str) -> list[Row]:
    names = [*table.column_names, *(text.rpartition(" as ")[2] for text in more)]
    rows = w.rows(f"select {', '.join([*table.column_names, *more])} from {table.name} where {where}")
    return [dict(zip(names, row, strict=True)) for row in rows]


def _strings(w: Warehouse, query: str) -> set[str]:
    return {text for (text,) in w.rows(query)}


def _hold(w: Warehouse, name: str, columns: dict[str, list[str]]) -> None:
    w.temporary(name, pa.table({column: pa.array(values, pa.string()) for column, values in columns.items()}))
