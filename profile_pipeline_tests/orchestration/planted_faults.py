"""Faults that a table may have, each a statement that plants it in the small world of `verified_world`.

Not here: any test.
"""

from profile_pipeline_tests.conftest import LAST_DAY

# An event with an amount, in a session of several; the same each time.
EVENT = "(select min(event_id) from cleaned.events where amount is not null and role = 'purchase')"
NEWEST = f"date '{LAST_DAY}'"


def changed(table: str, column: str, value: str, where: str) -> str:
    return f"update {table} set {column} = {value} where {where}"


def doubled(table: str, where: str) -> str:
    return f"insert into {table} select * from {table} where {where}"


def removed(table: str, where: str) -> str:
    return f"delete from {table} where {where}"


def a_row_of(table: str, where: str = "true") -> str:
    """The condition that holds for one row of a table."""
    return f"rowid = (select min(rowid) from {table} where {where})"


def swapped(table: str, column: str, by: str, where: str) -> str:
    """One row more and another less, so that every sum stays what it was."""
    first = f"(select min(rowid) from {table} where {where})"
    last = f"(select max(rowid) from {table} where {where})"
    return (
        f"update {table} set {column} = {column} + case when rowid = {first} then {by} else -{by} end"
        f" where rowid in ({first}, {last})"
    )


OF_EVENT = f"event_id = {EVENT}"
LONG = "n_events >= 3 and cast(started_at as date) = cast(ended_at as date)"
ON_NEWEST = f"as_of_date = {NEWEST}"
IN_SESSION = "session_seconds > 0"
A_LIST = "profile_id = (select min(profile_id) from applications.recommendations where rank = 1 and score > 0)"
FAULTS: dict[str, tuple[str, str, str]] = {
    # what: (statement, table that is named, column; empty: a row too many or too few, or a sum)
    "a loaded record gone": (removed("raw.events", OF_EVENT), "cleaned.events", ""),
    "a loaded record twice": (doubled("raw.events", OF_EVENT), "raw.events", ""),
    "the role of a record": (changed("raw.events", "role", "'view'", OF_EVENT), "raw.events", "role"),
    "the day of a record": (changed("raw.events", "event_date", "event_date - 1", OF_EVENT), "raw.events", "event_date"),
    "the price of a record": (changed("raw.events", "price", "price + 1", OF_EVENT), "cleaned.events", "amount"),
    "what a person is said to be": (changed("raw.users", "city", "'Atlantis'", "user_id in (select substring(alias_id, 6) from cleaned.identities)"), "cleaned.users", "city"),
    "a rejected record gone": (removed("raw.rejected_records", a_row_of("raw.rejected_records")), "raw.rejected_records", ""),
    "a file that holds one record more": (changed("raw.files", "n_records", "n_records + 1, n_rejected = n_rejected + 1", a_row_of("raw.files", "n_records > 0")), "raw.rejected_records", ""),
    "an event gone": (removed("cleaned.events", OF_EVENT), "cleaned.events", ""),
    "an event twice": (doubled("cleaned.events", OF_EVENT), "cleaned.events", ""),
    "a cent of an event": (changed("cleaned.events", "amount", "amount + 0.01", OF_EVENT), "cleaned.events", "amount"),
    "a microsecond of an event": (changed("cleaned.events", "event_time", "event_time + interval 1 microsecond", OF_EVENT), "cleaned.events", "event_time"),
    "the alias of an event": (changed("cleaned.events", "alias_id", "'user:somebody'", OF_EVENT), "cleaned.events", "alias_id"),
    "the page of an event": (changed("cleaned.events", "page", "page || '/'", OF_EVENT), "cleaned.events", "page"),
    "an event that counts and is excluded": (f"insert into cleaned.excluded_events select event_date, file_id, row_number, 'duplicate' from cleaned.events where {OF_EVENT}", "cleaned.excluded_events", ""),
    "an excluded record gone": (removed("cleaned.excluded_events", a_row_of("cleaned.excluded_events")), "cleaned.excluded_events", ""),
    "why a record is excluded": (changed("cleaned.excluded_events", "reason_code", "'bot_volume'", a_row_of("cleaned.excluded_events")), "cleaned.excluded_events", "reason_code"),
    "a term of the ledger": (changed("cleaned.ledger", "n_cleaned", "n_cleaned + 1, n_excluded = n_excluded - 1", a_row_of("cleaned.ledger")), "cleaned.ledger", ""),
    "a session cut in two": (
        "insert into cleaned.sessions select * replace ('s0' as session_id, ended_at as started_at, 1 as n_events) from cleaned.sessions"
        f" where {a_row_of('cleaned.sessions', LONG)}; update cleaned.sessions set n_events = n_events - 1 where {a_row_of('cleaned.sessions', LONG)}",
        "cleaned.sessions", "",
    ),
    "a session gone": (removed("cleaned.sessions", a_row_of("cleaned.sessions")), "cleaned.sessions", ""),
    "the first page of a session": (changed("cleaned.sessions", "entry_page", "'/elsewhere'", a_row_of("cleaned.sessions")), "cleaned.sessions", "entry_page"),
    "a second of a session": (swapped("cleaned.session_days", "session_seconds", "1", IN_SESSION), "cleaned.session_days", "session_seconds"),
    "a stale tile": (changed("features.user_days", "n_events", "n_events - 1, n_views = n_views - 1", a_row_of("features.user_days", "n_views > 1")), "features.user_days", "n_views"),
    "a tile gone": (removed("features.user_days", a_row_of("features.user_days")), "features.user_days", ""),
    "a tile twice": (doubled("features.user_days", a_row_of("features.user_days")), "features.user_days", ""),
    "a tile of nobody": (f"insert into features.user_days select * replace ('user:nobody' as alias_id) from features.user_days where {a_row_of('features.user_days')}", "features.user_days", ""),
    "a cent that another tile has": (swapped("features.user_days", "purchase_amount", "0.01", f"event_date = {NEWEST} and purchase_amount > 0"), "features.user_days", "purchase_amount"),
    "an item seen once more": (swapped("features.user_item_days", "n", "1", f"event_date = {NEWEST}"), "features.user_item_days", "n"),
    "a term that was not said": (changed("features.user_term_days", "term", "term || 's'", a_row_of("features.user_term_days")), "features.user_term_days", ""),
    "signed in a day later": (changed("cleaned.identities", "valid_from", "valid_from + 1", a_row_of("cleaned.identities", "rule = 'signed_in'")), "cleaned.identities", ""),
    "an alias of somebody else": (
        "update cleaned.identities set profile_id = (select min(profile_id) from cleaned.identities)"
        f" where {a_row_of('cleaned.identities', 'profile_id > (select min(profile_id) from cleaned.identities)')}",
        "cleaned.identities", "profile_id",
    ),
    "a field of the CRM": (changed("cleaned.users", "city", "'Atlantis'", "user_id in (select substring(alias_id, 6) from cleaned.identities)"), "cleaned.users", "city"),
    "a category of the catalogue": (changed("cleaned.items", "categories", "['Nothing']", f"item_id in (select item_id from cleaned.events where {OF_EVENT})"), "cleaned.items", "categories"),
    "a relation gone": (removed("cleaned.relations", "'user:' || user_id in (select alias_id from cleaned.identities)"), "cleaned.relations", ""),
    "a snapshot of the day before": (
        f"delete from features.behavior where {ON_NEWEST}; insert into features.behavior select * replace ({NEWEST} as as_of_date)"
        f" from features.behavior where as_of_date = {NEWEST} - 1",
        "features.behavior", "tenure_days",
    ),
    "a person without a snapshot": (removed("features.demand", a_row_of("features.demand", ON_NEWEST)), "features.demand", ""),
    "a millionth of an interest": (changed("features.interests", "score", "score + 0.000001", a_row_of("features.interests", ON_NEWEST)), "features.interests", "score"),
    "the order of interests": (changed("features.interests", "rank", "3 - rank", f"{ON_NEWEST} and rank <= 2 and kind = 'category'"), "features.interests", "rank"),
    "an open cart": (changed("features.demand", "n_open_cart_items", "n_open_cart_items + 1", a_row_of("features.demand", ON_NEWEST)), "features.demand", "n_open_cart_items"),
    "the last bit of a double": (
        changed("features.user_features", "night_share_90d", "nextafter(night_share_90d, 2::double)", a_row_of("features.user_features", f"{ON_NEWEST} and night_share_90d > 0")),
        "features.user_features", "night_share_90d",
    ),
    "a profile twice": (doubled("profiles.user_profiles", a_row_of("profiles.user_profiles")), "profiles.user_profiles", ""),
    "a profile that is not as its features": (changed("profiles.user_profiles", "n_views_30d", "n_views_30d + 1", a_row_of("profiles.user_profiles")), "profiles.user_profiles", "n_views_30d"),
    "a rule's tag": (changed("profiles.tags", "value", "'heavy'", a_row_of("profiles.tags", "tag = 'activity' and value <> 'heavy'")), "profiles.tags", "value"),
    "what a tag rests on": (
        changed("profiles.tags", "evidence", "replace(cast(evidence as varchar), '\"n_active_days_30d\":', '\"n_active_days_30d\":1')", a_row_of("profiles.tags", "tag = 'activity'")),
        "profiles.tags", "evidence",
    ),
    "a tag gone": (removed("profiles.tags", a_row_of("profiles.tags", "kind = 'rule'")), "profiles.tags", ""),
    "a recommendation swapped": (
        f"update applications.recommendations set rank = case rank when 1 then 2 else 1 end where {A_LIST} and rank <= 2",
        "applications.recommendations", "item_id",
    ),
    "the last bit of a recommendation's score": (
        changed("applications.recommendations", "score", "nextafter(score, 2::double)", f"{A_LIST} and rank = 1"), "applications.recommendations", "score",
    ),
    "a person gone from an audience": (removed("applications.audiences", a_row_of("applications.audiences")), "applications.audiences", ""),
    "a person put into an audience": (
        "insert into applications.audiences select as_of_date, 'loyal_shoppers', profile_id, user_ids from profiles.user_profiles"
        " where profile_id = (select min(profile_id) from profiles.user_profiles anti join (select * from applications.audiences where audience = 'loyal_shoppers') using (profile_id))",
        "applications.audiences", "",
    ),
    "a session that no metric counts": (changed("applications.daily_metrics", "n_sessions", "n_sessions + 1", a_row_of("applications.daily_metrics", "segment = 'all'")), "applications.daily_metrics", ""),
    "a session more that bought": (changed("applications.daily_metrics", "conversion", "conversion + 1 / n_sessions", a_row_of("applications.daily_metrics", "segment = 'all' and n_sessions > 1")), "applications.daily_metrics", ""),
    "an item gone": (removed("cleaned.items", a_row_of("cleaned.items")), "cleaned.items", ""),
    "a view that no metric counts": (changed("applications.daily_metrics", "pv", "pv - 1", a_row_of("applications.daily_metrics", "segment = 'all'")), "applications.daily_metrics", ""),
    "a fact that the CRM does not say": (changed("profiles.tags", "value", "'Atlantis'", a_row_of("profiles.tags", "tag = 'city'")), "profiles.tags", "value"),
}  # fmt: skip
