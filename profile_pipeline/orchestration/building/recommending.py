"""What recommenders read: what people were occupied with, as of a day.

Not here: the recommender (`applications.recommend`).
"""

import datetime as dt

from profile_pipeline.settings import Settings
from profile_pipeline.warehouse.duckdb import Warehouse


def consumed_rows(w: Warehouse, settings: Settings, as_of_date: dt.date) -> tuple[list[str], list[str], list[float]]:
    """Return (person, item, weight) rows of the window that ends with a day, as the aliases were held that day."""
    cases = " ".join(f"when '{role}' then {float(weight)!r}" for role, weight in settings.features.role_weights.items())
    rows = w.arrow(
        f"select i.profile_id, t.item_id, sum(t.n * case t.role {cases} else 0 end) as weight from features.user_item_days as t"
        " join cleaned.identities as i on i.alias_id = t.alias_id and i.valid_from <= $day and (i.valid_to is null or i.valid_to > $day)"
        " where t.event_date <= $day and t.event_date > $after group by i.profile_id, t.item_id having weight > 0 order by i.profile_id, t.item_id",
        {"day": as_of_date, "after": as_of_date - dt.timedelta(days=settings.recommendations.window_days)},
    )
    return (
        rows.column("profile_id").to_pylist(),
        rows.column("item_id").to_pylist(),
        [float(v) for v in rows.column("weight").to_pylist()],
    )
