"""The tables of features: tiles by alias and day, and snapshots by profile and day. All of them personal.

Not here: what is fitted on other people (`models.population`), or labels.
"""

from profile_pipeline.raw.roles import COUNT_OF_ROLE
from profile_pipeline.table import MONEY, Column, Table

WINDOWS: dict[str, int | None] = {"1d": 1, "7d": 7, "30d": 30, "90d": 90, "all": None}

_EVENT_DATE = Column("event_date", "DATE", "day of the events in the calendar's zone", is_nullable=False)
_ALIAS = Column("alias_id", "VARCHAR", "the alias with its kind", is_nullable=False)
_PROFILE = Column("profile_id", "VARCHAR", "the profile", is_nullable=False)
_AS_OF = Column("as_of_date", "DATE", "day at whose end it was known", is_nullable=False)

# name -> (type, meaning, unit); the measures that tiles hold and windows sum
SUMMED_MEASURES: dict[str, tuple[str, str, str | None]] = {
    "n_events": ("BIGINT", "events", None),
    **{name: ("BIGINT", f"events of role {role}", None) for role, name in COUNT_OF_ROLE.items()},
    "n_orders": ("BIGINT", "orders, counted by tile", None),
    "purchase_amount": (MONEY, "amount of purchases", "currency"),
    "refund_amount": (MONEY, "amount of refunds", "currency"),
    "n_sessions": ("BIGINT", "sessions that began", None),
    "session_seconds": ("BIGINT", "time within sessions", "seconds"),
}

USER_DAYS = Table(
    "features.user_days",
    grain="a day of an alias",
    key=("event_date", "alias_id"),
    partition_column="event_date",
    columns=(
        _EVENT_DATE,
        _ALIAS,
        *(
            Column(name, kind, meaning, unit, is_nullable=False)
            for name, (kind, meaning, unit) in SUMMED_MEASURES.items()
        ),
        Column("quantity", "DECIMAL(18,4)", "pieces bought"),
        Column("n_night_events", "BIGINT", "events between 0 and 6 o'clock in the calendar's zone", is_nullable=False),
        Column("first_event_at", "TIMESTAMP", "time of the first event, UTC", is_nullable=False),
        Column("last_event_at", "TIMESTAMP", "time of the last event, UTC", is_nullable=False),
    ),
)

USER_ITEM_DAYS = Table(
    "features.user_item_days",
    grain="a day of an alias with an item in a role",
    key=("event_date", "alias_id", "item_id", "role"),
    partition_column="event_date",
    columns=(
        _EVENT_DATE,
        _ALIAS,
        Column("item_id", "VARCHAR", "the item", is_nullable=False),
        Column("role", "VARCHAR", "the role", is_nullable=False),
        Column("n", "BIGINT", "events", is_nullable=False),
        Column(
            "n_uncategorized",
            "BIGINT",
            "events that name no category themselves: theirs is the item's",
            is_nullable=False,
        ),
        Column(
            "n_unbranded", "BIGINT", "events that name no brand themselves: theirs is the item's", is_nullable=False
        ),
        Column("quantity", "DECIMAL(18,4)", "pieces"),
        Column("amount", MONEY, "amount", "currency"),
        Column("value", "DECIMAL(18,4)", "sum of the events' own numbers (stars, seconds)"),
    ),
)

USER_TERM_DAYS = Table(
    "features.user_term_days",
    grain="a day of an alias with a term that its events name themselves",
    key=("event_date", "alias_id", "kind", "term", "role"),
    partition_column="event_date",
    columns=(
        _EVENT_DATE,
        _ALIAS,
        Column("kind", "VARCHAR", "keyword (of a search), category or brand (named by the event)", is_nullable=False),
        Column("term", "VARCHAR", "the term", is_nullable=False),
        Column("role", "VARCHAR", "the role", is_nullable=False),
        Column("n", "BIGINT", "events", is_nullable=False),
    ),
)


def _windowed(name: str, kind: str, meaning: str, unit: str | None) -> tuple[Column, ...]:
    return tuple(
        Column(
            f"{name}_{window}",
            kind,
            f"{meaning}, {'ever' if days is None else f'{days} days'}",
            unit,
            is_nullable=False,
        )
        for window, days in WINDOWS.items()
    )


BEHAVIOR = Table(
    "features.behavior",
    grain="a profile as of a day: what it did",
    key=("as_of_date", "profile_id"),
    partition_column="as_of_date",
    columns=(
        _PROFILE,
        _AS_OF,
        Column("recency_days", "INTEGER", "days since the last event; 0: that day", "days", is_nullable=False),
        Column("tenure_days", "INTEGER", "days since the first event", "days", is_nullable=False),
        Column("last_event_date", "DATE", "date of the last event", is_nullable=False),
        *(column for name, spec in SUMMED_MEASURES.items() for column in _windowed(name, *spec)),
        *_windowed("n_active_days", "BIGINT", "dates with an event", None),
        *_windowed("n_night_events", "BIGINT", "events between 0 and 6 o'clock", None),
    ),
)

INTERESTS = Table(
    "features.interests",
    grain="an interest of a profile as of a day",
    key=("as_of_date", "profile_id", "kind", "interest"),
    partition_column="as_of_date",
    columns=(
        _PROFILE,
        _AS_OF,
        Column("kind", "VARCHAR", "category, brand, author, keyword, reading, video or music", is_nullable=False),
        Column("interest", "VARCHAR", "the interest", is_nullable=False),
        Column("score", "DECIMAL(18,6)", "events by role weight and decay with age, summed", is_nullable=False),
        Column("rank", "INTEGER", "place within the kind, from 1", is_nullable=False),
    ),
)

DEMAND = Table(
    "features.demand",
    grain="a profile as of a day: what it needs and spends",
    key=("as_of_date", "profile_id"),
    partition_column="as_of_date",
    columns=(
        _PROFILE,
        _AS_OF,
        Column(
            "n_open_cart_items",
            "BIGINT",
            "items put into a cart in 30 days and neither removed nor bought since",
            is_nullable=False,
        ),
        Column("last_cart_date", "DATE", "date of the last addition to a cart"),
        Column(
            "n_intent_items_7d",
            "BIGINT",
            "items viewed on two dates or more or put into a cart in 7 days, not bought in them",
            is_nullable=False,
        ),
        Column("last_search_date", "DATE", "date of the last search"),
        Column("first_purchase_date", "DATE", "date of the first purchase"),
        Column("last_purchase_date", "DATE", "date of the last purchase"),
        Column("purchase_recency_days", "INTEGER", "days since the last purchase", "days"),
        Column("net_amount_90d", MONEY, "purchases less refunds in 90 days", "currency", is_nullable=False),
        Column("net_amount_all", MONEY, "purchases less refunds ever", "currency", is_nullable=False),
        Column("mean_order_amount_all", MONEY, "amount of purchases by order", "currency"),
        Column("refund_share_all", "DOUBLE", "refunds by purchases, amounts"),
        Column("clv_frequency", "BIGINT", "purchase days after the first", is_nullable=False),
        Column("clv_recency_days", "INTEGER", "days from the first to the last purchase", "days"),
        Column("clv_age_days", "INTEGER", "days from the first purchase to as_of_date", "days"),
        Column("clv_monetary", MONEY, "mean net amount of a purchase day after the first", "currency"),
    ),
)

USER_FEATURES = Table(
    "features.user_features",
    grain="a profile as of a day: the wide numeric matrix",
    key=("as_of_date", "profile_id"),
    partition_column="as_of_date",
    columns=(_PROFILE, _AS_OF),
)

STALE_DAYS = Table(
    "features.stale_days",
    grain="a kept snapshot that late events or identities have outdated",
    key=("as_of_date",),
    columns=(
        Column("as_of_date", "DATE", "the snapshot's day", is_nullable=False),
        Column("reason", "VARCHAR", "what outdated it", is_nullable=False),
    ),
)

TILES: tuple[Table, ...] = (USER_DAYS, USER_ITEM_DAYS, USER_TERM_DAYS)
TABLES: tuple[Table, ...] = (*TILES, BEHAVIOR, INTERESTS, DEMAND, USER_FEATURES, STALE_DAYS)
