"""The tables of models: weekly, immutable. One table per entry of `models:`, and what they share.

Not here: evaluation, or how anything is trained.
"""

from profile_pipeline.table import Column, Table

_WEEK = Column("week", "DATE", "the week, by its Monday", is_nullable=False)
_MODEL = Column("model", "VARCHAR", "entry of `models:`", is_nullable=False)


def model_table(name: str) -> Table:
    """Return the table of one entry of `models:`."""
    return Table(
        f"models.{name}",
        grain="an algorithm that was tried for this model in a week",
        key=("week", "algorithm"),
        partition_column="week",
        columns=(
            _MODEL,
            _WEEK,
            Column("version", "VARCHAR", "hash of data, settings and code that gave it", is_nullable=False),
            Column("algorithm", "VARCHAR", "the algorithm", is_nullable=False),
            Column("params", "JSON", "its parameters"),
            Column("is_chosen", "BOOLEAN", "this one serves", is_nullable=False),
            Column("feature_names", "VARCHAR[]", "features in the order of the model"),
            Column("n_train", "BIGINT", "rows trained on"),
            Column("train_from_date", "DATE", "first day of the data, labels included"),
            Column("train_to_date", "DATE", "last day of the data, labels included"),
            Column("seed", "BIGINT", "seed"),
            Column("data_fingerprint", "VARCHAR", "order-free hash of the training rows"),
            Column("library_versions", "JSON", "versions of what it was trained with"),
            Column("classes", "VARCHAR[]", "classes; of two the positive one is last"),
            Column("calibration", "JSON", "slope and offset by class, from scores to probabilities"),
            Column("reference", "JSON", "quantiles of the held-out people's scores by class, for percentiles"),
            Column("explanation", "JSON", "for the report: tree, weights, k, inertia"),
            Column("artifact", "BLOB", "the model"),
            Column("artifact_format", "VARCHAR", "skops or lightgbm"),
            Column("artifact_sha256", "VARCHAR", "sha256 of the model's bytes, looked at before they are loaded"),
        ),
    )


POPULATION = Table(
    "models.population",
    grain="a statistic of all people as of the end of a week",
    key=("week", "statistic", "key"),
    partition_column="week",
    columns=(
        _WEEK,
        Column("statistic", "VARCHAR", "quantile or share", is_nullable=False),
        Column("key", "VARCHAR", "<column>:<quantile>, or <column>=<value>", is_nullable=False),
        Column("value", "DOUBLE", "the value"),
        Column("n_people", "BIGINT", "people it was computed from", is_nullable=False),
    ),
)

SELECTED_FEATURES = Table(
    "models.selected_features",
    grain="a feature that was looked at for a model in a week",
    key=("week", "model", "feature"),
    partition_column="week",
    columns=(
        _WEEK,
        Column("feature", "VARCHAR", "the feature", is_nullable=False),
        _MODEL,
        Column("importance", "DOUBLE", "binned information gain on the training people", "bits"),
        Column("is_kept", "BOOLEAN", "the model reads it", is_nullable=False),
        Column("reason", "VARCHAR", "why it is kept or not", is_nullable=False),
    ),
)

SEGMENT_TRAITS = Table(
    "models.segment_traits",
    grain="what a segment is like in a feature",
    key=("week", "model", "segment", "feature"),
    partition_column="week",
    columns=(
        _WEEK,
        _MODEL,
        Column("segment", "VARCHAR", "the segment", is_nullable=False),
        Column("feature", "VARCHAR", "the feature", is_nullable=False),
        Column("mean", "DOUBLE", "mean in the segment"),
        Column("overall_mean", "DOUBLE", "mean of everybody"),
        Column("z_score", "DOUBLE", "difference in standard deviations, on the scale of the model"),
        Column("rank", "INTEGER", "place by the size of the difference, from 1", is_nullable=False),
        Column("n_people", "BIGINT", "people in the segment", is_nullable=False),
        Column("people_share", "DOUBLE", "their share"),
    ),
)

PREDICTIONS = Table(
    "models.predictions",
    grain="the probability of a class for a labelled row that the model did not see while it was fitted",
    key=("week", "model", "algorithm", "split", "as_of_date", "profile_id", "class"),
    partition_column="week",
    columns=(
        _WEEK,
        _MODEL,
        Column("algorithm", "VARCHAR", "the algorithm or baseline", is_nullable=False),
        Column("split", "VARCHAR", "validation, test or future", is_nullable=False),
        Column("as_of_date", "DATE", "the cohort", is_nullable=False),
        Column("profile_id", "VARCHAR", "the person", is_nullable=False),
        Column("class", "VARCHAR", "the class; of two the positive one", is_nullable=False),
        Column("probability", "DOUBLE", "its probability", is_nullable=False),
        Column("actual", "VARCHAR", "the class that is true", is_nullable=False),
    ),
)

SEGMENT_MEMBERS = Table(
    "models.segment_members",
    grain="a person's segment when the segments of a week were found; next week's are named after them",
    key=("week", "model", "profile_id"),
    partition_column="week",
    columns=(
        _WEEK,
        _MODEL,
        Column("profile_id", "VARCHAR", "the person", is_nullable=False),
        Column("segment", "VARCHAR", "the segment", is_nullable=False),
    ),
)

TABLES: tuple[Table, ...] = (POPULATION, SELECTED_FEATURES, SEGMENT_TRAITS, SEGMENT_MEMBERS, PREDICTIONS)
