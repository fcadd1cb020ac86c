"""The tables of evaluation: weekly. What a model is worth, against baselines, on people and times it has not seen.

Not here: models, or what is computed (`metrics`, `bootstrap`).
"""

from profile_pipeline.table import Column, Table

_KEY = (
    Column("model", "VARCHAR", "entry of `models:`, or recommendations", is_nullable=False),
    Column("week", "DATE", "the week, by its Monday", is_nullable=False),
    Column("algorithm", "VARCHAR", "the algorithm or baseline", is_nullable=False),
)
_SPLIT = Column(
    "split",
    "VARCHAR",
    "validation (folds by person), test (people held out) or future (newest cohort)",
    is_nullable=False,
)
_N_ROWS = Column("n_rows", "BIGINT", "rows it was computed from", is_nullable=False)

METRICS = Table(
    "evaluation.metrics",
    grain="a metric of an algorithm on a split",
    key=("model", "week", "algorithm", "split", "metric"),
    partition_column="week",
    columns=(
        *_KEY,
        _SPLIT,
        Column("metric", "VARCHAR", "name of the metric", is_nullable=False),
        Column("value", "DOUBLE", "its value", is_nullable=False),
        Column("ci_low", "DOUBLE", "lower end of the 95 % bootstrap interval"),
        Column("ci_high", "DOUBLE", "upper end"),
        Column("baseline", "VARCHAR", "the best baseline on this split by this metric"),
        Column("baseline_value", "DOUBLE", "that baseline's value"),
        _N_ROWS,
    ),
)
CALIBRATION = Table(
    "evaluation.calibration",
    grain="a bin of predicted probability of a class",
    key=("model", "week", "algorithm", "split", "class", "bin"),
    partition_column="week",
    columns=(
        *_KEY, _SPLIT,
        Column("class", "VARCHAR", "the class", is_nullable=False),
        Column("bin", "INTEGER", "tenths of probability, from 0", is_nullable=False),
        Column("mean_predicted", "DOUBLE", "mean probability", is_nullable=False),
        Column("observed_share", "DOUBLE", "share in which the class was true", is_nullable=False),
        _N_ROWS,
    ),
)  # fmt: skip
IMPORTANCE = Table(
    "evaluation.importance",
    grain="a feature's importance for the chosen algorithm",
    key=("model", "week", "algorithm", "feature"),
    partition_column="week",
    columns=(
        *_KEY,
        Column("feature", "VARCHAR", "the feature", is_nullable=False),
        Column(
            "importance",
            "DOUBLE",
            "loss of the score when the feature is shuffled among people held out of the fit",
            is_nullable=False,
        ),
        Column("rank", "INTEGER", "place, from 1", is_nullable=False),
    ),
)
GATES = Table(
    "evaluation.gates",
    grain="the verdict on a model of a week",
    key=("model", "week"),
    partition_column="week",
    columns=(
        _KEY[0], _KEY[1],
        Column("is_passed", "BOOLEAN", "predictions may become tags", is_nullable=False),
        Column("reason", "VARCHAR", "why, with figures", is_nullable=False),
        Column("version", "VARCHAR", "version of the model that was judged; one trained again since does not serve"),
    ),
)  # fmt: skip
CURVES = Table(
    "evaluation.curves",
    grain="a point of a curve",
    key=("model", "week", "algorithm", "split", "curve", "class", "point"),
    partition_column="week",
    columns=(
        *_KEY, _SPLIT,
        Column("curve", "VARCHAR", "roc or pr", is_nullable=False),
        Column("class", "VARCHAR", "the class", is_nullable=False),
        Column("point", "INTEGER", "place on the curve", is_nullable=False),
        Column("x", "DOUBLE", "false positive rate, or recall", is_nullable=False),
        Column("y", "DOUBLE", "true positive rate, or precision", is_nullable=False),
    ),
)  # fmt: skip
CONFUSION = Table(
    "evaluation.confusion",
    grain="a pair of true and predicted class",
    key=("model", "week", "algorithm", "split", "actual", "predicted"),
    partition_column="week",
    columns=(
        *_KEY, _SPLIT,
        Column("actual", "VARCHAR", "the class that is true", is_nullable=False),
        Column("predicted", "VARCHAR", "the class that was predicted", is_nullable=False),
        _N_ROWS,
    ),
)  # fmt: skip

TABLES: tuple[Table, ...] = (METRICS, CALIBRATION, IMPORTANCE, GATES, CURVES, CONFUSION)
