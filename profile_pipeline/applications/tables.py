"""The tables of applications: daily. What profiles are used for; those of past days are what was delivered then.

Not here: how they are computed.
"""

from profile_pipeline.table import MONEY, Column, Table

_PROFILE = Column("profile_id", "VARCHAR", "the profile", is_nullable=False)
_AS_OF = Column("as_of_date", "DATE", "day at whose end it was known", is_nullable=False)

RECOMMENDATIONS = Table(
    "applications.recommendations",
    grain="an item recommended to a profile",
    key=("as_of_date", "profile_id", "rank"),
    partition_column="as_of_date",
    columns=(
        _AS_OF, _PROFILE,
        Column("rank", "INTEGER", "place, from 1", is_nullable=False),
        Column("item_id", "VARCHAR", "the item", is_nullable=False),
        Column("score", "DOUBLE", "similarity to what the person did, summed; 0 where popularity filled up", is_nullable=False),
        Column("reason", "VARCHAR", "the person's own item that moved it most, or popularity", is_nullable=False),
    ),
)  # fmt: skip
AUDIENCES = Table(
    "applications.audiences",
    grain="a member of an audience",
    key=("as_of_date", "audience", "profile_id"),
    partition_column="as_of_date",
    columns=(
        _AS_OF,
        Column("audience", "VARCHAR", "entry of `audiences:`", is_nullable=False),
        _PROFILE,
        Column("user_ids", "VARCHAR[]", "user_ids that the profile holds", is_nullable=False),
    ),
)
INSIGHTS = Table(
    "applications.insights",
    grain="a value of a tag within an audience",
    key=("as_of_date", "audience", "tag", "value"),
    partition_column="as_of_date",
    columns=(
        _AS_OF,
        Column("audience", "VARCHAR", "entry of `audiences:`", is_nullable=False),
        Column("tag", "VARCHAR", "the tag", is_nullable=False),
        Column("value", "VARCHAR", "its value", is_nullable=False),
        Column("n_people", "BIGINT", "people of the audience with the value", is_nullable=False),
        Column("tgi", "DOUBLE", "100 x share in the audience / share in everybody", is_nullable=False),
        Column("ci_low", "DOUBLE", "lower end of the 95 % interval", is_nullable=False),
        Column("ci_high", "DOUBLE", "upper end", is_nullable=False),
        Column("p_value", "DOUBLE", "Fisher's exact test, two-sided, audience against the rest", is_nullable=False),
        Column("q_value", "DOUBLE", "Benjamini-Hochberg over the audience's rows of the day", is_nullable=False),
    ),
)
DAILY_METRICS = Table(
    "applications.daily_metrics",
    grain="a day of everybody or of a segment",
    key=("event_date", "segment"),
    partition_column="event_date",
    columns=(
        Column("event_date", "DATE", "the day", is_nullable=False),
        Column("segment", "VARCHAR", "all, or a segment of the newest snapshot before", is_nullable=False),
        Column("pv", "BIGINT", "page views: events of role view", is_nullable=False),
        Column("uv", "BIGINT", "unique visitors: distinct streams", is_nullable=False),
        Column("n_sessions", "BIGINT", "sessions that started", is_nullable=False),
        Column("n_orders", "BIGINT", "orders", is_nullable=False),
        Column("conversion", "DOUBLE", "converted sessions by sessions; null without sessions"),
        Column("revenue_amount", MONEY, "purchases less refunds", "currency", is_nullable=False),
    ),
)

TABLES: tuple[Table, ...] = (RECOMMENDATIONS, AUDIENCES, INSIGHTS, DAILY_METRICS)
