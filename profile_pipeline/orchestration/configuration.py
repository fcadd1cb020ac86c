"""The configuration as a whole: what one section says of another, checked before anything is built.

Not here: the shape of each section (`settings`), or Dagster.
"""

from profile_pipeline.applications.audiences import check_audiences
from profile_pipeline.models.labels import check_labels
from profile_pipeline.paths import Paths
from profile_pipeline.profiles.tags import check_tags
from profile_pipeline.raw.mapping import check_source
from profile_pipeline.settings import ConfigurationError, Settings
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
    faults += check_tags(settings.tags, settings.models)
    faults += check_audiences(settings.audiences, settings.tags)
    if faults:
        line_of = line_finder(paths.config)
        raise ConfigurationError("\n".join(f"{paths.config}:{line_of(f.partition(':')[0])}: {f}" for f in faults))
    return settings
