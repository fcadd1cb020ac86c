"""One stage of the pipeline on a data folder, in a process of its own: `python -m benchmarks.stages DATA N_DAYS STAGE [name=value …]`.

The real jobs, run as the command line runs them. Not here: which stages follow each other (`run`).
"""

import argparse
import datetime as dt
from collections.abc import Callable
from pathlib import Path

from benchmarks.measure import Measurement, size_of
from profile_pipeline.orchestration.building.days import REFRESH_TAG
from profile_pipeline.orchestration.jobs import DAILY
from profile_pipeline.orchestration.resources import open_warehouse
from profile_pipeline.orchestration.running import Runner
from profile_pipeline.paths import Paths
from profile_pipeline.raw.world.write import LAST_DAY, write_world
from profile_pipeline.settings import Settings
from profile_pipeline.settings_file import load_settings

SEED = 7
REFRESH = {REFRESH_TAG: "true"}
JUDGED = ("cleaned.events", "cleaned.excluded_events")
SESSIONS = ("cleaned.sessions", "cleaned.session_days")
VERSIONS = ("cleaned.identities", "cleaned.users", "cleaned.items", "cleaned.relations")
TILES = ("features.user_days", "features.user_item_days", "features.user_term_days")
SNAPSHOTS = ("features.behavior", "features.interests", "features.demand", "features.user_features")
ALL = (*JUDGED, *SESSIONS, *VERSIONS, *TILES)


def bench_settings(n_days: int, **more: object) -> Settings:
    """Return the shipped settings with a calendar of the last `n_days` of the world."""
    settings = load_settings(Path("profile.yaml"))
    calendar = settings.calendar.model_copy(update={"start": LAST_DAY - dt.timedelta(days=n_days - 1), "end": LAST_DAY})
    return settings.model_copy(update={"calendar": calendar, **more})


def runner_of(data: Path, settings: Settings) -> Runner:
    """Return a runner whose definitions are loaded and whose instance is open: neither is part of a stage."""
    runner = Runner(settings, Paths(config=Path("profile.yaml"), data=data.absolute()), lambda _: None)
    assert runner.defs and runner.instance
    return runner


def make_world(data: Path, n_days: int, *, n_users: int) -> Measurement:
    """Draw a world and write its files."""
    measured = Measurement()
    with measured.work():
        made = write_world(data, n_users=n_users, n_days=n_days, seed=SEED, say=lambda _: None)
    measured.more |= {"n_events": made.n_event_lines, "bytes": made.size_bytes}
    return measured


def stages_of(runner: Runner) -> dict[str, Callable[[], object]]:
    """Return what each stage does."""
    first, newest = runner.days[0], runner.days[-1]

    def build(*assets: str) -> None:
        runner.execute(DAILY, first=first, last=newest, assets=assets, tags=REFRESH)

    def snapshots(*days: dt.date) -> None:
        runner.execute(DAILY, first=min(days), last=max(days), assets=SNAPSHOTS)

    def one_by_one() -> None:
        for day in runner.days:
            runner.execute(DAILY, first=day, last=day, assets=ALL)
            snapshots(day)

    def as_one() -> None:
        runner.execute(DAILY, first=first, last=newest, assets=ALL)
        snapshots(first, newest)

    def one_more_day() -> None:
        runner.execute(DAILY, first=newest, last=newest, assets=ALL, tags=REFRESH)
        snapshots(newest)

    return {
        "ingest": runner.ingest,
        "judge": lambda: build(*JUDGED),
        "sessions": lambda: build(*SESSIONS),
        "identities and versions": lambda: build(*VERSIONS),
        "tiles": lambda: build(*TILES),
        "newest snapshots": lambda: snapshots(newest),
        "cleaned to newest features": lambda: (build(*ALL), snapshots(newest)),
        "all but the newest day": lambda: runner.execute(
            DAILY, first=first, last=newest - dt.timedelta(days=1), assets=ALL
        ),
        "one more day": one_more_day,
        "one by one": one_by_one,
        "as one": as_one,
    }


def counts(runner: Runner) -> dict[str, int]:
    """Return rows of the tables that tell how much there was to do, and the bytes of the warehouse."""
    warehouse = open_warehouse(runner.settings, runner.paths, owner="benchmark", say=lambda _: None)
    try:
        tables = ("raw.events", "cleaned.events", "cleaned.sessions", "features.user_days", "features.behavior")
        found = {name: warehouse.scalar(f"select count(*) from {name}") for name in tables}
        warehouse.execute("checkpoint")
    finally:
        warehouse.close()
    return found | {"bytes": size_of(runner.paths.warehouse)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("n_days", type=int)
    parser.add_argument("stage")
    parser.add_argument("--users", type=int, default=0)
    parser.add_argument("--memory-limit")
    given = parser.parse_args()
    if given.stage == "world":
        make_world(given.data, given.n_days, n_users=given.users).tell()
        return
    runner = runner_of(given.data, bench_settings(given.n_days, memory_limit=given.memory_limit))
    measured = Measurement()
    with measured.work():
        stages_of(runner)[given.stage]()
    publish = runner.measured.stages.get("publish", (0.0, 0.0))
    measured.wall_s, measured.cpu_s = measured.wall_s - publish[0], measured.cpu_s - publish[1]
    measured.more |= counts(runner) | {"publish_cpu_s": publish[1]}
    measured.tell()


if __name__ == "__main__":
    main()
