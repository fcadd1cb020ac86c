"""Which of our tables a file is, and which of its columns is which of ours.

A column is taken for something if its name says so and its values do not contradict. Not here: how the mapping is written
(`propose`).
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from profile_pipeline.raw.proposing.dialect import SampleError
from profile_pipeline.raw.proposing.event_types import type_of_file
from profile_pipeline.raw.proposing.kinds import ColumnKind, is_of_people
from profile_pipeline.raw.proposing.layouts import meanings_of_layout
from profile_pipeline.raw.proposing.sample import Sample
from profile_pipeline.raw.proposing.times import MOST_BE_TIMES
from profile_pipeline.raw.proposing.vocabulary import DIRECT_IDENTIFIERS, LABELS, folded, meanings_of

# What may be taken, by table; what is not named here stays with the attributes.
MEANINGS: dict[str, tuple[str, ...]] = {
    "events": (
        "event_id", "event_type", "event_time", "received_at", "sent_at", "anonymous_id", "user_id", "device_id", "email", "phone", "session_id", "order_id",
        "item_id", "category", "brand", "quantity", "price", "rating", "duration", "amount", "currency", "query", "url", "referrer", "campaign", "device_type",
        "channel", "ip", "user_agent", "country", "city", "latitude", "longitude",
    ),
    "users": (
        "user_id", "gender", "birth_date", "birth_year", "income_band", "occupation", "education", "city", "country", "email", "phone", "registered_at",
        "updated_at",
    ),
    "items": ("item_id", "kind", "title", "categories", "category", "brand", "author", "price", "currency", "updated_at", "event_time"),
    "relations": ("user_id", "other_user_id", "relation", "updated_at", "event_time"),
    "contacts": ("campaign", "user_id", "offer", "is_treated", "contacted_at", "event_time", "cost_amount", "outcome"),
}  # fmt: skip
IDENTIFYING = ("user_id", "anonymous_id", "device_id", "email", "phone", "session_id")
_ACTORS = ("user_id", "anonymous_id", "device_id", "session_id")
_PERSONAL = ("gender", "birth_date", "birth_year", "age", "occupation", "education", "income_band", "marital")
_TIMES = frozenset(
    {"event_time", "received_at", "sent_at", "updated_at", "registered_at", "contacted_at", "birth_date"}
)
_NUMBERS = frozenset({"quantity", "price", "rating", "duration", "amount", "latitude", "longitude", "cost_amount"})
_IDS = frozenset(
    {"event_id", "anonymous_id", "user_id", "other_user_id", "device_id", "session_id", "order_id", "item_id"}
)
_BROWSERS = frozenset({"anonymous_id", "device_id", "session_id"})
# A column that is called a time is one of an event where so many of its values read as times, and the others are refused; where
# fewer do, and more than so few, the file is refused: it would be taken for something else than it is.
NAMED_TIMES_READ, FEWEST_TIMES = 0.8, 0.2
# The columns that tell a table, those that say most first.
_TELLING: dict[str, tuple[str, ...]] = {
    "events": (*IDENTIFYING, "event_time", "event_type", "item_id", "order_id", "query", "url"),
    "users": ("user_id", *_PERSONAL),
    "items": ("item_id", "title", "categories", "category"),
    "relations": ("user_id", "other_user_id"),
    "contacts": ("campaign", "user_id", "is_treated", "offer"),
}
MOST_NAMED = 5
OF_LEAST_USE = 10_000
_GENERIC_ID = re.compile(r"^(id|key|uid|uuid|guid|recid|recordid|uniqueid|index|no|编号|序号|.*id)$")
_HINTS = (
    ("users", r"user(?!.?(behav|artist|item|event|log|friend|tag|movie))|customer|client|member|people|person|crm|用户|会员|客户"),
    ("items", r"item|product|movie|film|artist|book|goods|catalog|sku|商品|产品"),
    ("relations", r"friend|relation|follow|edge|network|好友|关系"),
    ("contacts", r"campaign|contact|outreach|mailing|触达"),
    ("events", r"event|action|log|click|order|transaction|purchase|rating|behavio|invoice|play|行为|订单|日志"),
)  # fmt: skip


@dataclass(frozen=True)
class Assigned:
    """A table, which column is what, and what of this was guessed, a sentence each."""

    table: str
    columns: dict[str, ColumnKind]
    others: tuple[ColumnKind, ...]
    guesses: tuple[str, ...] = ()


def fits(meaning: str, kind: ColumnKind) -> bool:
    """Say whether the values of a column may be what its name says."""
    if kind.is_blank:
        return False
    if meaning in _TIMES:
        return kind.time is not None or (meaning == "event_time" and kind.is_time_of_day)
    if meaning in _NUMBERS:
        return kind.is_number or kind.is_money or kind.has_decimal_comma
    if meaning in _BROWSERS:
        # Google's are two numbers with a point between them, or the second in which a session began.
        return kind.time is None or kind.time.is_of_digits
    if meaning in _IDS:
        return not kind.is_number or kind.is_integer or kind.has_float_ids or kind.has_scientific_ids
    checks = {
        "event_type": _is_event_type,
        "birth_year": lambda k: k.is_integer and sum(1850 <= int(v) <= 2100 for v in k.values) >= 0.95 * len(k.values),
        "email": lambda k: (k.is_email and not k.is_masked) or all(len(v) == 64 for v in k.counts),
        "phone": lambda k: not k.is_masked and not k.is_flag,
        "currency": lambda k: k.is_currency_code,
        "ip": lambda k: k.is_network_address,
        "is_treated": lambda k: k.is_flag,
        "gender": lambda k: k.n_distinct <= 10,
        "income_band": lambda k: k.n_distinct <= 50,
        "age": lambda k: k.is_number or k.n_distinct <= 30,
        "title": lambda k: not k.is_number,
        "url": lambda k: not k.is_number,
        "device_type": lambda k: k.n_distinct <= 200 and k.time is None,
        "channel": lambda k: k.n_distinct <= 200 and k.time is None,
    }
    return meaning not in checks or checks[meaning](kind)


def _is_event_type(kind: ColumnKind) -> bool:
    is_time = kind.time is not None
    return not is_time and kind.n_distinct <= (20 if kind.is_number else max(60, len(kind.values) // 20))


def _possible(sample: Sample, least_times: float) -> dict[str, list[tuple[int, ColumnKind]]]:
    """What there may be in a file -> the columns that it may be, the best name first.

    `least_times` is the share of its values that makes a column that is called a time of an event one.
    """
    found: dict[str, list[tuple[int, ColumnKind]]] = {}
    own = meanings_of_layout(kind.name for kind in sample.columns)
    for kind in sample.columns:
        for meaning, rank in own.get(folded(kind.name), _named(kind)).items():
            read = kind.with_least_times(least_times) if meaning == "event_time" else kind
            if fits(meaning, read):
                # A day says more of when than a time of day.
                place = rank + OF_LEAST_USE if meaning == "event_time" and read.is_time_of_day else rank
                found.setdefault(meaning, []).append((place, read))
    return {meaning: sorted(columns, key=lambda c: c[0]) for meaning, columns in found.items()}


def _named(kind: ColumnKind) -> dict[str, int]:
    """What a column may be by its name; the id that Google gives a browser is none of a person, whatever it is called."""
    found = meanings_of(kind.name)
    return {"anonymous_id": found["user_id"]} if "user_id" in found and kind.is_google_client else found


def assign(sample: Sample, table: str | None, *, has_day: bool) -> Assigned:
    """Choose the table, if none is given, and say which column is what.

    Parameters
    ----------
    has_day
        The day is given: a file that could be of events is of events, although no column says when.

    Raises
    ------
    SampleError
        If the file is none of our tables.
    """
    if {"rootid", "roottstamp"} <= _names(sample) and table is None:
        raise SampleError(
            "this is a context table of Snowplow, which belongs to the events with the same root_id: add the file of the events,"
            " with the fields of the context joined to it"
        )
    if sample.within is not None and table is None:
        raise SampleError(f"{sample.within.told} (if the one object is itself a record, name its table with --table)")
    chosen = table or _table_of(sample, _possible(sample, FEWEST_TIMES), has_day=has_day)
    if chosen is None:
        names = ", ".join(kind.name for kind in sample.columns[:12])
        raise SampleError(
            f"found the columns {names}{', …' if len(sample.columns) > 12 else ''}, expected an id of a person or an item beside what is said of it."
            " Name the table with --table (events, users, items, relations, contacts). Names of columns are known in English and Chinese: of another language"
            " describe the source in profile.yaml by hand, such as `user_id: Kundennummer` under columns: (docs/your-data.md)"
        )
    possible = _possible(sample, NAMED_TIMES_READ if chosen == "events" else MOST_BE_TIMES)
    columns = _assigned(possible, MEANINGS[chosen])
    guesses = [*_by_content(sample, chosen, columns), *_no_ids(sample, columns)]
    if table is None and not sample.is_log:
        guesses = [_why(chosen, columns), *guesses]
    taken = {kind.name for kind in columns.values()}
    others = tuple(kind for kind in sample.columns if kind.name not in taken)
    return Assigned(chosen, columns, others, tuple(guesses))


def _no_ids(sample: Sample, columns: dict[str, ColumnKind]) -> list[str]:
    """Which columns are called the id of a person or a browser and hold what can't be one."""
    taken = {kind.name for kind in columns.values()}
    return [
        f"{kind.name} is called an id, and is not taken for one: it holds {'times' if kind.time else 'numbers with a fraction'}, such as {kind.values[0]}"
        for kind in sample.columns
        if (actor := _actor_of(kind)) and kind.name not in taken and not fits(actor, kind)
    ]


def _actor_of(kind: ColumnKind) -> str | None:
    """Whose id a column is called, be it one or not: of a person, a browser, a device or a session."""
    called = {} if kind.is_blank else _named(kind)
    return next((meaning for meaning in _ACTORS if meaning in called), None)


def _why(table: str, columns: dict[str, ColumnKind]) -> str:
    """By which columns a table was chosen; items that come again and again at times of day could be events."""
    names = [columns[meaning].name for meaning in _TELLING[table] if meaning in columns][:MOST_NAMED]
    by = f", by {', '.join(names)}" if names else ", because nothing says otherwise"
    item = columns.get("item_id")
    is_doubtful = (
        table == "items" and item is not None and not item.is_key and any(k.has_clock for k in columns.values())
    )
    doubt = f" {item.name} comes several times, with times: are these events of people?" if item and is_doubtful else ""
    return f"taken for {table}{by}; if it is another table, name it with --table.{doubt}"


def _assigned(possible: dict[str, list[tuple[int, ColumnKind]]], meanings: Iterable[str]) -> dict[str, ColumnKind]:
    """Give each column to one meaning and each meaning one column, the best names first."""
    order = {meaning: place for place, meaning in enumerate(meanings)}
    claims = sorted(
        (
            (rank, order[meaning], kind.name, meaning, kind)
            for meaning in order
            for rank, kind in possible.get(meaning, [])
        ),
        key=lambda claim: claim[:3],
    )
    found: dict[str, ColumnKind] = {}
    taken: set[str] = set()
    for _, _, name, meaning, kind in claims:
        if meaning not in found and name not in taken:
            found[meaning] = kind
            taken.add(name)
    return {meaning: found[meaning] for meaning in order if meaning in found}


def _by_content(sample: Sample, table: str, columns: dict[str, ColumnKind]) -> list[str]:
    """Find by its values what no name gave: the id of the table's own record, a gender, the time of an event; return what was guessed."""
    own = {"users": "user_id", "items": "item_id"}.get(table)
    if own and own not in columns:
        generic = [k for k in sample.columns if _GENERIC_ID.match(folded(k.name)) and k.is_key and fits(own, k)]
        free = [k for k in generic if k not in columns.values()]
        if free:
            columns[own] = free[0]
    free = [k for k in sample.columns if k not in columns.values() and not k.is_blank]
    if table == "users" and "gender" not in columns:
        gender = next((k for k in free if k.is_gender and not k.is_flag), None)
        if gender is not None:
            columns["gender"] = gender
            return [f"no name says the gender: {gender.name} is taken, by what it holds"]
    if table == "events" and "event_time" not in columns:
        timed = times_by_content(free)
        if timed:
            columns["event_time"] = timed[0]
            if sample.is_log:
                return []
            also = f"; so do {', '.join(k.name for k in timed[1:])}" if timed[1:] else ""
            return [f"no name says when: {timed[0].name} is taken, because it reads as a time{also}"]
    return []


def times_by_content(kinds: Iterable[ColumnKind]) -> list[ColumnKind]:
    """Return the columns that read as the time of an event; of mere digits, which may be ids, only one that alone does."""
    timed = [k for k in kinds if k.time is not None and "birth_date" not in meanings_of(k.name)]
    written = [k for k in timed if k.time is not None and not k.time.is_of_digits and (k.has_clock or k.is_after_2000)]
    counted = [k for k in timed if k.is_after_2000 and not _GENERIC_ID.match(folded(k.name))]
    return written or (counted if len(counted) == 1 else [])


def _table_of(sample: Sample, possible: dict[str, list[tuple[int, ColumnKind]]], *, has_day: bool) -> str | None:
    has = possible.keys()
    hint = next((table for table, pattern in _HINTS if re.search(pattern, sample.file_name.lower())), None)
    has_actor = any(m in has for m in IDENTIFYING)
    has_time = (
        has_day
        or "event_time" in has
        or any(k.time is not None for k in sample.columns)
        or {"day", "month", "year"} <= _names(sample)
    )
    is_order = "order_id" in has or ("quantity" in has and ("price" in has or "amount" in has))
    if sample.is_log:
        return "events"
    if "user_id" in has and "other_user_id" in has and "item_id" not in has and len(sample.columns) <= 8:
        return "relations"
    is_of_campaign = {"is_treated", "contacted_at", "offer"} & has and not {"event_type", "session_id", "url"} & has
    if {"user_id", "campaign"} <= has and (is_of_campaign or hint == "contacts"):
        return "contacts"
    is_of_genders = not {"event_type", "event_time"} & has and is_of_people(sample.columns)
    if (
        (any(m in has for m in _PERSONAL) or is_of_genders)
        and not {"item_id", "event_id", "session_id"} & has
        and not is_order
    ):
        return "users"
    if (
        has_actor
        and has_time
        and ({"event_type", "item_id", "query", "url", "rating"} & has or is_order or hint == "events")
    ):
        return "events"
    if ("user_id" in has or "session_id" in has) and "item_id" in has:
        return "events"
    if not has_actor and "item_id" in has:
        return "events" if _is_of_acts(sample, has) else "items"
    return _by_what_is_left(sample, possible, hint, has_time=has_time)


def _is_of_acts(sample: Sample, has: Collection[str]) -> bool:
    """Say whether a file of items says what was done with them: by an order, by whom, or by what kind of act."""
    # A type alone may be the item's, and a flag called action says that it is of that genre.
    acts = (
        k
        for k in sample.columns
        if "event_type" in meanings_of(k.name) and folded(k.name.split(".")[-1]) != "type" and not k.is_flag
    )
    return (
        "order_id" in has
        or any(fits("event_type", kind) for kind in acts)
        or any(_actor_of(kind) for kind in sample.columns)
    )


def _by_what_is_left(
    sample: Sample, possible: dict[str, list[tuple[int, ColumnKind]]], hint: str | None, *, has_time: bool
) -> str | None:
    """The table of a file that names neither both actor and item nor anything personal."""
    has = possible.keys()
    has_own_id = any(_GENERIC_ID.match(folded(k.name)) and k.is_key for k in sample.columns)
    users = [kind for _, kind in possible.get("user_id", [])]
    if has_own_id and hint in ("users", "items"):
        return hint
    if has_own_id and {"title", "author"} & has and not users:
        return "items"
    if users and has_time and (hint == "events" or type_of_file(sample.file_name) or not users[0].is_key):
        return "events"
    # A table of users knows no browsers, and no order is said of a person once for all.
    if ("anonymous_id" in has and has_time and not users) or ("order_id" in has and users and not users[0].is_key):
        return "events"
    is_labelled = bool(_names(sample) & set(LABELS))
    if users or is_labelled or _names(sample) & DIRECT_IDENTIFIERS or (has_own_id and len(sample.columns) > 2):
        return "users"
    return hint if hint in ("events",) and has_time else None


def _names(sample: Sample) -> set[str]:
    return {folded(kind.name) for kind in sample.columns}
