"""Features of the people and days that somebody asks for: the same SQL as for snapshots, confined to them and kept nowhere.

Here are the queries, in their order, over temporary relations. Not here: running them, or what may be seen (`windows`).
"""

from collections.abc import Sequence

from profile_pipeline.features.matrix import user_features_sql
from profile_pipeline.features.windows import INTEREST_DAYS, TILES, summed_interest_days, visible_views
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


def distinct_rows(names: Sequence[str]) -> str:
    """Return the query of the rows asked for, of those that are the same in all columns one.

    It reads `asked_people(row_number, profile_id, as_of_date)` and `given_rows(row_number, …)`.

    Parameters
    ----------
    names
        The other columns of `given_rows`.
    """
    columns = ", ".join(["as_of_date", "profile_id", *names])
    return (
        f"select p.row_number, {columns} from asked_people as p join given_rows as g on g.row_number = p.row_number"
        f" qualify row_number() over (partition by {columns} order by p.row_number) = 1"
    )


def placed_rows(names: Sequence[str]) -> str:
    """Return the query of each row's place in the file and of the piece in which it is computed.

    Places go by day, profile and the columns given, never by the order in which rows came. A piece holds rows in that order until
    they join `$n_tiles_at_once` tiles, of which each row counts for `$least_weight` at least. It reads `distinct_rows`.
    """
    columns = ", ".join(["as_of_date", "profile_id", *names])
    return f"""
        with tiles as (
            select alias_id, count(*) as n_tiles from features.user_item_days group by alias_id
        ),
        pairs as (
            select distinct profile_id, as_of_date from distinct_rows where profile_id is not null
        ),
        weighed as (
            select a.profile_id, a.as_of_date, sum(t.n_tiles) as n_tiles
            from pairs as a
            join cleaned.identities as i on i.profile_id = a.profile_id
                and i.valid_from <= a.as_of_date and (i.valid_to is null or i.valid_to > a.as_of_date)
            join tiles as t on t.alias_id = i.alias_id
            group by a.profile_id, a.as_of_date
        ),
        ordered as (
            select
                row_number, profile_id, as_of_date,
                count(*) over (partition by profile_id, as_of_date) as n_sharing,
                row_number() over (order by {columns}) as place
            from distinct_rows
        ),
        cumulated as (
            select ordered.*, sum(greatest(coalesce(weighed.n_tiles, 0), $least_weight)) over (
                order by ordered.place rows unbounded preceding
            ) as n_tiles_so_far
            from ordered left join weighed on weighed.profile_id = ordered.profile_id and weighed.as_of_date = ordered.as_of_date
        )
        select row_number, profile_id, as_of_date, n_sharing, place, n_tiles_so_far // $n_tiles_at_once as piece from cumulated
    """


def asked_views() -> dict[str, str]:
    """Return the views of what may be seen of the profiles asked for, by name."""
    return visible_views(ASKED_PROFILES)


def asked_interest_days() -> str:
    """Return the query of `interest_days`, which is made once for all pieces: of categories only, which is what the matrix counts.

    It reads `asked_aliases(alias_id)` and the weights of roles.
    """
    names = tuple(tile.name for tile in TILES)
    of_asked = confined(sql_file(f"features.{INTEREST_DAYS}"), tables=names, scope=ASKED_ALIASES, keys=("alias_id",))
    return summed_interest_days(f"(select * from ({of_asked}) as t where kind = 'category')")


def asked_queries(attributes: tuple[str, ...], *, has_events: bool) -> dict[str, str]:
    """Return the relations to be made for a piece, in order, the last being `ASKED_FEATURES`, each with its query.

    They read `snapshot_days`, `asked_profiles(profile_id, as_of_date)`, `asked_aliases(alias_id)`, weights of decay, and the views of
    `asked_views`.

    Parameters
    ----------
    attributes
        CRM attributes that are features.
    has_events
        False: people are those of the CRM.
    """
    matrix = confined(
        user_features_sql(attributes, has_events=has_events),
        tables=("cleaned.identities",),
        scope=ASKED_ALIASES,
        keys=("alias_id",),
    )
    return {
        **{relation: reading(sql_file(table), STAND_INS) for table, relation in STAND_INS.items()},
        ASKED_FEATURES: reading(matrix, STAND_INS),
    }
