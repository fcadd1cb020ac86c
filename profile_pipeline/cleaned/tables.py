"""The tables of cleaned: what counts, whose it is, and in which session it happened.

Daily by `event_date` unless said. Not here: features, or anything that needs tomorrow.
"""

from profile_pipeline.raw.tables import EVENTS as RAW_EVENTS
from profile_pipeline.raw.tables import ITEMS as RAW_ITEMS
from profile_pipeline.raw.tables import USERS as RAW_USERS
from profile_pipeline.table import MONEY, Column, Table

_EVENT_DATE = Column("event_date", "DATE", "day of event_time in the calendar's zone", is_nullable=False)
_ALIAS = Column("alias_id", "VARCHAR", "finest identifier with its kind: user, else email, phone, anonymous, device")
_STREAM = Column("stream_id", "VARCHAR", "what sessions follow: anonymous, else device, else the alias")
_VALIDITY = (
    Column("valid_from", "DATE", "first day on which it holds", is_nullable=False),
    Column("valid_to", "DATE", "first day on which it no longer holds; null: open"),
)
_TIMELESS = Column(
    "is_timeless", "BOOLEAN", "the source has no updated_at: held from the calendar's first day", is_nullable=False
)

EVENTS = Table(
    "cleaned.events",
    grain="an event that counts",
    key=("event_id",),
    partition_column="event_date",
    columns=(
        RAW_EVENTS.column("event_id"),
        _EVENT_DATE,
        RAW_EVENTS.column("event_time"),
        RAW_EVENTS.column("role"),
        _ALIAS,
        _STREAM,
        RAW_EVENTS.column("device_id"),
        Column("page", "VARCHAR", "path of the url without query, else item_id; at most 64 characters"),
        RAW_EVENTS.column("order_id"),
        RAW_EVENTS.column("item_id"),
        RAW_EVENTS.column("category"),
        RAW_EVENTS.column("brand"),
        RAW_EVENTS.column("query"),
        RAW_EVENTS.column("quantity"),
        RAW_EVENTS.column("value"),
        Column(
            "amount",
            MONEY,
            "quantity x price, else value of purchases and refunds; null in another currency",
            "currency",
        ),
        RAW_EVENTS.column("file_id"),
        RAW_EVENTS.column("row_number"),
    ),
)

EXCLUDED_EVENTS = Table(
    "cleaned.excluded_events",
    grain="an event that was loaded and does not count",
    key=("file_id", "row_number"),
    partition_column="event_date",
    columns=(
        _EVENT_DATE,
        RAW_EVENTS.column("file_id"),
        RAW_EVENTS.column("row_number"),
        Column(
            "reason_code",
            "VARCHAR",
            "duplicate, bot, invalid, out_of_calendar or no_consent, maybe with _detail",
            is_nullable=False,
        ),
    ),
)

LEDGER = Table(
    "cleaned.ledger",
    grain="a day of a file: where its events are",
    key=("event_date", "file_id"),
    columns=(
        _EVENT_DATE,
        Column("file_id", "VARCHAR", "the file", is_nullable=False),
        Column("n_loaded", "BIGINT", "events loaded", is_nullable=False),
        Column("n_cleaned", "BIGINT", "events that count", is_nullable=False),
        Column("n_excluded", "BIGINT", "events excluded with a reason", is_nullable=False),
        Column("n_waiting", "BIGINT", "events whose day is not refreshed yet", is_nullable=False),
    ),
)

SESSIONS = Table(
    "cleaned.sessions",
    grain="a session of a stream",
    key=("session_id",),
    partition_column="event_date",
    columns=(
        Column("session_id", "VARCHAR", "'s' + 20 hex of sha256 of stream and first event", is_nullable=False),
        Column("stream_id", "VARCHAR", "the stream", is_nullable=False),
        Column("alias_id", "VARCHAR", "the strongest alias in it", is_nullable=False),
        Column("event_date", "DATE", "day on which it starts", is_nullable=False),
        Column("started_at", "TIMESTAMP", "time of its first event, UTC", is_nullable=False),
        Column("ended_at", "TIMESTAMP", "time of its last event, UTC", is_nullable=False),
        Column("n_events", "BIGINT", "events in it", is_nullable=False),
        Column("entry_page", "VARCHAR", "first page that is known"),
        Column("exit_page", "VARCHAR", "last page that is known"),
        Column("is_converted", "BOOLEAN", "it holds a purchase", is_nullable=False),
        Column("first_event_id", "VARCHAR", "its first event, from which it can be cut again", is_nullable=False),
    ),
)

SESSION_DAYS = Table(
    "cleaned.session_days",
    grain="what an alias did in a session on a day",
    key=("event_date", "session_id", "alias_id"),
    partition_column="event_date",
    columns=(
        Column("event_date", "DATE", "day of the events", is_nullable=False),
        Column("stream_id", "VARCHAR", "the stream", is_nullable=False),
        Column("session_id", "VARCHAR", "the session", is_nullable=False),
        Column("alias_id", "VARCHAR", "the alias of the events", is_nullable=False),
        Column("n_sessions", "BIGINT", "1 where the session's first event is one of these, else 0", is_nullable=False),
        Column(
            "session_seconds",
            "BIGINT",
            "time to the next event of the session on that day, each gap rounded down",
            "seconds",
            is_nullable=False,
        ),
    ),
)

IDENTITIES = Table(
    "cleaned.identities",
    grain="an alias for as long as it belongs to one profile by one rule",
    key=("alias_id", "valid_from"),
    columns=(
        Column("alias_id", "VARCHAR", "the alias with its kind", is_nullable=False),
        Column("profile_id", "VARCHAR", "the profile that holds it", is_nullable=False),
        Column("rule", "VARCHAR", "alone, signed_in or shared", is_nullable=False),
        *_VALIDITY,
    ),
)

USERS = Table(
    "cleaned.users",
    grain="what is known of a user, for as long as it was",
    key=("user_id", "valid_from"),
    columns=(
        *(
            RAW_USERS.column(name)
            for name in (
                "user_id",
                "gender",
                "birth_date",
                "birth_year",
                "income_band",
                "occupation",
                "education",
                "city",
                "country",
                "registered_at",
                "attributes",
            )
        ),
        _TIMELESS,
        *_VALIDITY,
    ),
)

ITEMS = Table(
    "cleaned.items",
    grain="what is known of an item, for as long as it was",
    key=("item_id", "valid_from"),
    columns=(
        *(
            RAW_ITEMS.column(name)
            for name in (
                "item_id",
                "kind",
                "title",
                "categories",
                "brand",
                "author",
                "price",
                "currency",
                "attributes",
            )
        ),
        _TIMELESS,
        *_VALIDITY,
    ),
)

RELATIONS = Table(
    "cleaned.relations",
    grain="an edge between two users, for as long as it holds",
    key=("user_id", "other_user_id", "relation", "valid_from"),
    columns=(
        Column("user_id", "VARCHAR", "the user it starts from", is_nullable=False),
        Column("other_user_id", "VARCHAR", "the user it leads to", is_nullable=False),
        Column("relation", "VARCHAR", "friend, follows, household, …"),
        _TIMELESS,
        *_VALIDITY,
    ),
)

TOUCHED = Table(
    "cleaned.touched",
    grain="what changed in cleaned and a table derived from it has not followed yet",
    key=("consumer", "event_date", "stream_id", "alias_id"),
    columns=(
        Column(
            "consumer",
            "VARCHAR",
            "the table that has to follow; it deletes the row in the transaction that follows",
            is_nullable=False,
        ),
        Column("event_date", "DATE", "the day that changed", is_nullable=False),
        Column("stream_id", "VARCHAR", "the stream that changed; null: see alias_id"),
        Column("alias_id", "VARCHAR", "the alias that changed; both null: the whole day"),
    ),
)

TABLES: tuple[Table, ...] = (
    EVENTS,
    EXCLUDED_EVENTS,
    LEDGER,
    SESSIONS,
    SESSION_DAYS,
    IDENTITIES,
    USERS,
    ITEMS,
    RELATIONS,
    TOUCHED,
)
