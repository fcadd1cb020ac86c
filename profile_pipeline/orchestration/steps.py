"""Single runs of the jobs from the command line, in one process, recorded in the instance that the UI shows.

Not here: in which order a command takes them (`running`), or what the jobs compute.
"""

import datetime as dt
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, BinaryIO

import dagster as dg

from profile_pipeline.errors import ExpectedError
from profile_pipeline.orchestration.build import build_defs
from profile_pipeline.orchestration.building.cleaning import waiting_days
from profile_pipeline.orchestration.building.days import (
    FILES_TAG,
    RANGE_END_TAG,
    RANGE_START_TAG,
    RECOVER_TAG,
    REFRESH_TAG,
    RELOAD_TAG,
    WEEK_DAYS,
    DaysError,
    RunDays,
    checked_range,
    daily_partitions,
    day_keys,
    stretches,
    weekly_partitions,
)
from profile_pipeline.orchestration.building.load_report import exclusion_report, left_report, load_report, not_counted
from profile_pipeline.orchestration.failures import reason_of, was_interrupted
from profile_pipeline.orchestration.instance import join_commands, open_instance
from profile_pipeline.orchestration.jobs import DAILY, INGEST, WEEKLY
from profile_pipeline.orchestration.keeping.built_with import require_same
from profile_pipeline.orchestration.keeping.recovering import Selection, by_file_ids
from profile_pipeline.orchestration.keeping.reloading import lost_ids, unknown_deliveries
from profile_pipeline.orchestration.measured import Measured
from profile_pipeline.orchestration.resources import open_warehouse, publish_if_behind, warehouse_resource
from profile_pipeline.orchestration.table_assets import key_of
from profile_pipeline.paths import Paths
from profile_pipeline.raw.landing import LandingFile, complete_files, digest_of
from profile_pipeline.settings import Settings
from profile_pipeline.warehouse.duckdb import Warehouse
from profile_pipeline.wording import counted

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
INGEST_TOLD = (
    "files_loaded", "files_duplicate", "files_refused", "files_of_no_source", "files_left_alone", "files_changed", "records_loaded", "records_rejected",
)  # fmt: skip
FEATURE_STAGES = ("cleaned", "features")
PROFILE_STAGES = ("profiles", "applications")


def _worded(name: str, n: int) -> str:
    """A count as a person says it: of `files_loaded` 1 file loaded."""
    things, _, what = name.replace("_", " ").partition(" ")
    return counted(n, f"{things[:-1]} {what}", f"{things} {what}")


class RunFailedError(ExpectedError):
    """A run failed; the text is what its failed step said."""


@dataclass
class Steps:
    """Runs single jobs of one configuration, stage by stage."""

    settings: Settings
    paths: Paths
    say: Callable[[str], None]
    measured: Measured = field(default_factory=Measured)
    n_refused: int = 0
    _is_within_command: bool = False
    _joined: BinaryIO | None = None
    _looked_at: Warehouse | None = None

    @cached_property
    def defs(self) -> dg.Definitions:
        resource = warehouse_resource(self.settings, self.paths, at_the_end=self._publish, say=self.say)
        return build_defs(settings=self.settings, paths=self.paths, resources={"warehouse": resource})

    @cached_property
    def instance(self) -> dg.DagsterInstance:
        instance = open_instance(self.paths)
        self._joined = join_commands(instance, self.paths)
        return instance

    @cached_property
    def days(self) -> list[dt.date]:
        """All days of the calendar.

        Raises
        ------
        DaysError
            If it has none yet.
        """
        days = day_keys(daily_partitions(self.settings.calendar))
        if not days:
            raise DaysError(
                f"{self.paths.config}: calendar.start: found {self.settings.calendar.start}, expected a day that has come: the calendar has no day yet"
            )
        return days

    @cached_property
    def weeks(self) -> list[dt.date]:
        return day_keys(weekly_partitions(self.settings.calendar))

    def execute(
        self,
        job: str,
        *,
        first: dt.date | None = None,
        last: dt.date | None = None,
        groups: Sequence[str] = (),
        assets: Sequence[str] = (),
        tags: Mapping[str, str] | None = None,
    ) -> dg.ExecuteInProcessResult:
        """Run a job, or some groups or assets of it, for a range of partitions.

        Raises
        ------
        RunFailedError
            With what the failed step said.
        KeyboardInterrupt
            If somebody interrupted it.
        """
        self._end_look()
        told = dict(tags or {})
        if first is not None and last is not None:
            told |= {RANGE_START_TAG: str(first), RANGE_END_TAG: str(last)}
        keys = [key_of(name) for name in assets] or [
            key for key, spec in self._specs.items() if spec.group_name in groups
        ]
        result = self.defs.resolve_job_def(job).execute_in_process(
            instance=self.instance, tags=told, run_config=QUIET, raise_on_error=False, asset_selection=keys or None
        )
        if not result.success:
            if was_interrupted(result):
                raise KeyboardInterrupt
            raise RunFailedError(reason_of(result, self.paths))
        return result

    @cached_property
    def _specs(self) -> dict[dg.AssetKey, Any]:
        return {spec.key: spec for spec in self.defs.resolve_all_asset_specs()}

    def has(self, table: str, partitions: Sequence[dt.date]) -> bool:
        """Say whether all partitions of a table are materialized in the instance."""
        return {str(p) for p in partitions} <= set(self.instance.get_materialized_partitions(key_of(table)))

    def warehouse(self) -> Warehouse:
        """Return the warehouse for work between runs: close it, or no run gets its lease."""
        self._end_look()
        return open_warehouse(self.settings, self.paths, owner="profile-pipeline", say=self.say)

    @contextmanager
    def look(self) -> Iterator[Warehouse]:
        """The warehouse for a look between runs; within a command it stays open for the next look, until a run begins."""
        if self._looked_at is None:
            self._looked_at = self.warehouse()
        try:
            yield self._looked_at
        finally:
            if not self._is_within_command:
                self._end_look()

    def _end_look(self) -> None:
        looked_at, self._looked_at = self._looked_at, None
        if looked_at is not None:
            looked_at.close()

    # ---- the stages

    def ingest(self) -> int:
        """Load what has landed; return how many files there were.

        Raises
        ------
        ConfigurationError
            If the tables that are there were built with something else than the configuration says.
        """
        if self.paths.warehouse.exists():
            with self.look() as warehouse:
                require_same(warehouse, self.settings, self.paths)
        if len(self._landed(stable_seconds=0)) > len(self._landed(stable_seconds=self.settings.stable_seconds)):
            self._end_look()
            self.say(f"waiting {self.settings.stable_seconds:g} s for files that may still be being written")
            time.sleep(self.settings.stable_seconds)
        files = self._landed(stable_seconds=self.settings.stable_seconds)
        digest = digest_of(files, self.settings.fingerprint("sources", "calendar"))
        is_new = bool(files) and not self._were_seen(files, digest)
        # An ingest loads them too; what a killed one has archived and not loaded has still landed.
        lost = self._lost()
        n_lost = 0 if is_new else len(lost)
        if n_lost:
            self.say(f"{counted(n_lost, 'file')} of {self.paths.archive} not in the warehouse, to be loaded again")
        if is_new or n_lost:
            self.say(f"ingest: {counted(len(files) + n_lost, 'file')}")
            with self.measured.stage("ingest"):
                result = self.execute(INGEST, tags={FILES_TAG: digest})
            told = next(iter(result.asset_materializations_for_node("landed_files"))).metadata
            counts = self._tell_counts(told)
            self._tell_of_load(lost)
            self.n_refused = counts["files_refused"]
        self._tell(left_report(self.paths.landing, self._landed(stable_seconds=0)))
        return len(files) + n_lost

    def _lost(self) -> list[str]:
        """Return the ids of files of which only the archive knows."""
        if not self.paths.archive.exists():
            return []
        with self.look() as warehouse:
            return lost_ids(warehouse, self.paths)

    def recover(self, selection: Selection) -> tuple[int, int]:
        """Read rejected records again, as a run of ingest; return how many are loaded now and how many stay rejected."""
        with closing(self.warehouse()) as warehouse:
            selections = by_file_ids(warehouse, selection)
        n_recovered, n_still = 0, 0
        for one in selections:
            with self.measured.stage("ingest"):
                result = self.execute(INGEST, tags={RECOVER_TAG: one.written()})
            told = next(iter(result.asset_materializations_for_node("landed_files"))).metadata
            n_recovered += int(str(told["records_recovered"].value))
            n_still += int(str(told["records_still_rejected"].value))
        return n_recovered, n_still

    def reload(self) -> None:
        """Load from the archive what the warehouse does not know, as a run of ingest."""
        self.say("reading the archive")
        with self.measured.stage("ingest"):
            result = self.execute(INGEST, tags={RELOAD_TAG: "true"})
        told = next(iter(result.asset_materializations_for_node("landed_files"))).metadata
        self._tell_counts(told)

    def catch_up(self) -> None:
        """Load what the archive holds and a warehouse that was restored does not know."""
        with self.look() as warehouse:
            unknown, damaged = unknown_deliveries(warehouse, self.paths)
        if unknown or damaged:
            self.say(f"{counted(len(unknown) + len(damaged), 'file has', 'files have')} arrived since")
            self.reload()

    def _tell_counts(self, told: Mapping[str, Any]) -> dict[str, int]:
        counts: dict[str, int] = {name: int(str(told[name].value)) for name in INGEST_TOLD}
        self.say("ingest: " + ", ".join(_worded(name, n) for name, n in counts.items() if n))
        return counts

    def _were_seen(self, files: Sequence[LandingFile], digest: str) -> bool:
        """Say whether the last ingest saw these very files: those of folders of others stay where they are."""
        if any(file.path.is_relative_to(self.paths.landing) for file in files):
            return False
        newest = self.instance.get_runs(dg.RunsFilter(job_name=INGEST), limit=1)
        return bool(newest) and newest[0].is_success and newest[0].tags.get(FILES_TAG) == digest

    def _landed(self, *, stable_seconds: float) -> list[LandingFile]:
        return complete_files(
            self.paths.landing, self.settings.sources, now_seconds=time.time(), stable_seconds=stable_seconds
        )

    def _tell_of_load(self, reloaded: Sequence[str]) -> None:
        with self.look() as warehouse:
            self._tell(load_report(warehouse, self.settings, newest_day=self.days[-1], reloaded=reloaded))

    def _tell(self, lines: Sequence[str]) -> None:
        for line in lines:
            self.say(line)

    def complain(self) -> None:
        """Say that the last ingest refused files; called at the end of a run, so that it does not end as a good one.

        Raises
        ------
        RunFailedError
            If there were any; which and why has been told when they were.
        """
        if self.n_refused:
            raise RunFailedError(
                f"{counted(self.n_refused, 'file was', 'files were')} refused as a whole, why stands above and in raw.files; the bytes are kept in {self.paths.archive}. "
                f"Mend the file, or its source in {self.paths.config}, and put the file into {self.paths.landing} again."
            )

    def waiting(self) -> tuple[list[dt.date], list[dt.date], list[dt.date]]:
        """Return the days that wait to be judged whole, those that wait by rows or outside of the calendar, and stale snapshots."""
        with self.look() as warehouse:
            nothing = RunDays(
                first=self.days[-1] + dt.timedelta(days=9999),
                last=self.days[-1] + dt.timedelta(days=9999),
                is_refresh=True,
                includes_stale=False,
            )
            found = waiting_days(warehouse, nothing, calendar=self.settings.calendar, newest=self.days[-1])
            return (
                found.whole,
                [*found.rows, *found.outside],
                warehouse.days("select as_of_date from features.stale_days"),
            )

    def build_features(self, first: dt.date, last: dt.date) -> None:
        """From cleaned to features, for a range in one run, folding in what waits elsewhere."""
        checked_range(first, last, self.days)
        self.say(f"cleaned to features: {first} to {last}")
        with self.look() as warehouse:
            before = not_counted(warehouse)
        with self.measured.stage("cleaned to features"):
            self.execute(DAILY, first=first, last=last, groups=FEATURE_STAGES, tags={REFRESH_TAG: "true"})
        with self.look() as warehouse:
            # What a killed run has judged and not told is not told again: it stays in the table.
            self._tell(exclusion_report(not_counted(warehouse) - before))

    def train(self, weeks: Sequence[dt.date], *, tags: Mapping[str, str] | None = None) -> None:
        """Train, evaluate and report weeks, oldest first."""
        for first, last in _week_stretches(weeks):
            self.say(f"training: weeks {first} to {last}")
            with self.measured.stage("training"):
                self.execute(WEEKLY, first=first, last=last, groups=("models",), tags=tags)
            self.judge([week for week in weeks if first <= week <= last])

    def judge(self, weeks: Sequence[dt.date]) -> None:
        """Evaluate and report the models of weeks as they are."""
        for first, last in _week_stretches(weeks):
            with self.measured.stage("training"):
                self.execute(
                    WEEKLY,
                    first=first,
                    last=last,
                    assets=[
                        f"evaluation.{n}"
                        for n in ("metrics", "calibration", "importance", "gates", "curves", "confusion")
                    ],
                )
            with self.measured.stage("report"):
                self.execute(WEEKLY, first=first, last=last, assets=["evaluation.report"])

    def build_profiles(self, days: Sequence[dt.date]) -> None:
        """Profiles and applications of days."""
        for first, last in stretches(days):
            self.say(f"profiles and applications: {first}" + (f" to {last}" if last != first else ""))
            with self.measured.stage("profiles and applications"):
                self.execute(DAILY, first=first, last=last, groups=PROFILE_STAGES)

    def follow_profiles(self, days: Sequence[dt.date]) -> None:
        """Build the profiles of days anew that have some: their features were restated. What was delivered then stays."""
        # By the table: Dagster's log may be lost.
        with self.look() as warehouse:
            built = set(warehouse.days("select distinct as_of_date from profiles.user_profiles"))
        for first, last in stretches([day for day in days if day in built]):
            with self.measured.stage("profiles and applications"):
                self.execute(DAILY, first=first, last=last, groups=("profiles",))

    def build_metrics(self, first: dt.date, last: dt.date) -> None:
        """Daily metrics of a range."""
        with self.measured.stage("profiles and applications"):
            self.execute(DAILY, first=first, last=last, assets=["applications.daily_metrics"])

    # ---- publishing

    def publish(self) -> None:
        """Publish what a killed run has left unpublished, or what somebody has removed."""
        if not self.paths.serving.exists() and self.paths.warehouse.exists():
            self.paths.serving_is_behind.touch()
        if self.paths.serving_is_behind.exists():
            with self.look() as warehouse:
                self._publish(warehouse, self.paths, self.instance)

    def _publish(self, warehouse: Warehouse, paths: Paths, instance: dg.DagsterInstance) -> None:
        if not self._is_within_command:
            with self.measured.stage("publish"):
                publish_if_behind(warehouse, paths, instance)

    @contextmanager
    def publishing_once(self) -> Iterator[None]:
        """Publish once, after the last run: each would do so, and readers would see features without their profiles.

        After a failure readers keep what they have; a mark on disk makes the next command publish.
        """
        self._is_within_command = True
        try:
            yield
        finally:
            self._is_within_command = False
            self._end_look()
        self.publish()


def _week_stretches(weeks: Sequence[dt.date]) -> list[tuple[dt.date, dt.date]]:
    found: list[tuple[dt.date, dt.date]] = []
    for week in sorted(weeks):
        if found and (week - found[-1][1]).days == WEEK_DAYS:
            found[-1] = (found[-1][0], week)
        else:
            found.append((week, week))
    return found
