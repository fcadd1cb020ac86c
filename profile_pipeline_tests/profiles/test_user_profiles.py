"""The wide profile on literal rows."""

import datetime as dt
import json
from typing import Any

import pyarrow as pa

from profile_pipeline.cleaned.tables import IDENTITIES, USERS
from profile_pipeline.features.tables import BEHAVIOR, DEMAND, INTERESTS, USER_FEATURES
from profile_pipeline.profiles.tables import SCORES
from profile_pipeline.warehouse.sql import sql_file
from profile_pipeline_tests.engines import Engine

DAY = dt.date(2026, 3, 30)
ONE_DAY = dt.timedelta(days=1)


def profiles(
    engine: Engine, *, users: dict[str, dict[str, Any]], interests: list[tuple[str, int, str, str]] = ()
) -> dict[str, Any]:
    """The profile of `p`, by the users that it holds and by (kind, rank, interest, score)."""
    engine.create(USER_FEATURES, BEHAVIOR, DEMAND, INTERESTS, SCORES, IDENTITIES, USERS)
    engine.insert("features.user_features", {"profile_id": "p", "as_of_date": DAY})
    engine.insert("features.behavior", {"profile_id": "p", "as_of_date": DAY, "recency_days": 3})
    engine.insert("profiles.scores", {"profile_id": "p", "as_of_date": DAY, "model": "segments", "class": "night owls"})
    engine.insert("profiles.scores", {"profile_id": "p", "as_of_date": DAY, "model": "churn", "class": "churn"})
    for user, said in users.items():
        engine.insert("cleaned.identities", {"alias_id": f"user:{user}", "profile_id": "p", "valid_from": DAY})
        engine.insert("cleaned.users", {"user_id": user, "valid_from": DAY - ONE_DAY} | said)
    for kind, rank, interest, score in interests:
        row = {"profile_id": "p", "as_of_date": DAY, "kind": kind, "rank": rank, "interest": interest, "score": score}
        engine.insert("features.interests", row)
    engine.hold("snapshot_days", pa.table({"as_of_date": [DAY]}))
    parameters = {"segment_model": "segments", "final_before": DAY}
    (row,) = engine.dicts(sql_file("profiles.user_profiles"), parameters)
    return row


def test_who_holds_several_users_is_told_by_the_first_of_them(engine: Engine) -> None:
    row = profiles(engine, users={"u2": {"city": "B", "gender": "f"}, "u1": {"city": "A", "attributes": '{"x": "1"}'}})
    assert (row["user_ids"], row["n_aliases"], row["city"], row["gender"]) == (["u1", "u2"], 2, "A", None)
    assert (json.loads(row["attributes"]), row["segment"], row["is_final"]) == ({"x": "1"}, "night owls", False)


def test_who_holds_no_alias_has_no_user_and_no_interest(engine: Engine) -> None:
    row = profiles(engine, users={})
    assert (row["user_ids"], row["n_aliases"], row["interests"]) == ([], 0, None)


def test_interests_are_json_by_kind_in_order_of_rank_whatever_they_are_called(engine: Engine) -> None:
    odd = 'a "quoted" \\ name, with ] and ['
    told = [
        ("keyword", 2, "line\nbreak\x01", "0.500000"),
        ("keyword", 1, odd, "3.500000"),
        ("category", 1, "茶/🍵", "0.000001"),
        ("category", 6, "sixth", "0.1"),
    ]
    row = profiles(engine, users={}, interests=told)
    assert json.loads(row["interests"]) == {
        "category": [["茶/🍵", 0.000001]],
        "keyword": [[odd, 3.5], ["line\nbreak\x01", 0.5]],
    }
