import datetime as dt
import json
from collections import defaultdict
from typing import Any

from rich.console import Console

from profile_pipeline.profiles.card import render_card

PERSON = {"profile_id": "p1", "user_ids": ["u1"], "as_of_date": dt.date(2026, 3, 30), "is_final": True, "segment": None}


def card(tags: list[dict[str, Any]], **known: Any) -> str:
    profile: dict[str, Any] = defaultdict(int, PERSON | {"interests": "{}"} | known)
    console = Console(width=160, color_system=None)
    with console.capture() as capture:
        console.print(
            render_card(profile, tags=tags, scores=[], recommendations=[], aliases=["user:u1"], titles={}, traits=[])
        )
    return capture.get()


def predicted(tag: str, value: str, *, of: str, probability: float | None) -> dict[str, Any]:
    evidence = {"model": "m", "week": "2026-03-23", "class": of, "probability": probability}
    return {
        "tag": tag,
        "value": value,
        "kind": "predicted",
        "confidence": probability,
        "evidence": json.dumps(evidence),
    }


def line_of(tag: str, told: str) -> list[str]:
    return next(line for line in told.splitlines() if f" {tag} " in line).strip("│ ").split()


def test_a_predicted_class_is_told_with_its_probability_as_confidence() -> None:
    told = card([predicted("gender", "male", of="male", probability=0.93)])
    assert line_of("gender", told) == ["gender", "male", "predicted", "0.93", "m", "of", "2026-03-23"]


def test_a_band_of_a_chance_is_told_as_the_chance_and_not_as_hardly_sure() -> None:
    told = card([predicted("churn_risk", "low", of="churn", probability=0.01)])
    assert line_of("churn_risk", told) == [
        "churn_risk",
        "low",
        "predicted",
        "chance",
        "of",
        "churn",
        "1%,",
        "m",
        "of",
        "2026-03-23",
    ]


def test_how_far_one_stands_from_the_next_segment_is_no_probability() -> None:
    told = card([predicted("segment", "s1", of="s1", probability=None) | {"confidence": 0.43}])
    assert (
        " ".join(line_of("segment", told)) == "segment s1 predicted 0.43 from the border to the next, m of 2026-03-23"
    )


def test_what_is_known_of_a_person_is_told_and_what_is_not_is_left_out() -> None:
    told = card([], recency_days=3, tenure_days=90, n_active_days_30d=4, n_sessions_30d=7, n_events_30d=30)
    assert (
        " ".join(line_of("behaviour", told))
        == "behaviour last seen 3 days ago, known for 90 days; in 30 days 4 active days, 7 sessions, 30 events"
    )
    told = card([], recency_days=None, tenure_days=None, n_active_days_30d=None, n_sessions_30d=None, n_events_30d=None)
    assert " ".join(line_of("behaviour", told)) == "behaviour no event"
    told = card([], recency_days=None, tenure_days=None, n_active_days_30d=0, n_sessions_30d=0, n_events_30d=0)
    assert " ".join(line_of("behaviour", told)) == "behaviour in 30 days 0 active days, 0 sessions, 0 events"
    assert "None" not in told
