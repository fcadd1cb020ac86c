"""When something starts by the clock: the day's turn, the week's training, and the night's verification.

Not here: what starts because something arrived (`sensors`).
"""

import dagster as dg

from profile_pipeline.orchestration.building.days import (
    RANGE_END_TAG,
    RANGE_START_TAG,
    SEED_TAG,
    daily_partitions,
    day_keys,
    last_day_of,
    weekly_partitions,
)
from profile_pipeline.orchestration.jobs import DAILY_REFRESH, VERIFY, WEEKLY
from profile_pipeline.orchestration.table_assets import key_of
from profile_pipeline.settings import Settings

UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
N_TRIES = 3


def build_schedules(settings: Settings) -> list[dg.ScheduleDefinition]:
    """Return the schedules."""
    daily, weekly = daily_partitions(settings.calendar), weekly_partitions(settings.calendar)
    calendar = settings.calendar

    @dg.schedule(
        name=DAILY_REFRESH, job_name=DAILY_REFRESH, cron_schedule="5 0 * * *", execution_timezone=calendar.timezone, default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Closes yesterday and opens the next day.",
    )  # fmt: skip
    def daily_refresh(context: dg.ScheduleEvaluationContext) -> dg.SkipReason | dg.RunRequest:
        del context
        if calendar.end is not None:
            return dg.SkipReason(f"the calendar is closed: it ends on {calendar.end}")
        return dg.RunRequest()

    @dg.schedule(
        name="weekly_training", job_name=WEEKLY, cron_schedule="20 * * * *", execution_timezone=calendar.timezone, default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Trains the newest ended week as soon as it is refreshed.",
    )  # fmt: skip
    def weekly_training(context: dg.ScheduleEvaluationContext) -> dg.SkipReason | dg.RunRequest:
        weeks = day_keys(weekly)
        if not weeks:
            return dg.SkipReason("no week of the calendar has ended yet")
        week = weeks[-1]
        trained = context.instance.get_materialized_partitions(key_of("evaluation.gates"))
        if str(week) in trained:
            return dg.SkipReason(f"the week {week} is trained")
        end = last_day_of(week)
        if end in day_keys(daily) and str(end) not in context.instance.get_materialized_partitions(
            key_of("features.user_features")
        ):
            return dg.SkipReason(f"the week {week} is not refreshed yet: features.user_features lacks {end}")
        if context.instance.get_runs(dg.RunsFilter(job_name=WEEKLY, statuses=UNFINISHED), limit=1):
            return dg.SkipReason(f"the week {week} is being trained")
        tags = {RANGE_START_TAG: str(week), RANGE_END_TAG: str(week)}
        failed = context.instance.get_runs(
            dg.RunsFilter(job_name=WEEKLY, statuses=[dg.DagsterRunStatus.FAILURE], tags=tags), limit=N_TRIES
        )
        if len(failed) >= N_TRIES:
            return dg.SkipReason(
                f"the week {week} failed {N_TRIES} times, last as run {failed[0].run_id[:8]}: look there, then start it by hand"
            )
        return dg.RunRequest(tags=tags)

    @dg.schedule(
        name="daily_verification", job_name=VERIFY, cron_schedule="40 4 * * *", execution_timezone=calendar.timezone, default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Compares the tables of some people and days, others each night, with what their records in raw say.",
    )  # fmt: skip
    def daily_verification(context: dg.ScheduleEvaluationContext) -> dg.SkipReason | dg.RunRequest:
        if not context.instance.get_materialized_partitions(key_of("features.user_features")):
            return dg.SkipReason("nothing is built yet that could be verified")
        return dg.RunRequest(tags={SEED_TAG: str(context.scheduled_execution_time.date())})

    return [daily_refresh, weekly_training, daily_verification]
