"""What was known of a profile at the end of a day: summed from the tiles of the aliases that it held then.

Not here: interests (`interests`), or whose an alias is (`identities`).
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from profile_pipeline.raw.roles import COUNT_OF_ROLE
from profile_pipeline.verification.values import quotient_of_cents, share

Row = dict[str, Any]

WINDOWS: dict[str, float] = {"1d": 1, "7d": 7, "30d": 30, "90d": 90, "all": float("inf")}
MONEY = ("purchase_amount", "refund_amount")
SUMMED = ("n_events", *COUNT_OF_ROLE.values(), "n_orders", *MONEY, "n_sessions", "session_seconds", "n_night_events")
NOTHING = Decimal("0.00")
IN_MATRIX = (
    "n_events", "n_views", "n_searches", "n_add_to_carts", "n_purchases", "n_refunds", "n_plays", "n_reads", "n_shares", "n_follows", "n_ratings",
    "n_orders", "purchase_amount", "n_sessions", "session_seconds", "n_active_days", "n_night_events",
)  # fmt: skip
DEMAND_IN_MATRIX = (
    "n_open_cart_items", "n_intent_items_7d", "purchase_recency_days", "refund_share_all", "clv_frequency", "clv_recency_days", "clv_age_days",
)  # fmt: skip


def behavior(user_days: Sequence[Row], day: dt.date, *, activity_days: int) -> Row | None:
    """Return what a row of `features.behavior` says beside its key; none where nobody was active.

    Parameters
    ----------
    user_days
        Tiles of all aliases that the profile holds; later ones are not looked at.
    """
    seen = [((day - tile["event_date"]).days, tile) for tile in user_days if tile["event_date"] <= day]
    if not seen or min(age for age, _ in seen) >= activity_days:
        return None
    row: Row = {
        "recency_days": min(age for age, _ in seen),
        "tenure_days": max(age for age, _ in seen),
        "last_event_date": max(tile["event_date"] for _, tile in seen),
    }
    for window, days in WINDOWS.items():
        within = [tile for age, tile in seen if age < days]
        for name in SUMMED:
            row[f"{name}_{window}"] = sum((tile[name] for tile in within), NOTHING if name in MONEY else 0)
        row[f"n_active_days_{window}"] = len({tile["event_date"] for tile in within})
    return row


def demand(of_behavior: Row, user_days: Iterable[Row], item_days: Iterable[Row], day: dt.date) -> Row:
    """Return what a row of `features.demand` says beside its key."""
    dates: dict[dt.date, dict[str, Any]] = defaultdict(lambda: defaultdict(Decimal))
    for tile in user_days:
        if tile["event_date"] <= day:
            of_date = dates[tile["event_date"]]
            for name in ("n_purchases", "n_searches", "n_add_to_carts"):
                of_date[name] += tile[name]
            of_date["net"] += tile["purchase_amount"] - tile["refund_amount"]
    bought = sorted(date for date, of_date in dates.items() if of_date["n_purchases"])
    first, last = (bought[0], bought[-1]) if bought else (None, None)
    repeated = sum((dates[date]["net"] for date in bought[1:]), Decimal(0))
    n_open, n_intent = _wanted(item_days, day)
    return {
        "n_open_cart_items": n_open,
        "last_cart_date": max((date for date, of_date in dates.items() if of_date["n_add_to_carts"]), default=None),
        "n_intent_items_7d": n_intent,
        "last_search_date": max((date for date, of_date in dates.items() if of_date["n_searches"]), default=None),
        "first_purchase_date": first,
        "last_purchase_date": last,
        "purchase_recency_days": (day - last).days if last else None,
        "net_amount_90d": sum((d["net"] for date, d in dates.items() if (day - date).days < 90), NOTHING),
        "net_amount_all": sum((d["net"] for d in dates.values()), NOTHING),
        "mean_order_amount_all": quotient_of_cents(of_behavior["purchase_amount_all"], of_behavior["n_orders_all"]),
        "refund_share_all": share(float(of_behavior["refund_amount_all"]), float(of_behavior["purchase_amount_all"])),
        "clv_frequency": max(len(bought) - 1, 0),
        "clv_recency_days": (last - first).days if first and last else None,
        "clv_age_days": (day - first).days if first else None,
        "clv_monetary": quotient_of_cents(repeated, len(bought) - 1) if len(bought) > 1 else None,
    }


def _wanted(item_days: Iterable[Row], day: dt.date) -> tuple[int, int]:
    """Return how many items stand in an open cart, and how many were looked at again or put into one, and not bought."""
    by_item: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for tile in item_days:
        if tile["event_date"] <= day:
            by_item[tile["item_id"]].append(((day - tile["event_date"]).days, tile["role"]))
    n_open = n_intent = 0
    for tiles in by_item.values():
        carted = min((age for age, role in tiles if role == "add_to_cart" and age < 30), default=None)
        settled = min((age for age, role in tiles if role in ("purchase", "remove_from_cart")), default=None)
        n_open += carted is not None and (settled is None or settled > carted)
        lately = [(age, role) for age, role in tiles if age < 7]
        is_viewed_again = len({age for age, role in lately if role == "view"}) >= 2
        roles = {role for _, role in lately}
        n_intent += (is_viewed_again or "add_to_cart" in roles) and "purchase" not in roles
    return n_open, n_intent


def matrix(of_behavior: Row, of_demand: Row, n_interests: int, attributes: Mapping[str, float | None]) -> Row:
    """Return what a row of `features.user_features` says beside its key: doubles all of them."""
    b = {name: float(value) for name, value in of_behavior.items() if name != "last_event_date"}
    row: Row = {name: b[name] for name in ("recency_days", "tenure_days")}
    row |= {f"{name}_{window}": b[f"{name}_{window}"] for name in IN_MATRIX for window in WINDOWS}
    row |= {
        "night_share_90d": share(b["n_night_events_90d"], b["n_events_90d"]),
        "search_share_90d": share(b["n_searches_90d"], b["n_events_90d"]),
        "content_share_90d": share(b["n_plays_90d"] + b["n_reads_90d"], b["n_events_90d"]),
        "cart_share_90d": share(b["n_add_to_carts_90d"], b["n_views_90d"]),
        "buy_share_90d": share(b["n_purchases_90d"], b["n_add_to_carts_90d"]),
        "mean_order_amount_90d": share(b["purchase_amount_90d"], b["n_orders_90d"]),
        "mean_session_seconds_90d": share(b["session_seconds_90d"], b["n_sessions_90d"]),
        "mean_session_events_90d": share(b["n_events_90d"], b["n_sessions_90d"]),
        "trend_7d_30d_share": share(b["n_events_7d"], b["n_events_30d"]),
        "trend_30d_90d_share": share(b["n_events_30d"], b["n_events_90d"]),
        "active_share_all": share(b["n_active_days_all"], b["tenure_days"] + 1),
    }
    row |= {name: None if of_demand[name] is None else float(of_demand[name]) for name in DEMAND_IN_MATRIX}
    return row | {"n_interests": float(n_interests)} | dict(attributes)
