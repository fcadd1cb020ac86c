"""The query of `models.population`: quantiles of every number of behavior and demand.

Not here: what reads them (rules of tags), or running it.
"""

from profile_pipeline.features.tables import BEHAVIOR, DEMAND
from profile_pipeline.warehouse.sql import sql_file

QUANTILE_TYPES = ("BIGINT", "INTEGER", "DECIMAL", "DOUBLE")


def population_sql() -> str:
    """Return the query of a week's quantiles; it binds `$week` and `$as_of_date`, the week's last day."""
    columns = [("behavior", c) for c in BEHAVIOR.columns if c.type.startswith(QUANTILE_TYPES)]
    columns += [("demand", c) for c in DEMAND.columns if c.type.startswith(QUANTILE_TYPES)]
    long = " union all ".join(
        f"select '{c.name}' as name, cast({c.name} as double) as value from {table}" for table, c in columns
    )
    return sql_file("models.population").replace("{long}", long)
