"""A small world that is built from files to profiles, for the tests of `verify`. Not here: any test, or the faults that are planted in it."""

import datetime as dt
from pathlib import Path

from profile_pipeline.orchestration.running import Runner
from profile_pipeline.paths import Paths
from profile_pipeline.raw.world.write import write_world
from profile_pipeline.settings import Settings
from profile_pipeline.warehouse.duckdb import Warehouse
from profile_pipeline_tests.conftest import LAST_DAY, small_settings, write_config

N_DAYS = 15
FIRST = LAST_DAY - dt.timedelta(days=N_DAYS - 1)


def settings_of() -> Settings:
    return small_settings(FIRST, LAST_DAY)


def paths_of(data: Path) -> Paths:
    return Paths(config=data / "profile.yaml", data=data)


def build(data: Path) -> None:
    """Make a world of 25 people and build it."""
    write_world(data, n_users=25, n_days=N_DAYS, seed=5, say=lambda _: None)
    write_config(data / "profile.yaml", FIRST, LAST_DAY)
    r = Runner(settings_of(), paths_of(data), lambda _: None)
    r.ingest()
    r.build_features(FIRST, LAST_DAY)
    r.build_profiles([LAST_DAY])
    r.instance.dispose()


def plant(w: Warehouse, statements: str) -> None:
    """Plant a fault."""
    for statement in statements.split("; "):
        assert w.execute(statement) > 0, "nothing was planted"
