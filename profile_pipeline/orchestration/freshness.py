"""By when a table must have been built anew: on the assets that somebody waits for in the morning.

A late table is amber or red in the UI and can alert. Not here: what builds it (`schedules`, `sensors`); a closed calendar has no
morning, so nothing is late in it.
"""

import datetime as dt
from collections.abc import Iterable

import dagster as dg

from profile_pipeline.orchestration.table_assets import key_of
from profile_pipeline.settings import CalendarSettings

# Yesterday is closed at five past midnight: what is not there by six is late for those who start work.
DAILY_DEADLINE, DAILY_SINCE = "0 6 * * *", dt.timedelta(hours=6)
# A week is trained in the night after its Sunday; with its tries it may take until noon.
WEEKLY_DEADLINE, WEEKLY_SINCE = "0 12 * * 1", dt.timedelta(hours=12)
AWAITED_DAILY = (
    "features.user_features",
    "profiles.user_profiles",
    "profiles.tags",
    "applications.recommendations",
    "applications.audiences",
    "applications.daily_metrics",
)
AWAITED_WEEKLY = ("evaluation.gates",)


def with_freshness(assets: Iterable[dg.AssetsDefinition], calendar: CalendarSettings) -> list[dg.AssetsDefinition]:
    """Return the assets, those that are awaited with their deadline in the calendar's zone."""
    if calendar.end is not None:
        return list(assets)
    policies = {
        key_of(table): dg.FreshnessPolicy.cron(deadline, since, calendar.timezone)
        for tables, deadline, since in (
            (AWAITED_DAILY, DAILY_DEADLINE, DAILY_SINCE),
            (AWAITED_WEEKLY, WEEKLY_DEADLINE, WEEKLY_SINCE),
        )
        for table in tables
    }

    def awaited(spec: dg.AssetSpec) -> dg.AssetSpec:
        policy = policies.get(spec.key)
        return spec.replace_attributes(freshness_policy=policy) if policy else spec

    return [one.map_asset_specs(awaited) for one in assets]
