"""The small world that end-to-end tests share: 300 people x 64 days, built once a session by the real jobs."""

import datetime as dt
import shutil
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest

from profile_pipeline.orchestration.running import Runner
from profile_pipeline.paths import Paths
from profile_pipeline.raw.world.write import write_world
from profile_pipeline.settings import Settings
from profile_pipeline.settings_file import load_settings

ROOT = Path(__file__).parents[1]
FIRST_DAY, LAST_DAY = dt.date(2026, 1, 26), dt.date(2026, 3, 30)


def small_settings(first: dt.date = FIRST_DAY, last: dt.date = LAST_DAY, **more: object) -> Settings:
    """The shipped settings with another calendar."""
    settings = load_settings(ROOT / "profile.yaml")
    return settings.model_copy(
        update={"calendar": settings.calendar.model_copy(update={"start": first, "end": last}), **more}
    )


@dataclass(frozen=True)
class World:
    """A finished world: where it is, and what it was built from."""

    paths: Paths
    settings: Settings

    def rows(self, sql: str) -> list[tuple]:
        with duckdb.connect(str(self.paths.warehouse), read_only=True) as connection:
            return connection.execute(sql).fetchall()


def write_config(path: Path, first: dt.date = FIRST_DAY, last: dt.date = LAST_DAY) -> Path:
    text = (ROOT / "profile.yaml").read_text(encoding="utf-8")
    path.write_text(
        text.replace("start: 2026-01-05, end: 2026-03-30", f"start: {first}, end: {last}"), encoding="utf-8"
    )
    return path


@pytest.fixture(scope="session")
def landed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the small world, and its truth."""
    folder = tmp_path_factory.mktemp("landed")
    write_world(folder, n_users=300, n_days=64, seed=7, say=lambda _: None)
    return folder


@pytest.fixture(scope="session")
def world(landed: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
    """The small world, built from files to applications."""
    data = tmp_path_factory.mktemp("world")
    shutil.copytree(landed, data, dirs_exist_ok=True)
    paths = Paths(config=write_config(data / "profile.yaml"), data=data)
    settings = load_settings(paths.config)
    runner = Runner(settings, paths, lambda _: None)
    runner.ingest()
    runner.build_all(every_day=True)
    runner.instance.dispose()
    return World(paths, settings)
