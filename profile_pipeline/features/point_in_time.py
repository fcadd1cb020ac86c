"""Features of the people and days that somebody asks for: the same SQL as for snapshots, confined to them and kept nowhere.

Here are the queries, in their order, over temporary relations. Not here: running them, or what may be seen (`windows`).
"""

from profile_pipeline.features.matrix import user_features_sql
from profile_pipeline.features.windows import INTEREST_DAYS, TILES, visible_views
from profile_pipeline.warehouse.sql import confined, reading, sql_file

ASKED_PROFILES = "asked_profiles"
ASKED_ALIASES = "asked_aliases"
ASKED_FEATURES = "asked_user_features"
STAND_INS = {f"features.{name}": f"asked_{name}" for name in ("behavior", "interests", "demand")}

# The profiles asked for, by day, hold these aliases: nothing else needs to be read.
ALIASES_SQL = (
    f"select distinct i.alias_id from {ASKED_PROFILES} as a join cleaned.identities as i on i.profile_id = a.profile_id"
    " and i.valid_from <= a.as_of_date and (i.valid_to is null or i.valid_to > a.as_of_date)"
)


def asked_views() -> dict[str, str]:
    """Return the views of what may be seen of the profiles asked for, by name."""
    return visible_views(ASKED_PROFILES)


def asked_interest_days() -> str:
    """Return the query of `interest_days`, which is made once for all pieces: of categories only, which is what the matrix counts.

    It reads `asked_aliases(alias_id)` and the weights of roles.
    """
    names = tuple(tile.name for tile in TILES)
    of_asked = confined(sql_file(f"features.{INTEREST_DAYS}"), tables=names, scope=ASKED_ALIASES, keys=("alias_id",))
    return f"select * from ({of_asked}) as d where kind = 'category'"


def asked_queries(attributes: tuple[str, ...]) -> dict[str, str]:
    """Return the relations to be made for a piece, in order, the last being `ASKED_FEATURES`, each with its query.

    They read `snapshot_days`, `asked_profiles(profile_id, as_of_date)`, `asked_aliases(alias_id)`, weights of decay, and the views of
    `asked_views`.

    Parameters
    ----------
    attributes
        CRM attributes that are features.
    """
    matrix = confined(
        user_features_sql(attributes), tables=("cleaned.identities",), scope=ASKED_ALIASES, keys=("alias_id",)
    )
    return {
        **{relation: reading(sql_file(table), STAND_INS) for table, relation in STAND_INS.items()},
        ASKED_FEATURES: reading(matrix, STAND_INS),
    }
