"""A world just large enough that every shipped model is trained, judged and scored with: 90 people and 29 days, in half a minute.

Here belong its files and its settings. Not here: a world that is built in seconds and trains nothing (`tiny_world`), or any test.
"""

import datetime as dt
from pathlib import Path

from profile_pipeline.raw.world.write import write_world
from profile_pipeline_tests.conftest import LAST_DAY, write_config

N_DAYS = 29
FIRST = LAST_DAY - dt.timedelta(days=N_DAYS - 1)
# The shipped models with what so few people and days allow.
SMALLER = {
    "label: gender}": "label: gender, min_labels: 10}",
    "bands: [30, 45]}": "bands: [30, 45], min_labels: 10}",
    "active_days: 28, horizon_days: 14, happens: any, is_absence: true}": "active_days: 14, horizon_days: 7, happens: any, is_absence: true, min_labels: 10}",
    "k_max: 8}": "k_max: 4, n_init: 2}",
}
TRAINING = "training: {algorithms: [logistic_regression], folds: 2, n_bootstrap: 50, backfill_weeks: 2}"
# Of what is made of models, each table that has no row in a world without one.
MADE_OF_MODELS = frozenset(
    {"models.gender", "models.age_band", "models.churn", "models.segments", "models.predictions", "evaluation.curves", "profiles.scores"}
)  # fmt: skip


def write_trained_world(data: Path) -> None:
    """Land the files, with their configuration."""
    write_world(data, n_users=90, n_days=N_DAYS, seed=5, say=lambda _: None)
    config = write_config(data / "profile.yaml", FIRST, LAST_DAY)
    text = config.read_text(encoding="utf-8")
    for shipped, smaller in SMALLER.items():
        assert shipped in text, f"the shipped configuration has no `{shipped}` any more"
        text = text.replace(shipped, smaller)
    config.write_text(f"{text}\n{TRAINING}\n", encoding="utf-8")
