"""What may be seen as of a day: the only code that turns a date into that.

A snapshot of D sees the tiles with `event_date <= D` of the aliases that a profile holds at the end of D. The window of n days
is `age_days < n`. Not here: what is computed from what is seen.
"""

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal, localcontext

import pyarrow as pa

from profile_pipeline.features.tables import TILES

# An alias `i` is held at the end of the day of `s`.
_IS_HELD = "i.valid_from <= s.as_of_date and (i.valid_to is null or i.valid_to > s.as_of_date)"
INTEREST_DAYS = "interest_days"
INTEREST_DAY_COLUMNS = ("alias_id", "event_date", "kind", "interest", "weight")
SIX_PLACES, THREE_PLACES = Decimal("0.000001"), Decimal("0.001")


def visible_sql(relation: str, columns: Sequence[str], *, asked: str | None = None) -> str:
    """Return the query of what may be seen of a relation by alias_id and event_date: its rows by profile and snapshot day, with
    their age in days.

    It reads `snapshot_days(as_of_date)`, `cleaned.identities` and the relation.

    Parameters
    ----------
    asked
        A relation of (profile_id, as_of_date): nobody else is looked at. Everybody where it is None.
    """
    confined = f" join {asked} as a on a.profile_id = i.profile_id and a.as_of_date = s.as_of_date" if asked else ""
    selected = ", ".join(f"t.{name}" for name in columns)
    return (
        f"select s.as_of_date, i.profile_id, cast(date_diff('day', t.event_date, s.as_of_date) as integer) as age_days, {selected}"
        f" from snapshot_days as s join {relation} as t on t.event_date <= s.as_of_date"
        f" join cleaned.identities as i on i.alias_id = t.alias_id and {_IS_HELD}{confined}"
    )


def aliases_of_part(part: int, n_parts: int) -> str:
    """Return the query of the aliases of one of so many parts of the people: all that a profile of the part holds on a day of
    `snapshot_days`. On one day no alias is in two parts.
    """
    return (
        f"select distinct i.alias_id from cleaned.identities as i join snapshot_days as s on {_IS_HELD}"
        f" where hash(i.profile_id) % {n_parts} = {part}"
    )


def visible_views(asked: str | None = None) -> dict[str, str]:
    """Return the temporary views that the queries of snapshots read, by name.

    `interest_days` is itself made of tiles, by the SQL file of that name.
    """
    seen = {tile.table: (tile.name, tile.column_names) for tile in TILES}
    seen[INTEREST_DAYS] = (INTEREST_DAYS, INTEREST_DAY_COLUMNS)
    return {f"visible_{name}": visible_sql(*of, asked=asked) for name, of in seen.items()}


VISIBLE = visible_views()


def summed_interest_days(relation: str) -> str:
    """Return the query of what whole days of an alias say of its interests: one row where tiles have several.

    For many snapshots, which read it once each. The sums are exact, so what is made of them is the same.
    """
    keys = ", ".join(INTEREST_DAY_COLUMNS[:-1])
    return f"select {keys}, cast(sum(weight) as decimal(11, 3)) as weight from {relation} as d group by {keys}"


def decay_weights(half_life_days: int) -> pa.Table:
    """Return age_days and weight: 0.5 ** (age / half life), to six places, as far as it is above zero.

    Computed in decimals, so that the weights are the same on every machine.
    """
    ages: list[int] = []
    weights: list[Decimal] = []
    with localcontext() as context:
        context.prec = 40
        step = Decimal("0.5") ** (Decimal(1) / Decimal(half_life_days))
        weight = Decimal(1)
        while (rounded := weight.quantize(SIX_PLACES, rounding=ROUND_HALF_UP)) > 0:
            ages.append(len(ages))
            weights.append(rounded)
            weight *= step
    return pa.table({"age_days": pa.array(ages, pa.int32()), "weight": pa.array(weights, pa.decimal128(7, 6))})


def role_weights(weights: dict[str, float]) -> pa.Table:
    """Return role and weight, in decimals of three places."""
    values = [Decimal(str(weight)).quantize(THREE_PLACES) for weight in weights.values()]
    return pa.table({"role": pa.array(list(weights), pa.string()), "weight": pa.array(values, pa.decimal128(9, 3))})
