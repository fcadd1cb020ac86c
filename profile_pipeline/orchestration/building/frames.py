"""Reading the frames that models are trained on and score: the matrix of a day, shares of interests, categories of the CRM, items.

Which shares and items become columns is settled by how many people have them when a model is trained, and stays with the model.
Not here: what a frame is (`models.frame`).
"""

import datetime as dt
from collections.abc import Sequence

from profile_pipeline.features.matrix import CATEGORY_PREFIX, INTEREST_PREFIX, known_value
from profile_pipeline.models.frame import Frame, frame_of
from profile_pipeline.settings import Settings
from profile_pipeline.warehouse.duckdb import Warehouse

INTERESTS_READ, CATEGORIES_READ, ITEMS_READ = 60, 40, 4_000
LEAST_PEOPLE = 5
HELD = "select profile_id, alias_id from cleaned.identities where valid_from <= $day and (valid_to is null or valid_to > $day)"


def popular_interests(w: Warehouse, day: dt.date) -> list[str]:
    """Return the interests that most people have, of each kind so many; what few have may be what one of them typed, and would be shown in reports."""
    return [
        name
        for (name,) in w.rows(
            "select $prefix || kind || '=' || interest from (select kind, interest, count(*) as n, row_number() over (partition by kind order by count(*) desc, interest) as place"
            " from features.interests where as_of_date = $day group by kind, interest) where place <= $most and n >= $least order by kind, place",
            {"day": day, "most": INTERESTS_READ, "least": LEAST_PEOPLE, "prefix": INTEREST_PREFIX},
        )
    ]


def popular_categories(w: Warehouse, columns: Sequence[str], day: dt.date) -> list[str]:
    """Return the values of the CRM's columns that most people have, of each column so many; as `crm:<column>=<value>`."""
    if not columns:
        return []
    return [
        name
        for (name,) in w.rows(
            "select name from (select name, count(*) as n, row_number() over (partition by split_part(name, '=', 1) order by count(*) desc, name) as place"
            f" from ({_categories(columns)}) group by name) where place <= $most and n >= $least order by name",
            {"day": day, "most": CATEGORIES_READ, "least": LEAST_PEOPLE},
        )
    ]


def _categories(columns: Sequence[str]) -> str:
    """The query of (profile_id, name) as of a day: what the CRM says of a person; of several users the least value."""
    parts = [
        f"select held.profile_id, '{CATEGORY_PREFIX}' || '{column.replace(chr(39), chr(39) * 2)}=' || min({known_value(column, of='users')}) as name"
        f" from ({HELD}) as held join cleaned.users as users on 'user:' || users.user_id = held.alias_id"
        f" and users.valid_from <= $day and (users.valid_to is null or users.valid_to > $day)"
        f" where {known_value(column, of='users')} is not null group by held.profile_id"
        for column in columns
    ]
    return " union all ".join(parts)


def popular_items(w: Warehouse, day: dt.date) -> list[str]:
    """Return the items that most people were occupied with up to a day, and enough people each."""
    return [
        item
        for (item,) in w.rows(
            f"select t.item_id from features.user_item_days as t join ({HELD}) as held on held.alias_id = t.alias_id"
            " where t.event_date <= $day group by t.item_id having count(distinct held.profile_id) >= $least"
            " order by count(distinct held.profile_id) desc, t.item_id limit $most",
            {"day": day, "least": LEAST_PEOPLE, "most": ITEMS_READ},
        )
    ]


def read_frame(
    w: Warehouse, settings: Settings, day: dt.date, share_names: Sequence[str], item_names: Sequence[str] = ()
) -> Frame:
    """Read the people of a day, with the shares and items that are named.

    Parameters
    ----------
    share_names
        `interest:<kind>=<interest>`: its part of the person's score within the kind; `crm:<column>=<value>`: 1 or 0.
    item_names
        Items of which is read what people did with them in all the time up to the day.
    """
    matrix = w.arrow("select * from features.user_features where as_of_date = $day", {"day": day})
    shares = (
        "select profile_id, $prefix || kind || '=' || interest as name,"
        " cast(score as double) / cast(sum(score) over (partition by profile_id, kind) as double) as share"
        " from features.interests where as_of_date = $day"
    )
    if settings.features.categories:
        shares += f" union all select profile_id, name, cast(1 as double) as share from ({_categories(settings.features.categories)})"
    found = w.arrow(
        f"select * from ({shares}) where list_contains($names, name)",
        {"day": day, "names": list(share_names), "prefix": INTEREST_PREFIX},
    )
    consumed = None
    if item_names:
        cases = " ".join(
            f"when '{role}' then {float(weight)!r}" for role, weight in settings.features.role_weights.items()
        )
        consumed = w.arrow(
            f"select held.profile_id, t.item_id, sum(t.n * case t.role {cases} else 0 end) as weight,"
            " sum(cast(t.value as double)) filter (where t.role = 'rate') / sum(t.n) filter (where t.role = 'rate') as rating"
            f" from features.user_item_days as t join ({HELD}) as held on held.alias_id = t.alias_id"
            " where t.event_date <= $day group by held.profile_id, t.item_id having weight > 0 order by held.profile_id, t.item_id",
            {"day": day},
        )
    return frame_of(matrix, found, share_names=share_names, consumed=consumed, item_names=item_names)
