"""All tables of the project, in the order of its stages.

Not here: any table itself; each lives with its stage.
"""

from profile_pipeline.applications.tables import TABLES as APPLICATIONS
from profile_pipeline.cleaned.tables import TABLES as CLEANED
from profile_pipeline.evaluation.tables import TABLES as EVALUATION
from profile_pipeline.features.matrix import user_features_table
from profile_pipeline.features.tables import TABLES as FEATURES
from profile_pipeline.models.tables import TABLES as MODELS
from profile_pipeline.models.tables import model_table
from profile_pipeline.profiles.tables import TABLES as PROFILES
from profile_pipeline.raw.tables import BUILT_WITH, DISMISSED_BEFORE
from profile_pipeline.raw.tables import TABLES as RAW
from profile_pipeline.settings import Settings
from profile_pipeline.table import Table


def all_tables(settings: Settings) -> list[Table]:
    """Return every table, with the columns and model tables that the settings add."""
    features = [
        user_features_table(settings.features.attributes, has_events=settings.has_events)
        if t.name == "features.user_features"
        else t
        for t in FEATURES
    ]
    models = [model_table(name) for name in settings.models]
    return [
        *RAW,
        BUILT_WITH,
        DISMISSED_BEFORE,
        *CLEANED,
        *features,
        *models,
        *MODELS,
        *EVALUATION,
        *PROFILES,
        *APPLICATIONS,
    ]
