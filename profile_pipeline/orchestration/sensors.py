"""What starts because something arrived: ingest for files, a refresh for what was ingested.

Sensors never open the warehouse: they look at folders and at Dagster's own log. Not here: the clock (`schedules`).
"""

import time

import dagster as dg

from profile_pipeline.orchestration.building.days import (
    FILES_TAG,
    RANGE_END_TAG,
    RANGE_START_TAG,
    REFRESH_TAG,
    STALE_TAG,
    daily_partitions,
    day_keys,
)
from profile_pipeline.orchestration.jobs import DAILY, DAILY_REFRESH, INGEST
from profile_pipeline.orchestration.schedules import N_TRIES, UNFINISHED
from profile_pipeline.paths import Paths
from profile_pipeline.raw.landing import complete_files, digest_of
from profile_pipeline.settings import Settings
from profile_pipeline.wording import counted

INTERVAL_SECONDS = 5


class RefreshFailedError(Exception):
    """A refresh failed too often to be tried again without a look."""


def build_sensors(settings: Settings, paths: Paths) -> list[dg.SensorDefinition]:
    """Return the sensors."""
    daily = daily_partitions(settings.calendar)

    @dg.sensor(
        job_name=INGEST,
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Sees complete new files and starts their ingest.",
    )
    def landing_sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason | dg.RunRequest:
        files = complete_files(
            paths.landing, settings.sources, now_seconds=time.time(), stable_seconds=settings.stable_seconds
        )
        if not files:
            return dg.SkipReason(f"no complete new file in {paths.landing}")
        if context.instance.get_runs(dg.RunsFilter(job_name=INGEST, statuses=UNFINISHED), limit=1):
            return dg.SkipReason(
                f"an ingest is under way; {counted(len(files), 'file waits', 'files wait')} for the next"
            )
        # A run_key is spent even if its run failed: with the newest run's id in it, files that failed are tried again.
        newest = context.instance.get_runs(dg.RunsFilter(job_name=INGEST), limit=N_TRIES)
        digest = digest_of(files, settings.fingerprint("sources", "calendar"))
        is_same = bool(newest) and newest[0].tags.get(FILES_TAG) == digest
        if is_same and newest[0].status == dg.DagsterRunStatus.SUCCESS:
            # Files outside of the landing folder stay where they are; without this they would be ingested at every tick.
            return dg.SkipReason(
                f"{counted(len(files), 'file lies there and was', 'files lie there and were')} seen by the last ingest"
            )
        if is_same and len(newest) == N_TRIES and all(r.status == dg.DagsterRunStatus.FAILURE for r in newest):
            return dg.SkipReason(
                f"these files failed {N_TRIES} times, last as run {newest[0].run_id[:8]}: look there, then start ingest by hand"
            )
        return dg.RunRequest(
            run_key=f"{digest}|{newest[0].run_id if newest else ''}",
            tags={FILES_TAG: digest},
        )

    @dg.sensor(
        job_name=DAILY,
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Folds everything that waits into one refresh.",
    )
    def refresh_sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason | dg.RunRequest:
        instance = context.instance
        days = day_keys(daily)
        if not days:
            return dg.SkipReason("the calendar has no day yet")
        refreshes = instance.get_run_records(dg.RunsFilter(job_name=DAILY, tags={REFRESH_TAG: "true"}), limit=50)
        if any(r.dagster_run.status in UNFINISHED for r in refreshes):
            return dg.SkipReason("a refresh is under way")
        succeeded = next((r for r in refreshes if r.dagster_run.status == dg.DagsterRunStatus.SUCCESS), None)
        since = succeeded.start_time or 0.0 if succeeded else 0.0
        arrived = [
            r
            for job in (INGEST, DAILY_REFRESH)
            for r in instance.get_run_records(
                dg.RunsFilter(job_name=job, statuses=[dg.DagsterRunStatus.SUCCESS]), limit=1
            )
            if (r.end_time or 0.0) > since
        ]
        if not arrived:
            return dg.SkipReason("nothing was ingested and no day was opened since the last refresh began")
        cause = max(arrived, key=lambda r: r.end_time or 0.0).dagster_run.run_id
        failed = [
            r.dagster_run
            for r in refreshes
            if r.dagster_run.tags.get("profile_pipeline/cause") == cause
            and r.dagster_run.status == dg.DagsterRunStatus.FAILURE
        ]
        if len(failed) >= N_TRIES:
            raise RefreshFailedError(
                f"the refresh after run {cause[:8]} failed {N_TRIES} times, last as run {failed[0].run_id[:8]}: look there, then start `daily` by hand"
            )
        newest = days[-1]
        first = max(days[0], days[max(0, len(days) - 1 - settings.restate_days)])
        week = newest.isocalendar()[:2]
        is_first_of_week = not any(
            r.dagster_run.status == dg.DagsterRunStatus.SUCCESS
            and r.dagster_run.tags.get("profile_pipeline/week") == f"{week[0]}-{week[1]}"
            for r in refreshes
        )
        tags = {
            RANGE_START_TAG: str(first), RANGE_END_TAG: str(newest), REFRESH_TAG: "true", "profile_pipeline/cause": cause,
            "profile_pipeline/week": f"{week[0]}-{week[1]}",
        }  # fmt: skip
        if is_first_of_week:
            tags[STALE_TAG] = "true"
        return dg.RunRequest(run_key=f"{cause}-{len(failed)}", tags=tags)

    return [landing_sensor, refresh_sensor]
