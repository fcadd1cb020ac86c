"""Snapshots on literal rows: windows, interests and demand as of a day."""

import datetime as dt
import json
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from profile_pipeline.cleaned.tables import IDENTITIES, ITEMS, USERS
from profile_pipeline.features.matrix import user_features_sql
from profile_pipeline.features.tables import BEHAVIOR, DEMAND, INTERESTS, TILES
from profile_pipeline.features.windows import INTEREST_DAYS, VISIBLE, decay_weights, role_weights
from profile_pipeline.warehouse.sql import bound, sql_file
from profile_pipeline_tests.engines import Engine

T = dt.date(2026, 3, 30)
FIRST = dt.date(2025, 1, 1)
ONE_DAY = dt.timedelta(days=1)
WEIGHTS = {"view": 1.0, "purchase": 5.0, "play": 2.0, "read": 1.0, "search": 1.5}


class House:
    """Tiles, identities and items; snapshots of them."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        engine.create(*TILES, IDENTITIES, ITEMS)

    def insert(self, table: str, row: dict[str, Any]) -> None:
        self.engine.insert(table, row)

    def holds(self, profile: str, alias: str, start: dt.date = FIRST, end: dt.date | None = None) -> None:
        self.insert("cleaned.identities", {"alias_id": alias, "profile_id": profile, "rule": "alone", "valid_from": start, "valid_to": end})  # fmt: skip

    def day(self, age_days: int, alias: str = "user:u", **measures: Any) -> None:
        zero = {c.name: 0 for c in TILES[0].columns if c.type in ("BIGINT", "DECIMAL(18,2)")}
        row = zero | {"n_events": 1, "event_date": T - age_days * ONE_DAY, "alias_id": alias} | measures
        self.insert("features.user_days", row)

    def item_day(
        self, age_days: int, item: str, role: str = "view", n: int = 1, alias: str = "user:u", named: int = 0
    ) -> None:
        row = {"event_date": T - age_days * ONE_DAY, "alias_id": alias, "item_id": item, "role": role, "n": n}
        self.insert("features.user_item_days", row | {"n_uncategorized": n - named, "n_unbranded": n})

    def term_day(self, age_days: int, kind: str, term: str, role: str, n: int = 1) -> None:
        row = {"event_date": T - age_days * ONE_DAY, "alias_id": "user:u", "kind": kind, "term": term, "role": role}
        self.insert("features.user_term_days", row | {"n": n})

    def item(self, item: str, **said: Any) -> None:
        self.insert("cleaned.items", {"item_id": item, "valid_from": FIRST} | said)

    def snapshot(self, name: str, *, as_of: dt.date = T, activity_days: int = 365, per_kind: int = 20) -> list[dict]:
        e = self.engine
        e.hold("snapshot_days", pa.table({"as_of_date": pa.array([as_of], pa.date32())}))
        e.hold("decay_weights", decay_weights(30))
        e.hold("role_weights", role_weights(WEIGHTS))
        e.view(INTEREST_DAYS, sql_file(f"features.{INTEREST_DAYS}"))
        for view, query in VISIBLE.items():
            e.view(view, query)
        known = {"activity_days": activity_days, "interests_per_kind": per_kind}
        text = sql_file("features.behavior")
        behavior = e.arrow(text, bound(text, known))
        if name == "behavior":
            return behavior.to_pylist()
        e.create(BEHAVIOR)
        e.hold("new_behavior", behavior)
        e.connection.execute("insert into features.behavior by name select * from new_behavior")
        text = sql_file(f"features.{name}")
        return e.dicts(text, bound(text, known))

    def interests(self, **options: Any) -> dict[tuple[str, str], str]:
        rows = sorted(self.snapshot("interests", **options), key=lambda row: (row["kind"], row["rank"]))
        return {(row["kind"], row["interest"]): str(row["score"]) for row in rows}


@pytest.fixture
def house(engine: Engine) -> House:
    made = House(engine)
    made.holds("p", "user:u")
    return made


def test_the_window_of_n_days_is_the_n_days_that_end_with_the_day(house: House) -> None:
    for age in (0, 1, 6, 7, 29, 30, 89, 90):
        house.day(age, n_views=1, purchase_amount=Decimal("1.10"))
    (row,) = house.snapshot("behavior")
    windows = ("1d", "7d", "30d", "90d", "all")
    assert [row[f"n_views_{w}"] for w in windows] == [1, 3, 5, 7, 8]
    assert [str(row[f"purchase_amount_{w}"]) for w in windows] == ["1.10", "3.30", "5.50", "7.70", "8.80"]
    assert [row[f"n_active_days_{w}"] for w in windows] == [1, 3, 5, 7, 8]
    assert (row["recency_days"], row["tenure_days"], row["last_event_date"]) == (0, 90, T)


def test_an_empty_window_is_zero_and_no_null(house: House) -> None:
    house.day(200, n_views=3)
    (row,) = house.snapshot("behavior")
    assert [row["n_views_90d"], row["n_active_days_90d"], row["n_views_all"]] == [0, 0, 3]
    assert str(row["purchase_amount_7d"]) == "0.00"
    assert None not in row.values()


def test_two_aliases_on_one_date_are_one_active_day(house: House) -> None:
    house.holds("p", "device:d")
    house.day(3)
    house.day(3, alias="device:d")
    (row,) = house.snapshot("behavior")
    assert (row["n_events_7d"], row["n_active_days_7d"]) == (2, 1)


def test_tomorrow_is_not_seen(house: House) -> None:
    house.day(1)
    house.day(0)
    (row,) = house.snapshot("behavior", as_of=T - ONE_DAY)
    assert (row["n_events_all"], row["recency_days"]) == (1, 0)


def test_an_alias_counts_for_who_holds_it_at_the_end_of_the_day(house: House) -> None:
    house.holds("alone", "anonymous:a", end=T)
    house.holds("p", "anonymous:a", start=T)
    house.day(0)
    house.day(5, alias="anonymous:a")
    before = {row["profile_id"]: row["n_events_all"] for row in house.snapshot("behavior", as_of=T - ONE_DAY)}
    after = {row["profile_id"]: row["n_events_all"] for row in house.snapshot("behavior")}
    assert (before, after) == ({"alone": 1}, {"p": 2})


def test_who_has_had_no_event_for_the_days_of_activity_has_no_row(house: House) -> None:
    house.day(30)
    assert len(house.snapshot("behavior", activity_days=31)) == 1
    assert house.snapshot("behavior", activity_days=30) == []


def test_an_interest_halves_in_its_half_life_and_weighs_by_role(house: House) -> None:
    house.day(0)
    house.term_day(0, "category", "Tea", "view")
    house.term_day(30, "category", "Tea", "purchase")
    assert house.interests() == {("category", "Tea"): "3.500000"}


def test_an_event_that_names_its_category_does_not_count_for_that_of_its_item(house: House) -> None:
    house.day(0)
    house.item("i", categories=["Tea", "Gifts"])
    house.item_day(0, "i", n=3, named=2)
    house.term_day(0, "category", "Sale", "view", n=2)
    assert house.interests() == {
        ("category", "Sale"): "2.000000", ("category", "Gifts"): "1.000000", ("category", "Tea"): "1.000000",
    }  # fmt: skip


def test_an_item_speaks_as_the_catalogue_had_it_on_the_day_of_the_event(house: House) -> None:
    house.day(0)
    house.item("i", brand="Old", valid_to=T)
    house.item("i", brand="New", valid_from=T)
    house.item_day(1, "i", role="purchase")
    house.item_day(0, "i")
    assert set(house.interests()) == {("brand", "Old"), ("brand", "New")}


def test_what_is_read_seen_and_heard_has_kinds_of_its_own(house: House) -> None:
    house.day(0)
    for kind, category in (("article", "Finance"), ("video", "Drama"), ("music", "Pop")):
        house.item(kind, kind=kind, categories=[category], author=f"{kind} author")
        house.item_day(0, kind, role="read" if kind == "article" else "play", named=1)
    assert set(house.interests()) == {
        ("reading", "Finance"), ("video", "Drama"), ("music", "music author"),
        ("author", "article author"), ("author", "video author"), ("author", "music author"),
    }  # fmt: skip


def test_the_strongest_of_a_kind_are_kept_and_ties_go_by_name(house: House) -> None:
    house.day(0)
    for term, n in (("c", 1), ("b", 2), ("a", 1)):
        house.term_day(0, "keyword", term, "search", n)
    assert list(house.interests(per_kind=2)) == [("keyword", "b"), ("keyword", "a")]


def test_a_cart_is_open_until_bought_or_removed_and_for_thirty_days(house: House) -> None:
    house.day(0)
    for item, ages in {"open": (5,), "old": (30,), "bought": (5,), "removed": (5,), "again": (5, 2)}.items():
        for age in ages:
            house.item_day(age, item, role="add_to_cart")
    house.item_day(5, "bought", role="purchase")
    house.item_day(4, "removed", role="remove_from_cart")
    house.item_day(3, "again", role="purchase")
    assert house.snapshot("demand")[0]["n_open_cart_items"] == 2


def test_intent_is_two_days_of_looking_or_a_cart_this_week_and_no_purchase(house: House) -> None:
    house.day(0)
    for item, ages in {"twice": (0, 6), "once": (0,), "long ago": (0, 7), "bought": (0, 1)}.items():
        for age in ages:
            house.item_day(age, item)
    house.item_day(0, "bought", role="purchase")
    house.item_day(6, "carted", role="add_to_cart")
    assert house.snapshot("demand")[0]["n_intent_items_7d"] == 2


def test_clv_inputs_are_of_purchase_days_after_the_first(house: House) -> None:
    for age, amount in ((50, "99.00"), (20, "10.00"), (10, "31.00")):
        house.day(age, n_purchases=2, n_orders=1, purchase_amount=Decimal(amount))
    house.day(10, alias="device:d", n_purchases=1, n_orders=1, purchase_amount=Decimal("1.00"))
    house.holds("p", "device:d")
    house.day(3, n_refunds=1, refund_amount=Decimal("5.00"))
    (row,) = house.snapshot("demand")
    told = {name: row[name] for name in ("clv_frequency", "clv_recency_days", "clv_age_days")}
    assert told == {"clv_frequency": 2, "clv_recency_days": 40, "clv_age_days": 50}
    assert str(row["clv_monetary"]) == "21.00"
    assert (str(row["net_amount_all"]), str(row["net_amount_90d"])) == ("136.00", "136.00")
    assert (row["purchase_recency_days"], str(row["mean_order_amount_all"])) == (10, "35.25")


def test_who_never_bought_has_zeros_and_nulls_where_there_is_nothing_to_divide(house: House) -> None:
    house.day(1, n_searches=1)
    (row,) = house.snapshot("demand")
    assert (row["clv_frequency"], row["clv_monetary"], row["mean_order_amount_all"], row["refund_share_all"]) == (0, None, None, None)  # fmt: skip
    assert row["last_search_date"] == T - ONE_DAY


def test_a_mean_of_half_a_cent_is_rounded_up_as_money_is(house: House) -> None:
    house.day(1, n_purchases=2, n_orders=2, purchase_amount=Decimal("5.35"))
    (row,) = house.snapshot("demand")
    assert str(row["mean_order_amount_all"]) == "2.68"


def test_an_attribute_is_a_number_or_nothing(house: House) -> None:
    said = {
        "x": "12.5",
        "p": " 7 ",
        "q": "1e3",
        "r": "-.5",
        "a": "30d",
        "b": "1f",
        "c": "0x1p3",
        "d": "1,5",
        "e": "",
        "f": "twelve",
        "g": None,
    }
    for name in said:
        house.holds(f"p_{name}", f"user:{name}")
    house.engine.create(USERS, BEHAVIOR, DEMAND, INTERESTS)
    house.engine.hold("snapshot_days", pa.table({"as_of_date": [T]}))
    for name, text in said.items():
        house.insert("cleaned.users", {"user_id": name, "attributes": json.dumps({"size": text}), "valid_from": FIRST})
        for table in ("behavior", "demand"):
            house.insert(f"features.{table}", {"profile_id": f"p_{name}", "as_of_date": T})
    rows = house.engine.dicts(user_features_sql(("size",), has_events=True))
    found = {row["profile_id"].removeprefix("p_"): row["attribute_size"] for row in rows}
    assert found == dict.fromkeys(said) | {"x": 12.5, "p": 7.0, "q": 1000.0, "r": -0.5}


def test_ratios_of_nothing_are_nothing(house: House) -> None:
    house.engine.create(BEHAVIOR, DEMAND, INTERESTS)
    counts = {c.name: 0 for c in BEHAVIOR.columns if c.type in ("BIGINT", "INTEGER", "DECIMAL(18,2)")}
    house.insert(
        "features.behavior", counts | {"profile_id": "p", "as_of_date": T, "n_events_90d": 3, "n_night_events_90d": 1}
    )
    house.insert("features.demand", {"profile_id": "p", "as_of_date": T})
    house.insert("features.interests", {"profile_id": "p", "as_of_date": T, "kind": "category", "interest": "Tea"})
    house.engine.hold("snapshot_days", pa.table({"as_of_date": [T]}))
    (row,) = house.engine.dicts(user_features_sql((), has_events=True))
    assert (row["night_share_90d"], row["buy_share_90d"], row["n_interests"]) == (1 / 3, None, 1.0)
