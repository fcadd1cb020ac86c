"""The tables of profiles: daily by `as_of_date`. What is thought of a person, how sure, and why.

Not here: how tags are written (`tags`), or models.
"""

from profile_pipeline.features.tables import BEHAVIOR, DEMAND
from profile_pipeline.table import Column, Table

_PROFILE = Column("profile_id", "VARCHAR", "the profile", is_nullable=False)
_AS_OF = Column("as_of_date", "DATE", "day at whose end it was known", is_nullable=False)
_IS_FINAL = Column("is_final", "BOOLEAN", "the day had ended", is_nullable=False)

BEHAVIOR_SHOWN = (
    "recency_days", "tenure_days", "n_events_7d", "n_events_30d", "n_events_90d", "n_sessions_30d", "session_seconds_30d", "n_active_days_30d",
    "n_active_days_90d", "n_views_30d", "n_searches_30d", "n_purchases_90d", "n_purchases_all", "n_orders_all", "n_refunds_all", "purchase_amount_90d",
    "purchase_amount_all", "n_night_events_90d",
)  # fmt: skip
DEMAND_SHOWN = tuple(c.name for c in DEMAND.columns if c.name not in ("profile_id", "as_of_date"))

SCORES = Table(
    "profiles.scores",
    grain="what a model says of a profile as of a day, by class",
    key=("as_of_date", "profile_id", "model", "class"),
    partition_column="as_of_date",
    columns=(
        _PROFILE, _AS_OF,
        Column("model", "VARCHAR", "entry of `models:`", is_nullable=False),
        Column("class", "VARCHAR", "the class; of two the positive one", is_nullable=False),
        Column("week", "DATE", "week of the model that scored, by its Monday", is_nullable=False),
        Column("probability", "DOUBLE", "calibrated; null for segments"),
        Column("score", "DOUBLE", "raw margin; for segments 1 - d1/d2, the distances to the two nearest centres", is_nullable=False),
        Column("percentile", "DOUBLE", "share of the people held out in that week who scored lower"),
        _IS_FINAL,
    ),
)  # fmt: skip
TAGS = Table(
    "profiles.tags",
    grain="a tag of a profile as of a day",
    key=("as_of_date", "profile_id", "tag"),
    partition_column="as_of_date",
    columns=(
        _PROFILE, _AS_OF,
        Column("tag", "VARCHAR", "entry of `tags:`", is_nullable=False),
        Column("value", "VARCHAR", "its value", is_nullable=False),
        Column("confidence", "DOUBLE", "1 for facts; for predictions the calibrated probability of the class that the evidence names, for segments the distance from the border; null for rules"),
        Column("kind", "VARCHAR", "fact, rule or predicted", is_nullable=False),
        Column("evidence", "JSON", "what it rests on"),
        _IS_FINAL,
    ),
)  # fmt: skip
USER_PROFILES = Table(
    "profiles.user_profiles",
    grain="a person as of a day, wide",
    key=("as_of_date", "profile_id"),
    partition_column="as_of_date",
    columns=(
        _PROFILE, _AS_OF, _IS_FINAL,
        Column("user_ids", "VARCHAR[]", "user_ids that it holds that day", is_nullable=False),
        Column("n_aliases", "BIGINT", "aliases that it holds that day", is_nullable=False),
        Column("gender", "VARCHAR", "from the CRM"),
        Column("birth_date", "DATE", "from the CRM"),
        Column("birth_year", "INTEGER", "from the CRM", "year"),
        Column("income_band", "VARCHAR", "from the CRM"),
        Column("occupation", "VARCHAR", "from the CRM"),
        Column("education", "VARCHAR", "from the CRM"),
        Column("city", "VARCHAR", "from the CRM"),
        Column("country", "VARCHAR", "from the CRM"),
        Column("registered_at", "TIMESTAMP", "from the CRM, UTC"),
        Column("attributes", "JSON", "what else the CRM says"),
        *(Column(name, BEHAVIOR.types[name], BEHAVIOR.column(name).meaning, BEHAVIOR.column(name).unit) for name in BEHAVIOR_SHOWN),
        *(Column(name, DEMAND.types[name], DEMAND.column(name).meaning, DEMAND.column(name).unit) for name in DEMAND_SHOWN),
        Column("interests", "JSON", "by kind, the five strongest with their scores"),
        Column("segment", "VARCHAR", "from profiles.scores"),
    ),
)  # fmt: skip

TABLES: tuple[Table, ...] = (SCORES, TAGS, USER_PROFILES)
