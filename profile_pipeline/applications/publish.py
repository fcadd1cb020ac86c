"""What readers may read without the lease: which tables are published, and how much of each.

Not here: copying, which `warehouse.serving` does.
"""

NEWEST = "as_of_date = (select max(as_of_date) from profiles.user_profiles)"
OPEN = "valid_to is null"

# Table (or all of a schema, with `*`) and which of its rows; the size follows the number of people, not the history.
PUBLISHED: tuple[tuple[str, str], ...] = (
    ("profiles.user_profiles", NEWEST),
    ("profiles.tags", NEWEST),
    ("profiles.scores", NEWEST),
    ("applications.recommendations", NEWEST),
    ("applications.audiences", NEWEST),
    ("applications.insights", NEWEST),
    ("features.interests", NEWEST),
    ("applications.daily_metrics", "true"),
    ("evaluation.*", "true"),
    ("models.segment_traits", "true"),
    ("cleaned.items", "true"),
    ("cleaned.identities", OPEN),
    ("raw.files", "true"),
    ("raw.pending", "true"),
)
