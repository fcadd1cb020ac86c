"""The tables of raw: what arrived and may be kept. Append-only but for erasure and retention; unpartitioned.

Types are real already here. Not here: how files are read (`readers`), or what counts (`cleaned`).
"""

from dataclasses import replace

from profile_pipeline.table import MONEY, PRICE, Column, Table

_ORIGIN = (
    Column("file_id", "VARCHAR", "sha256 of the file as delivered", is_nullable=False),
    Column("row_number", "BIGINT", "place of the record in its file, from 1", is_nullable=False),
)
_LOADED_AT = Column("loaded_at", "TIMESTAMP", "when the record was loaded, UTC", is_nullable=False)
_ATTRIBUTES = Column("attributes", "JSON", "what else the source says, by name")
_UPDATED_AT = Column("updated_at", "TIMESTAMP", "from when the record holds, UTC; null: the source is timeless")

FILES = Table(
    "raw.files",
    grain="a file that arrived, by content and path",
    key=("file_id", "path"),
    columns=(
        Column("file_id", "VARCHAR", "sha256 of the file as delivered; never changes", is_nullable=False),
        Column("source", "VARCHAR", "source of profile.yaml that claimed it; null: none did"),
        Column("path", "VARCHAR", "path relative to the landing folder", is_nullable=False),
        Column("size_bytes", "BIGINT", "size as delivered", "bytes"),
        Column("n_records", "BIGINT", "records, counted apart from the parser"),
        Column("n_loaded", "BIGINT", "records loaded"),
        Column("n_rejected", "BIGINT", "records rejected with a reason"),
        Column("n_suppressed", "BIGINT", "records of erased persons: counted, stored nowhere"),
        Column("loaded_at", "TIMESTAMP", "when it was loaded, UTC"),
        Column("arrived_at", "TIMESTAMP", "when it was first seen complete, UTC"),
        Column("archived_sha256", "VARCHAR", "sha256 of the bytes kept in the archive"),
        Column("status", "VARCHAR", "loaded, duplicate or rejected", is_nullable=False),
        Column("reason", "VARCHAR", "why it is not loaded"),
    ),
)

EVENTS = Table(
    "raw.events",
    grain="a record of an event, as delivered",
    key=("file_id", "row_number"),
    columns=(
        *_ORIGIN,
        Column("source", "VARCHAR", "source of profile.yaml", is_nullable=False),
        Column(
            "event_id",
            "VARCHAR",
            "the source's id, else md5 of source, canonical record and its number",
            is_nullable=False,
        ),
        Column("event_hash", "UBIGINT", "64-bit hash of event_id: finds candidates for duplicates", is_nullable=False),
        Column("event_type", "VARCHAR", "what the source calls it", is_nullable=False),
        Column("role", "VARCHAR", "the role that profile.yaml gives to event_type", is_nullable=False),
        Column("event_time", "TIMESTAMP", "when it happened, UTC", is_nullable=False),
        Column("event_date", "DATE", "day of event_time in the calendar's zone", is_nullable=False),
        Column("received_at", "TIMESTAMP", "when the collector received it, UTC"),
        Column("sent_at", "TIMESTAMP", "when the client sent it, UTC"),
        Column("anonymous_id", "VARCHAR", "the browser's or app's own id before sign-in"),
        Column("user_id", "VARCHAR", "id of the signed-in user"),
        Column("device_id", "VARCHAR", "id of the device"),
        Column("email_hash", "VARCHAR", "sha256 of the normalised e-mail address"),
        Column("phone_hash", "VARCHAR", "sha256 of the normalised phone number"),
        Column("session_id", "VARCHAR", "the source's own session id; kept, not used"),
        Column("order_id", "VARCHAR", "order that the line belongs to"),
        Column("item_id", "VARCHAR", "item concerned"),
        Column("category", "VARCHAR", "category as the event says it"),
        Column("brand", "VARCHAR", "brand as the event says it"),
        Column("quantity", "DECIMAL(18,4)", "how many"),
        Column("price", PRICE, "unit price"),
        Column("value", PRICE, "the event's own number: stars, seconds, an amount without a price"),
        Column("currency", "VARCHAR", "ISO 4217 code of price and value"),
        Column("query", "VARCHAR", "search text"),
        Column("url", "VARCHAR", "address of the page"),
        Column("referrer", "VARCHAR", "address it came from"),
        Column("campaign", "VARCHAR", "campaign it is attributed to"),
        Column("device_type", "VARCHAR", "phone, tablet, desktop, …"),
        Column("channel", "VARCHAR", "web, app, store, …"),
        Column("ip", "VARCHAR", "network address, as delivered"),
        Column("user_agent", "VARCHAR", "browser or program"),
        Column("country", "VARCHAR", "country"),
        Column("city", "VARCHAR", "city"),
        Column("latitude", "DOUBLE", "latitude", "degrees"),
        Column("longitude", "DOUBLE", "longitude", "degrees"),
        Column("properties", "JSON", "what else the record says, by name"),
        _LOADED_AT,
    ),
)

USERS = Table(
    "raw.users",
    grain="a record of a person from a CRM",
    key=("file_id", "row_number"),
    columns=(
        *_ORIGIN,
        Column("source", "VARCHAR", "source of profile.yaml", is_nullable=False),
        Column("user_id", "VARCHAR", "id of the user", is_nullable=False),
        Column("gender", "VARCHAR", "gender as mapped"),
        Column("birth_date", "DATE", "date of birth"),
        Column("birth_year", "INTEGER", "year of birth", "year"),
        Column("income_band", "VARCHAR", "band of income"),
        Column("occupation", "VARCHAR", "occupation"),
        Column("education", "VARCHAR", "education"),
        Column("city", "VARCHAR", "city"),
        Column("country", "VARCHAR", "country"),
        Column("email_hash", "VARCHAR", "sha256 of the normalised e-mail address"),
        Column("phone_hash", "VARCHAR", "sha256 of the normalised phone number"),
        Column("registered_at", "TIMESTAMP", "when the account was opened, UTC"),
        _ATTRIBUTES,
        _UPDATED_AT,
        _LOADED_AT,
    ),
)

ITEMS = Table(
    "raw.items",
    grain="a record of an item from a catalogue",
    key=("file_id", "row_number"),
    columns=(
        *_ORIGIN,
        Column("source", "VARCHAR", "source of profile.yaml", is_nullable=False),
        Column("item_id", "VARCHAR", "id of the item", is_nullable=False),
        Column("kind", "VARCHAR", "product, article, video, music, …"),
        Column("title", "VARCHAR", "title"),
        Column("categories", "VARCHAR[]", "categories"),
        Column("brand", "VARCHAR", "brand"),
        Column("author", "VARCHAR", "author, artist or publisher"),
        Column("price", PRICE, "catalogue price"),
        Column("currency", "VARCHAR", "ISO 4217 code of price"),
        _ATTRIBUTES,
        _UPDATED_AT,
        _LOADED_AT,
    ),
)

RELATIONS = Table(
    "raw.relations",
    grain="a record of an edge between two users",
    key=("file_id", "row_number"),
    columns=(
        *_ORIGIN,
        Column("source", "VARCHAR", "source of profile.yaml", is_nullable=False),
        Column("user_id", "VARCHAR", "the user it starts from", is_nullable=False),
        Column("other_user_id", "VARCHAR", "the user it leads to", is_nullable=False),
        Column("relation", "VARCHAR", "friend, follows, household, …"),
        _UPDATED_AT,
        _LOADED_AT,
    ),
)

CONTACTS = Table(
    "raw.contacts",
    grain="a record of a contact of a campaign with a user",
    key=("file_id", "row_number"),
    columns=(
        *_ORIGIN,
        Column("source", "VARCHAR", "source of profile.yaml", is_nullable=False),
        Column("campaign", "VARCHAR", "campaign", is_nullable=False),
        Column("user_id", "VARCHAR", "id of the user", is_nullable=False),
        Column("offer", "VARCHAR", "what was offered"),
        Column("is_treated", "BOOLEAN", "false: held out as control"),
        Column("contacted_at", "TIMESTAMP", "when, UTC"),
        Column("cost_amount", MONEY, "cost of the contact"),
        Column("outcome", "VARCHAR", "what came of it, as delivered"),
        _LOADED_AT,
    ),
)

REJECTED_RECORDS = Table(
    "raw.rejected_records",
    grain="a record that could not be loaded",
    key=("file_id", "row_number"),
    columns=(
        *_ORIGIN,
        Column("source", "VARCHAR", "source of profile.yaml", is_nullable=False),
        Column("reason_code", "VARCHAR", "why, from a closed list", is_nullable=False),
        Column("detail", "VARCHAR", "column, found, expected"),
        Column("record", "VARCHAR", "the record as text"),
        _LOADED_AT,
        Column("dismissed_at", "TIMESTAMP", "when somebody had looked at it and let it stay out, UTC"),
    ),
)

DISMISSED_BEFORE = replace(
    REJECTED_RECORDS,
    name="raw.dismissed_before",
    grain="a record that was dismissed, of a file that is refused as a whole since: it stays out once the file can be read",
)

PENDING = Table(
    "raw.pending",
    grain="a day of a file that waits to be refreshed; a day that was opened has no file",
    key=("file_id", "event_date"),
    columns=(
        Column("file_id", "VARCHAR", "the file; null: the day was opened"),
        Column("event_date", "DATE", "the day that waits", is_nullable=False),
        Column("n_events", "BIGINT", "events that wait", is_nullable=False),
    ),
)

BUILT_WITH = Table(
    "raw.built_with",
    grain="a setting that rows were made with, as it was when the first of them were loaded",
    key=("name",),
    columns=(
        Column(
            "name",
            "VARCHAR",
            "schema, calendar.start, features, sources.<name>, full_records.<table>, …",
            is_nullable=False,
        ),
        Column("value", "JSON", "what it was; of a source what shapes its rows", is_nullable=False),
    ),
)

RECORD_TABLES: dict[str, Table] = {
    "events": EVENTS,
    "users": USERS,
    "items": ITEMS,
    "relations": RELATIONS,
    "contacts": CONTACTS,
}
# What arrived, each an asset. BUILT_WITH and DISMISSED_BEFORE are none: no table is computed from them.
TABLES: tuple[Table, ...] = (FILES, *RECORD_TABLES.values(), REJECTED_RECORDS, PENDING)
