"""The project put together: assets, jobs, schedules, sensors, checks and resources, from one configuration.

Not here: any of them. Nothing is computed at import; `definitions.py` calls `build_defs` once.
"""

import warnings
from collections.abc import Mapping
from typing import Any

import dagster as dg

from profile_pipeline.cleaned.tables import TABLES as CLEANED
from profile_pipeline.features.tables import TABLES as FEATURES
from profile_pipeline.features.windows import INTEREST_DAYS, VISIBLE
from profile_pipeline.orchestration.assets.applications import build_applications
from profile_pipeline.orchestration.assets.cleaned import build_cleaned
from profile_pipeline.orchestration.assets.dictionary import build_dictionary
from profile_pipeline.orchestration.assets.evaluation import build_evaluation
from profile_pipeline.orchestration.assets.features import build_features
from profile_pipeline.orchestration.assets.models import build_models
from profile_pipeline.orchestration.assets.profiles import build_profiles
from profile_pipeline.orchestration.assets.raw import build_raw
from profile_pipeline.orchestration.checks import build_checks
from profile_pipeline.orchestration.configuration import load_checked
from profile_pipeline.orchestration.declared_lineage import declared_lineages
from profile_pipeline.orchestration.freshness import with_freshness
from profile_pipeline.orchestration.jobs import build_jobs
from profile_pipeline.orchestration.lineage import LineageCache
from profile_pipeline.orchestration.resources import warehouse_resource
from profile_pipeline.orchestration.schedules import build_schedules
from profile_pipeline.orchestration.sensors import build_sensors
from profile_pipeline.paths import Paths
from profile_pipeline.profiles.tables import TABLES as PROFILES
from profile_pipeline.raw.tables import TABLES as RAW
from profile_pipeline.settings import Settings
from profile_pipeline.warehouse.sql import sql_file

# Temporary relations that queries read beside tables: what they hold of tables, and what they bring themselves.
MADE_BY_FILES = {
    INTEREST_DAYS: f"features.{INTEREST_DAYS}",
    "scoped_events": "cleaned.identified_events",
    "duplicate_records": "cleaned.duplicate_records",
    "bot_days": "cleaned.bot_days",
    "excluded_records": "cleaned.excluded_events",
    "session_chains": "cleaned.session_chains",
    "session_cuts": "cleaned.session_cuts",
    "session_events": "cleaned.session_events",
    "fresh_sessions": "cleaned.sessions",
}
MADE_ON_THE_WAY = {
    "shared_hashes": "select event_hash from raw.events",
    "session_input": "select stream_id, event_date, event_time, event_id, alias_id, page, role from cleaned.events",
    "full_record_sources": "select cast(null as varchar) as source",
    "snapshot_days": "select cast(null as date) as as_of_date",
    "ledger_days": "select cast(null as date) as event_date",
    "metric_days": "select cast(null as date) as event_date",
    "decay_weights": "select 0 as age_days, 1.0 as weight",
    "role_weights": "select '' as role, 1.0 as weight",
}

# `backfill_policy` and partition mappings carry Dagster's beta mark; what they do here is held by tests.
warnings.filterwarnings("ignore", category=dg.BetaWarning)


def build_assets(settings: Settings, paths: Paths, lineages: LineageCache) -> list[dg.AssetsDefinition]:
    """Return all assets, stage by stage."""
    declared = declared_lineages(settings)
    assets = [
        *build_raw(settings, paths, declared),
        *build_cleaned(settings, paths, lineages, declared),
        *build_features(settings, paths, lineages, declared),
        *build_models(settings, paths, lineages, declared),
        *build_evaluation(settings, paths, declared),
        *build_profiles(settings, paths, lineages, declared),
        *build_applications(settings, paths, lineages, declared),
    ]
    return with_freshness([*assets, build_dictionary(settings, paths, assets)], settings.calendar)


def lineage_cache() -> LineageCache:
    """Return the lineage of all SQL, from the package where it holds it; it does not depend on what a configuration names."""
    views = {**VISIBLE, **MADE_ON_THE_WAY, **{name: sql_file(file) for name, file in MADE_BY_FILES.items()}}
    return LineageCache({table.name: table.types for table in (*RAW, *CLEANED, *FEATURES, *PROFILES)}, views)


def build_defs(
    *, settings: Settings | None = None, paths: Paths | None = None, resources: Mapping[str, Any] | None = None
) -> dg.Definitions:
    """Assemble the project.

    Parameters
    ----------
    settings, paths
        Taken from the environment where they are not given.
    resources
        Override single resources, for tests.
    """
    paths = paths or Paths.from_environment()
    settings = settings or load_checked(paths)
    return dg.Definitions(
        assets=build_assets(settings, paths, lineage_cache()),
        resources={"warehouse": warehouse_resource(settings, paths), **(resources or {})},
        jobs=build_jobs(settings),
        schedules=build_schedules(settings),
        sensors=build_sensors(settings, paths),
        asset_checks=build_checks(settings, paths),
        executor=dg.in_process_executor,
    )
