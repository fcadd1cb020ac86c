"""Well-known files whose columns or codes can't be told from the file: layouts without a header, and what codes stand for.

Not here: anything that the file itself says.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from profile_pipeline.raw.proposing.vocabulary import folded

_GENRES = (
    "Unknown", "Action", "Adventure", "Animation", "Children", "Comedy", "Crime", "Documentary", "Drama", "Fantasy", "Film-Noir", "Horror", "Musical",
    "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
_CENSUS = (
    "age", "workclass", "final_weight", "education", "education_years", "marital", "occupation", "relationship", "race", "gender", "capital_gain",
    "capital_loss", "hours_per_week", "native_country", "label",
)  # fmt: skip


@dataclass(frozen=True)
class Layout:
    """Names of the columns of a file without a header, told by its name, delimiter and width; `|` etc. as in the file, None: any."""

    file_name: str
    n_fields: int
    header: tuple[str, ...]
    event_type: str | None = None


LAYOUTS = (
    # MovieLens 100k and 1M
    Layout(r"^u[1-5ab]?\.(data|base|test)$", 4, ("user_id", "item_id", "rating", "timestamp")),
    Layout(r"^u\.user$", 5, ("user_id", "age", "gender", "occupation", "zip_code")),
    Layout(r"^u\.item$", 24, ("item_id", "title", "release_date", "video_release_date", "url", *_GENRES)),
    Layout(r"^ratings\.dat$", 4, ("user_id", "movie_id", "rating", "timestamp")),
    Layout(r"^users\.dat$", 5, ("user_id", "gender", "age", "occupation", "zip_code")),
    Layout(r"^movies\.dat$", 3, ("movie_id", "title", "genres")),
    # CDNOW, whole and sample
    Layout(r"^cdnow", 4, ("user_id", "purchase_date", "quantity", "amount"), "purchase"),
    Layout(r"^cdnow", 5, ("user_id", "sample_number", "purchase_date", "quantity", "amount"), "purchase"),
    # The census of 1994 that is known as Adult
    Layout(r"^adult\.(data|test)$", 15, _CENSUS),
    # Last.fm of a thousand people
    Layout(
        r"^userid-timestamp-artid|^lastfm.?1k",
        6,
        ("user_id", "timestamp", "artist_id", "artist", "track_id", "track"),
        "play",
    ),
    # Taobao user behaviour, Sogou query log, RecSys challenge 2015
    Layout(r"^userbehavior", 5, ("user_id", "item_id", "category_id", "behavior_type", "timestamp")),
    Layout(r"^sogouq", 5, ("time", "user_id", "query", "rank_and_click", "url"), "search"),
    Layout(r"^yoochoose-clicks", 4, ("session_id", "timestamp", "item_id", "category"), "click"),
    Layout(r"^yoochoose-buys", 5, ("session_id", "timestamp", "item_id", "price", "quantity"), "purchase"),
)
# Columns that name the set -> column -> what it is, where its name says something else or nothing, and how good a name it is.
_MEANINGS: tuple[tuple[frozenset[str], dict[str, dict[str, int]]], ...] = (
    # Orders of Shopify: the number of the order is its name; it stands on every line, the id on the first one only.
    (
        frozenset({"name", "lineitemname", "lineitemprice", "createdat"}),
        {"name": {"order_id": 0}, "id": {"order_id": 1}},
    ),
)
# Columns that name the set -> its codes of events.
_CODES: tuple[tuple[frozenset[str], dict[str, str]], ...] = (
    (
        frozenset({"userid", "skuid", "modelid", "type", "cate", "brand"}),
        {"1": "view", "2": "add_to_cart", "3": "remove_from_cart", "4": "purchase", "5": "follow", "6": "other"},
    ),
    (
        frozenset({"userid", "itemid", "behaviortype", "usergeohash", "itemcategory"}),
        {"1": "view", "2": "follow", "3": "add_to_cart", "4": "purchase"},
    ),
)
# Columns that name the set -> column -> codes that mean that it is not known.
_UNKNOWN_CODES: tuple[tuple[frozenset[str], dict[str, tuple[str, ...]]], ...] = (
    (frozenset({"userid", "age", "sex", "userlvcd", "userregtm"}), {"sex": ("2",)}),
)


def layout_of(file_name: str, n_fields: int) -> Layout | None:
    """Return the layout of a well-known file."""
    return next((x for x in LAYOUTS if x.n_fields == n_fields and re.search(x.file_name, file_name.lower())), None)


def meanings_of_layout(names: Iterable[str]) -> dict[str, dict[str, int]]:
    """Return what columns of a well-known set are, by their folded names."""
    found = {folded(name) for name in names}
    return next((meanings for columns, meanings in _MEANINGS if columns <= found), {})


def roles_of_codes(names: Iterable[str]) -> dict[str, str]:
    """Return the role of each code of a well-known set, by the names of its columns."""
    found = {folded(name) for name in names}
    return next((dict(roles) for columns, roles in _CODES if columns <= found), {})


def unknown_codes(names: Iterable[str], column: str) -> tuple[str, ...]:
    """Return the codes of a column that stand for "not known" in a well-known set."""
    found = {folded(name) for name in names}
    return next((codes.get(folded(column), ()) for columns, codes in _UNKNOWN_CODES if columns <= found), ())
