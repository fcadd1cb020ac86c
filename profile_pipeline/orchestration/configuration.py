"""The configuration as a whole: what one section says of another, checked before anything is built.

Not here: the shape of each section (`settings`), or Dagster.
"""

import difflib

from profile_pipeline.applications.audiences import check_audiences
from profile_pipeline.errors import ConfigurationError, did_you_mean
from profile_pipeline.features.matrix import (
    CATEGORY_PREFIX,
    INTEREST_PREFIX,
    NOT_FEATURES,
    attribute_column,
    user_features_table,
)
from profile_pipeline.features.tables import BEHAVIOR, DEMAND
from profile_pipeline.models.labels import check_labels
from profile_pipeline.models.population import QUANTILE_TYPES
from profile_pipeline.paths import Paths
from profile_pipeline.profiles.conditions import parse_condition
from profile_pipeline.profiles.tables import USER_PROFILES
from profile_pipeline.profiles.tags import RULE_COLUMNS, check_tags, quantiles_needed
from profile_pipeline.raw.mapping import check_source
from profile_pipeline.settings import SegmentModelSettings, Settings
from profile_pipeline.settings_file import line_finder, load_settings
from profile_pipeline.warehouse.binding import binding_faults


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
    # Types are looked at once names are right.
    faults = faults or check_types(settings)
    if faults:
        line_of = line_finder(paths.config)
        raise ConfigurationError("\n".join(f"{paths.config}:{line_of(f.partition(':')[0])}: {f}" for f in faults))
    return settings


def check_types(settings: Settings) -> list[str]:
    """Return the faults of conditions that compare what can't be compared, or say neither true nor false."""
    rules = {
        f"tags.{name}.rules.{number}.when": (rule.when, parse_condition(rule.when, RULE_COLUMNS))
        for name, tag in settings.tags.items()
        for number, rule in enumerate(tag.rules)
    }
    quantiles = dict.fromkeys((f"quantile:{key}" for key in quantiles_needed(settings.tags)), "DOUBLE")
    known = binding_faults(
        {place: c.sql for place, (_, c) in rules.items()}, BEHAVIOR.types | USER_PROFILES.types | quantiles
    )
    numbers = {c.name for table in (BEHAVIOR, DEMAND) for c in table.columns if c.type.startswith(QUANTILE_TYPES)}
    faults = [f"{place}: found {rules[place][0]!r}: {why}" for place, why in known.items()]
    faults += [
        f"{place}: found {text!r}, expected the quantile of a number; {column} is none"
        for place, (text, condition) in rules.items()
        for column in (key.partition(":")[0] for key in condition.quantiles)
        if column not in numbers
    ]
    asked = {
        f"audiences.{name}.where": (audience.where, parse_condition(audience.where, settings.tags, has_quantiles=False))
        for name, audience in settings.audiences.items()
    }
    known = binding_faults({place: c.sql for place, (_, c) in asked.items()}, dict.fromkeys(settings.tags, "VARCHAR"))
    return faults + [
        f"{place}: found {asked[place][0]!r}: {why}; the values of tags are text" for place, why in known.items()
    ]


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
    columns = [name for name in matrix if name not in NOT_FEATURES]
    for model, options in settings.models.items():
        more: tuple[str, ...] = ()
        if isinstance(options, SegmentModelSettings):
            # A feature is read by its own name; of a category one value.
            more = (INTEREST_PREFIX, *(f"{CATEGORY_PREFIX}{name}=" for name in categories))
            place, names, known = "features", options.features or (), columns
        else:
            place, names, known = "leave_out", options.leave_out, [*attributes, *categories, *columns]
        for name in names:
            if name not in known and not name.startswith(more):
                near = difflib.get_close_matches(name, known, n=3)
                faults.append(f"models.{model}.{place}: found {name!r}, expected a feature{did_you_mean(near)}")
    return faults
