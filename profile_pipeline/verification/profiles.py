"""The wide profile, of what was known of a person; the segment is the model's word and is taken as scored.

Not here: scores, or tags (`tags`).
"""

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any

from profile_pipeline.profiles.tables import BEHAVIOR_SHOWN, DEMAND_SHOWN
from profile_pipeline.verification.people import People, Profile
from profile_pipeline.verification.values import Number
from profile_pipeline.verification.versions import USER_FIELDS, by_key

Row = dict[str, Any]

STRONGEST = 5


def user_profiles(
    people: People, day: dt.date, snapshot: Mapping[str, list[Row]], segments: Mapping[str, str]
) -> list[Row]:
    """Return the rows of `profiles.user_profiles` of a day.

    Parameters
    ----------
    snapshot
        What should be there of the features of that day.
    segments
        The segment of a profile, as it was scored.
    """
    behavior, demand, known = (
        {row["profile_id"]: row for row in snapshot[f"features.{name}"]}
        for name in ("behavior", "demand", "user_features")
    )
    liked = by_key(snapshot["features.interests"], "profile_id")
    return [
        _profile(people, profile, day, behavior.get(profile.profile_id, {}), demand.get(profile.profile_id, {}))
        | {
            "interests": _told(liked.get(profile.profile_id, ())),
            "segment": segments.get(profile.profile_id),
        }
        for profile in people.profiles_on(day)
        if profile.profile_id in known
    ]


def _profile(people: People, profile: Profile, day: dt.date, behavior: Row, demand: Row) -> Row:
    crm = next(iter(people.crm_of(profile, day)), {})
    return {
        "profile_id": profile.profile_id,
        "as_of_date": day,
        "user_ids": sorted(alias.removeprefix("user:") for alias in profile.aliases if alias.startswith("user:")),
        "n_aliases": len(profile.aliases),
        **{name: crm.get(name) for name in USER_FIELDS},
        **{name: behavior.get(name) for name in BEHAVIOR_SHOWN},
        **{name: demand.get(name) for name in DEMAND_SHOWN},
    }


def _told(interests: Iterable[Row]) -> dict[str, list[list[str]]] | None:
    """Return the strongest interests by kind with their scores, as JSON says it; nothing where there are none."""
    strongest = sorted((row for row in interests if row["rank"] <= STRONGEST), key=lambda row: row["rank"])
    told = by_key(strongest, "kind")
    return {kind: [[row["interest"], Number(row["score"])] for row in rows] for kind, rows in told.items()} or None
