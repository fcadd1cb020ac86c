"""The jobs: what is started together.

Not here: when (`schedules`, `sensors`), or what it computes. One job can't hold daily and weekly partitions.
"""

from typing import Any

import dagster as dg

from profile_pipeline.orchestration.building.days import daily_partitions, day_keys
from profile_pipeline.orchestration.table_assets import key_of
from profile_pipeline.settings import Settings
from profile_pipeline.warehouse.duckdb import Warehouse

INGEST, DAILY, WEEKLY, DAILY_REFRESH, VERIFY = "ingest", "daily", "weekly", "daily_refresh", "verify"
VERIFIED = dg.AssetCheckKey(key_of("features.user_features"), "verified")
DAILY_STAGES = ("cleaned", "features", "profiles", "applications")
WEEKLY_STAGES = ("models", "evaluation")


def build_jobs(settings: Settings) -> list[Any]:
    """Return the jobs."""
    daily = daily_partitions(settings.calendar)

    @dg.op(description="Make the newest day pending, so that the next refresh closes the day before it and opens it.")
    def open_newest_day(context: dg.OpExecutionContext, warehouse: dg.ResourceParam[Warehouse]) -> None:
        newest = day_keys(daily)[-1]
        warehouse.execute(
            "insert into raw.pending select null, $day, 0 where not exists (select 1 from raw.pending where file_id is null and event_date = $day)",
            {"day": newest},
        )
        context.log.info(f"{newest} is open")

    @dg.job(
        name=DAILY_REFRESH,
        description="Closes yesterday and opens the next day, by making it pending; the refresh follows.",
    )
    def daily_refresh() -> None:
        open_newest_day()

    return [
        dg.define_asset_job(INGEST, selection=dg.AssetSelection.groups("raw"), description="Load what has landed."),
        dg.define_asset_job(
            DAILY,
            # What verifies the tables is no step of building them: it has a job, and a time, of its own.
            selection=dg.AssetSelection.groups(*DAILY_STAGES) - dg.AssetSelection.checks(VERIFIED),
            description="From cleaned events to applications, for a day or a range of days in one run.",
        ),
        dg.define_asset_job(
            WEEKLY,
            selection=dg.AssetSelection.groups(*WEEKLY_STAGES),
            description="Train, evaluate and judge the models of a week.",
        ),
        dg.define_asset_job(
            VERIFY,
            selection=dg.AssetSelection.checks(VERIFIED),
            description="Compare the tables of some people and days with what their records in raw say.",
        ),
        daily_refresh,
    ]
