"""What the commands build: which days and weeks, in which order, and what a killed run has left.

Not here: a single run (`steps`), the command line itself, or what the jobs compute.
"""

import datetime as dt
from collections.abc import Sequence

from profile_pipeline.orchestration.building.cleaning import DAY_CONSUMERS, FEATURE_CONSUMERS, REBUILT, STALE_CONSUMER
from profile_pipeline.orchestration.building.days import (
    STALE_TAG,
    WEEK_DAYS,
    checked_range,
    last_day_of,
    stretches,
)
from profile_pipeline.orchestration.jobs import DAILY
from profile_pipeline.orchestration.keeping.behind import (
    are_deliveries_older,
    days_of_older_profiles,
    has_new_versions,
    is_outscored,
)
from profile_pipeline.orchestration.keeping.built_with import (
    days_of_other_tags,
    has_other_features,
    other_deliveries,
)
from profile_pipeline.orchestration.steps import FEATURE_STAGES, Steps
from profile_pipeline.profiles.tags import quantiles_needed
from profile_pipeline.warehouse.duckdb import Warehouse


class Runner(Steps):
    """Builds what a command asks for."""

    def profile_days(self) -> list[dt.date]:
        """The newest day, and the week ends before it that the weeks trained by a backfill serve."""
        ends = [day for day in self.days[:-1] if day.isoweekday() == WEEK_DAYS]
        return (
            sorted({*ends[-(self.settings.training.backfill_weeks - 1) :], self.days[-1]})
            if self.settings.training.backfill_weeks > 1
            else [self.days[-1]]
        )

    def build_all(self, *, every_day: bool = False) -> None:
        """Everything that waits; what is there already is left alone.

        Parameters
        ----------
        every_day
            Build the snapshots of all days that wait, not only of those that are kept: the range of the run reaches back to them.
        """
        whole, rest, stale = self.waiting()
        restate_from = self.days[max(0, len(self.days) - 1 - self.settings.restate_days)]
        is_built = self.has("features.user_features", [self.days[-1]])
        is_outdated = any(day >= restate_from for day in stale)
        if whole or rest or is_outdated or not is_built or self._is_unfinished():
            first = min([*whole, restate_from]) if every_day else restate_from
            self.build_features(first, self.days[-1])
        gone_weeks, gone_days = self._gone()
        weeks = [
            week
            for week in self.weeks[-self.settings.training.backfill_weeks :]
            if not self.has("evaluation.report", [week]) or week in gone_weeks
        ]
        weeks = [week for week in weeks if self.has("features.user_features", [last_day_of(week)])]
        if weeks:
            self.train(weeks)
        unjudged = self._unjudged_weeks()
        if unjudged:
            self.judge(unjudged)
        known = [day for day in self.profile_days() if self.has("features.user_features", [day])]
        days = [
            day
            for day in known
            if not self.has("applications.insights", [day]) or day in gone_days or is_outscored(self.instance, day)
        ]
        restated = self._days_of_older_profiles()
        if restated or weeks or self._are_deliveries_older():
            days = sorted({*days, *(day for day in known if day == self.days[-1])})
        self.follow_profiles([day for day in restated if day not in days])
        self.build_profiles(days)
        self._follow_metrics()
        self.publish()

    def _follow_metrics(self) -> None:
        """Build the daily metrics of days that what was judged or cut anew has outdated."""
        with self.look() as warehouse:
            behind = self._behind(warehouse, DAY_CONSUMERS)
        for first, last in stretches(behind):
            self.build_metrics(first, last)

    def _gone(self) -> tuple[set[dt.date], set[dt.date]]:
        """Weeks without a judgement, and days with features and without profiles: of those that Dagster's log holds for built,
        such as were lost with the database or a write-ahead log.
        """
        with self.look() as warehouse:
            traces = "select week from evaluation.gates union select week from evaluation.metrics union select week from models.population"
            trained = warehouse.days(f"select distinct week from ({traces})")
            gone = warehouse.days(
                "select as_of_date from features.user_features except select as_of_date from profiles.user_profiles"
            )
        leaves_traces = self.settings.models or quantiles_needed(self.settings.tags)
        return (set(self.weeks) - set(trained) if leaves_traces else set()), set(gone)

    def _days_of_older_profiles(self) -> list[dt.date]:
        """Days of the calendar whose profiles have not followed their features, also those of a run that was killed."""
        with self.look() as warehouse:
            return [day for day in days_of_older_profiles(warehouse) if self.days[0] <= day <= self.days[-1]]

    def _are_deliveries_older(self) -> bool:
        """Say whether what is made of the newest day's profiles has not followed: a run was killed between them, or they, or its
        tags, are of other settings.
        """
        with self.look() as warehouse:
            newest = self.days[-1]
            return (
                are_deliveries_older(warehouse, newest)
                or newest in days_of_other_tags(warehouse.rows, self.settings)
                or bool(other_deliveries(warehouse.rows, self.settings))
            )

    def _unjudged_weeks(self) -> list[dt.date]:
        """Weeks whose chosen model is not the one that its gate judged: a run that was killed in between leaves them."""
        queries = [
            f"select m.week from models.{name} as m left join evaluation.gates as g on g.model = m.model and g.week = m.week"
            " where m.is_chosen and g.version is distinct from m.version"
            for name in self.settings.models
        ]
        if not queries:
            return []
        with self.look() as warehouse:
            return warehouse.days(f"select distinct week from ({' union all '.join(queries)})")

    def _behind(self, warehouse: Warehouse, consumers: Sequence[str]) -> list[dt.date]:
        """Days whole of which some of these tables have not followed yet: a killed run, or a late event, leaves them."""
        noted = warehouse.days(
            "select distinct event_date from cleaned.touched where list_contains($consumers, consumer)"
            " and stream_id is null and alias_id is null",
            {"consumers": list(consumers)},
        )
        return [day for day in noted if self.days[0] <= day <= self.days[-1]]

    def _is_unfinished(self) -> bool:
        """Say whether there is something to follow: days or versions that a killed run has left, or snapshots that have not been marked
        as stale for what changed (settings too), or was built.
        """
        with self.look() as warehouse:
            n_unmarked: int = warehouse.scalar(
                "select count(*) from cleaned.touched where consumer = $stale or starts_with(consumer, $rebuilt)",
                {"stale": STALE_CONSUMER, "rebuilt": REBUILT},
            )
            return bool(
                n_unmarked
                or has_other_features(warehouse.rows, self.settings)
                or self._behind(warehouse, FEATURE_CONSUMERS)
                or has_new_versions(warehouse, self.instance, self.settings)
            )

    def build_range(self, first: dt.date, last: dt.date) -> None:
        """A range by hand: its days, the weeks that end in it, the profiles of its days."""
        checked_range(first, last, self.days)
        self.build_features(first, last)
        weeks = [week for week in self.weeks if first <= last_day_of(week) <= last]
        if weeks:
            self.train(weeks)
        days = [day for day in self.days if first <= day <= last]
        self.build_profiles(days)
        self.follow_profiles(self._days_of_older_profiles())
        self._follow_metrics()

    def rebuild_stale(self) -> int:
        """Rebuild the snapshots that are marked as stale; return how many."""
        _, _, stale = self.waiting()
        for first, last in stretches(stale):
            self.execute(DAILY, first=first, last=last, groups=FEATURE_STAGES, tags={STALE_TAG: "true"})
        self.follow_profiles(self._days_of_older_profiles())
        self._follow_metrics()
        return len(stale)
