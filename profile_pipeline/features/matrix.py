"""The wide numeric matrix: which columns it has, and the query that makes it.

Its columns are those of behavior, ratios of them, demand, and the numeric CRM attributes that `profile.yaml` names. Not here:
selection, scaling, or anything fitted on other people.
"""

import re

from profile_pipeline.cleaned.tables import USERS
from profile_pipeline.features.tables import BEHAVIOR, DEMAND, USER_FEATURES, WINDOWS
from profile_pipeline.table import Column, Table, quote_identifier

# Features that are no columns of the matrix, but made of other tables when a model is trained, by the beginning of their names.
INTEREST_PREFIX, CATEGORY_PREFIX, ITEM_PREFIX = "interest:", "crm:", "item:"
NOT_FEATURES = ("profile_id", "as_of_date")
# Columns of the CRM; any other name is an attribute of its records.
CRM_COLUMNS = tuple(
    c.name for c in USERS.columns if c.name not in ("user_id", "attributes", "is_timeless", "valid_from", "valid_to")
)
MEASURES = (
    "n_events", "n_views", "n_searches", "n_add_to_carts", "n_purchases", "n_refunds", "n_plays", "n_reads", "n_shares", "n_follows",
    "n_ratings", "n_orders", "purchase_amount", "n_sessions", "session_seconds", "n_active_days", "n_night_events",
)  # fmt: skip
RATIOS: dict[str, tuple[str, str, str]] = {
    "night_share_90d": ("n_night_events_90d", "n_events_90d", "events between 0 and 6 o'clock by events"),
    "search_share_90d": ("n_searches_90d", "n_events_90d", "searches by events"),
    "content_share_90d": ("(n_plays_90d + n_reads_90d)", "n_events_90d", "plays and reads by events"),
    "cart_share_90d": ("n_add_to_carts_90d", "n_views_90d", "additions to a cart by views"),
    "buy_share_90d": ("n_purchases_90d", "n_add_to_carts_90d", "purchases by additions to a cart"),
    "mean_order_amount_90d": ("purchase_amount_90d", "n_orders_90d", "amount by order"),
    "mean_session_seconds_90d": ("session_seconds_90d", "n_sessions_90d", "seconds by session"),
    "mean_session_events_90d": ("n_events_90d", "n_sessions_90d", "events by session"),
    "trend_7d_30d_share": ("n_events_7d", "n_events_30d", "events of 7 days by those of 30"),
    "trend_30d_90d_share": ("n_events_30d", "n_events_90d", "events of 30 days by those of 90"),
    "active_share_all": ("n_active_days_all", "(tenure_days + 1)", "dates with an event by days since the first"),
}
DEMAND_COLUMNS = (
    "n_open_cart_items",
    "n_intent_items_7d",
    "purchase_recency_days",
    "refund_share_all",
    "clv_frequency",
    "clv_recency_days",
    "clv_age_days",
)


def attribute_column(name: str) -> str:
    """Return the column of a CRM attribute: what is neither letter nor digit, of any alphabet, becomes an underscore."""
    return "attribute_" + re.sub(r"[\W_]+", "_", name.lower())


def known_value(column: str, *, of: str) -> str:
    """Return the SQL of what the CRM says in a column of its own, or in an attribute of that name, as text; blank is null."""
    if column in CRM_COLUMNS:
        return f"nullif(cast({of}.{column} as varchar), '')"
    path = column.replace("'", "''")
    return f"nullif(json_extract_string({of}.attributes, '$.\"{path}\"'), '')"


def user_features_table(attributes: tuple[str, ...], *, has_events: bool) -> Table:
    """Return the table with the columns of the settings; people without events have only what the CRM says."""
    known = [
        Column(attribute_column(name), "DOUBLE", f"{name} of the CRM, where it is a number") for name in attributes
    ]
    if not has_events:
        return USER_FEATURES.with_columns(known)
    behavior = ["recency_days", "tenure_days", *(f"{name}_{window}" for name in MEASURES for window in WINDOWS)]
    return USER_FEATURES.with_columns([
        *(_as_double(BEHAVIOR.column(name)) for name in behavior),
        *(Column(name, "DOUBLE", meaning) for name, (_, _, meaning) in RATIOS.items()),
        *(_as_double(DEMAND.column(name)) for name in DEMAND_COLUMNS),
        Column("n_interests", "DOUBLE", "categories with a score"),
        *known,
    ])  # fmt: skip


def _as_double(column: Column) -> Column:
    """A column of behavior or demand as the matrix has it: a number that may be missing."""
    return Column(column.name, "DOUBLE", column.meaning, column.unit)


def user_features_sql(attributes: tuple[str, ...], *, has_events: bool) -> str:
    """Return the query: rows of behavior, demand and interests of the same days; CRM attributes as of the day.

    Where there are no events, everybody whom the CRM knows on the day has a row.
    """
    names = [f"{name}_{window}" for name in MEASURES for window in WINDOWS]
    measured = ", ".join(f"cast(b.{name} as double) as {name}" for name in names)
    ratios = ", ".join(
        f"cast({_of_behavior(top)} as double) / nullif(cast({_of_behavior(bottom)} as double), 0) as {name}"
        for name, (top, bottom, _) in RATIOS.items()
    )
    demand = ", ".join(f"cast(d.{name} as double) as {name}" for name in DEMAND_COLUMNS)
    crm = "".join(f", c.{quote_identifier(attribute_column(name))}" for name in attributes)
    values = ", ".join(
        # min, not any_value: a profile that holds two users must give the same number each time.
        f"min(try_cast({known_value(name, of='u')} as double)) as {quote_identifier(attribute_column(name))}"
        for name in attributes
    )
    crm_sql = (
        f"select i.profile_id, s.as_of_date{f', {values}' if values else ''} from snapshot_days as s"
        " join cleaned.identities as i on i.valid_from <= s.as_of_date and (i.valid_to is null or i.valid_to > s.as_of_date)"
        " join cleaned.users as u on 'user:' || u.user_id = i.alias_id and u.valid_from <= s.as_of_date"
        " and (u.valid_to is null or u.valid_to > s.as_of_date) group by s.as_of_date, i.profile_id"
    )
    if not has_events:
        return crm_sql
    crm_cte = f", crm as ({crm_sql})" if attributes else ""
    crm_join = (
        " left join crm as c on c.profile_id = b.profile_id and c.as_of_date = b.as_of_date" if attributes else ""
    )
    return (
        "with b as (select * from features.behavior where as_of_date in (select as_of_date from snapshot_days)),"
        " d as (select * from features.demand where as_of_date in (select as_of_date from snapshot_days)),"
        " n as (select profile_id, as_of_date, count(*) as n_interests from features.interests"
        " where kind = 'category' and as_of_date in (select as_of_date from snapshot_days) group by profile_id, as_of_date)"
        f"{crm_cte}"
        f" select b.profile_id, b.as_of_date, cast(b.recency_days as double) as recency_days, cast(b.tenure_days as double) as tenure_days,"
        f" {measured}, {ratios}, {demand}, cast(coalesce(n.n_interests, 0) as double) as n_interests{crm}"
        " from b join d on d.profile_id = b.profile_id and d.as_of_date = b.as_of_date"
        f" left join n on n.profile_id = b.profile_id and n.as_of_date = b.as_of_date{crm_join}"
    )


def _of_behavior(term: str) -> str:
    words = term.strip("()").split(" + ")
    return "(" + " + ".join(word if word.isdigit() else f"b.{word}" for word in words) + ")"
