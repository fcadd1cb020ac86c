"""What readers may read without the lease: which tables are published, and how much of each.

Not here: copying, which `warehouse.serving` does.
"""

import datetime as dt

NEWEST = "as_of_date = (select max(as_of_date) from profiles.user_profiles)"
OPEN = "valid_to is null"

# Of one day, for each person: the size follows the number of people, not the history.
PER_PERSON: tuple[str, ...] = (
    "profiles.user_profiles", "profiles.tags", "profiles.scores", "applications.recommendations", "applications.audiences", "applications.insights",
    "features.interests",
)  # fmt: skip
# Table (or all of a schema, with `*`) and which of its rows.
OTHERS: tuple[tuple[str, str], ...] = (
    ("applications.daily_metrics", "true"),
    ("evaluation.*", "true"),
    ("models.segment_traits", "true"),
    ("cleaned.items", "true"),
    ("cleaned.identities", OPEN),
    ("raw.files", "true"),
    ("raw.pending", "true"),
)


def published(as_of_date: dt.date | None) -> tuple[tuple[str, str], ...]:
    """Return what is published, of this day or else of the newest that has profiles."""
    day = NEWEST if as_of_date is None else f"as_of_date = date '{as_of_date.isoformat()}'"
    return (*((table, day) for table in PER_PERSON), *OTHERS)
