"""The configuration as a whole: what one section says of another, checked before anything is built.

Not here: the shape of each section (`settings`), or Dagster.
"""

import difflib

from profile_pipeline.applications.audiences import check_audiences
from profile_pipeline.features.matrix import (
    CATEGORY_PREFIX,
    INTEREST_PREFIX,
    NOT_FEATURES,
    attribute_column,
    user_features_table,
)
from profile_pipeline.models.labels import check_labels
from profile_pipeline.paths import Paths
from profile_pipeline.profiles.tags import check_tags
from profile_pipeline.raw.mapping import check_source
from profile_pipeline.settings import ConfigurationError, SegmentModelSettings, Settings, did_you_mean
from profile_pipeline.settings_file import line_finder, load_settings


def load_checked(paths: Paths) -> Settings:
    """Load the configuration and check its expressions, conditions and names.

    Raises
    ------
    ConfigurationError
        With every fault.
    """
    settings = load_settings(paths.config)
    faults = [fault for name, source in settings.sources.items() for fault in check_source(name, source)]
    faults += check_labels(settings.models)
    faults += check_features(settings)
    faults += check_tags(settings.tags, settings.models)
    faults += check_audiences(settings.audiences, settings.tags)
    if faults:
        line_of = line_finder(paths.config)
        raise ConfigurationError("\n".join(f"{paths.config}:{line_of(f.partition(':')[0])}: {f}" for f in faults))
    return settings


def check_features(settings: Settings) -> list[str]:
    """Return the faults of names of features: two that would share a column, and names that no model reads."""
    attributes, categories = settings.features.attributes, settings.features.categories
    columns = [attribute_column(name) for name in attributes]
    faults = [
        f"features.attributes: found {name!r} and another that both become {column}, expected names that differ in letters or digits"
        for name, column in zip(attributes, columns, strict=True)
        if columns.count(column) > 1
    ]
    matrix = user_features_table(attributes, has_events=settings.has_events).column_names
    known = [*attributes, *categories, *(name for name in matrix if name not in NOT_FEATURES)]
    for model, options in settings.models.items():
        more: tuple[str, ...] = ()
        if isinstance(options, SegmentModelSettings):
            place, names, more = "features", options.features or (), (INTEREST_PREFIX, CATEGORY_PREFIX)
        else:
            place, names = "leave_out", options.leave_out
        for name in names:
            if name not in known and not name.startswith(more):
                near = difflib.get_close_matches(name, known, n=3)
                faults.append(f"models.{model}.{place}: found {name!r}, expected a feature{did_you_mean(near)}")
    return faults
