"""Recommendations and insights of a day, from the tables.

Imported by a step when it runs, because it brings SciPy along. Not here: how they are computed (`applications/`), Dagster.
"""

import datetime as dt
from collections import defaultdict

import pyarrow as pa

from profile_pipeline.applications.insights import insights_of
from profile_pipeline.applications.recommend import Recommended, fit_item_knn, recommend
from profile_pipeline.applications.tables import INSIGHTS
from profile_pipeline.orchestration.building.recommending import consumed_rows
from profile_pipeline.settings import Settings
from profile_pipeline.warehouse.duckdb import Warehouse


def recommendation_rows(w: Warehouse, settings: Settings, day: dt.date) -> pa.Table:
    """Recommend to everybody who has a profile of the day."""
    options = settings.recommendations
    people, items, weights = consumed_rows(w, settings, day)
    profiles = [
        p
        for (p,) in w.rows(
            "select profile_id from profiles.user_profiles where as_of_date = $day order by profile_id", {"day": day}
        )
    ]
    catalogue = dict(
        w.rows(
            "select item_id, coalesce(title, item_id) from cleaned.items where valid_from <= $day and (valid_to is null or valid_to > $day)",
            {"day": day},
        )
    )
    bought: dict[str, set[str]] = defaultdict(set)
    for person, item in w.rows(
        "select distinct i.profile_id, t.item_id from features.user_item_days as t join cleaned.identities as i on i.alias_id = t.alias_id"
        " and i.valid_from <= $day and (i.valid_to is null or i.valid_to > $day) where t.role = 'purchase' and t.event_date <= $day",
        {"day": day},
    ):
        bought[person].add(item)
    shown: dict[str, list[Recommended]] = {}
    if people:
        model = fit_item_knn(people, items, weights, shrinkage=options.shrinkage, neighbours=options.neighbours)
        left_out = {person: frozenset(found) for person, found in bought.items()}
        shown = recommend(
            model,
            profiles,
            left_out=left_out,
            available=frozenset(catalogue) if catalogue else None,
            n_items=options.per_person,
        )
    rows = [
        (day, person, rank, r.item_id, r.score, _reason(r, catalogue, options.window_days))
        for person in profiles
        for rank, r in enumerate(shown.get(person, []), start=1)
    ]
    names = ("as_of_date", "profile_id", "rank", "item_id", "score", "reason")
    kinds = (pa.date32(), pa.string(), pa.int32(), pa.string(), pa.float64(), pa.string())
    return pa.table({name: pa.array([row[i] for row in rows], kinds[i]) for i, name in enumerate(names)})


def _reason(r: Recommended, titles: dict[str, str], window_days: int) -> str:
    if r.because_of is None:
        return f"popular in the last {window_days} days"
    return f"because of {titles.get(r.because_of, r.because_of)} ({r.because_of})"


def insight_rows(w: Warehouse, day: dt.date) -> pa.Table:
    """Compare the audiences of a day with everybody."""
    members: dict[str, set[str]] = defaultdict(set)
    for audience, person in w.rows(
        "select audience, profile_id from applications.audiences where as_of_date = $day", {"day": day}
    ):
        members[audience].add(person)
    tags = w.rows("select profile_id, tag, value from profiles.tags where as_of_date = $day", {"day": day})
    rows = insights_of(day, {name: frozenset(people) for name, people in members.items()}, tags)
    kinds = {
        "as_of_date": pa.date32(),
        "n_people": pa.int64(),
        "audience": pa.string(),
        "tag": pa.string(),
        "value": pa.string(),
    }
    return pa.table(
        {name: pa.array([row[name] for row in rows], kinds.get(name, pa.float64())) for name in INSIGHTS.column_names}
    )
