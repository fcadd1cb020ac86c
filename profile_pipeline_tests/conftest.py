"""The small world that end-to-end tests share: 300 people x 64 days, built once a session by the real jobs."""

import datetime as dt
import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import hypothesis
import pytest
from xdist.scheduler import LoadFileScheduling

from profile_pipeline.orchestration.running import Runner
from profile_pipeline.paths import Paths
from profile_pipeline.raw.world.write import write_world
from profile_pipeline.settings import Settings
from profile_pipeline.settings_file import load_settings
from profile_pipeline.warehouse.spark import SparkWarehouse
from profile_pipeline_tests.engines import Compared, Engine

# No test asserts a time: hypothesis would fail what a busy machine makes slow.
hypothesis.settings.register_profile("untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("untimed")
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

    def copied(self, data: Path) -> "World":
        """Return a copy in an empty folder, to write to."""
        shutil.copytree(self.paths.data, data, dirs_exist_ok=True)
        return World(Paths(config=write_config(data / "profile.yaml"), data=data), self.settings)


def write_config(path: Path, first: dt.date = FIRST_DAY, last: dt.date = LAST_DAY) -> Path:
    text = (ROOT / "profile.yaml").read_text(encoding="utf-8")
    path.write_text(
        text.replace("start: 2026-01-05, end: 2026-03-30", f"start: {first}, end: {last}"), encoding="utf-8"
    )
    return path


class _ByFileOrPart(LoadFileScheduling):
    """A file at a time, as its fixtures are made once; cases whose id begins `part <n>` share nothing with other parts."""

    def _split_scope(self, nodeid: str) -> str:
        part = re.search(r"\[part \d+", nodeid)
        return nodeid.partition("::")[0] + (part[0] if part else "")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadFileScheduling | None:
    return _ByFileOrPart(config, log) if config.getvalue("dist") == "loadfile" else None  # type: ignore[arg-type]


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


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkWarehouse]:
    """The second engine, on a session of this machine that all tests share."""
    if importlib.util.find_spec("pyspark") is None:
        pytest.skip("pyspark is not installed: pip install -e '.[spark]'")
    if not (os.environ.get("JAVA_HOME") or shutil.which("java")):
        pytest.skip("Spark needs Java, and none was found")
    from pyspark.sql import SparkSession

    settings = {
        "spark.ui.enabled": "false", "spark.sql.shuffle.partitions": "4", "spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1",
        "spark.sql.warehouse.dir": str(tmp_path_factory.mktemp("spark")), "spark.ui.showConsoleProgress": "false", "spark.log.level": "ERROR",
        "spark.pyspark.python": sys.executable,
        # Hundreds of queries of a few rows: what pays off on many rows costs more than it saves here.
        "spark.sql.adaptive.enabled": "false", "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1",
    }  # fmt: skip
    session = SparkSession.builder.master("local[2]").config(map=settings).getOrCreate()
    yield SparkWarehouse(session)
    session.stop()


@pytest.fixture(scope="session")
def compared() -> Compared:
    """What ran on both engines on literal rows, in this session."""
    return Compared()


@pytest.fixture(params=["duckdb", pytest.param("spark", marks=pytest.mark.spark)])
def engine(request: pytest.FixtureRequest, compared: Compared) -> Iterator[Engine]:
    """Where the texts of a test run, with nothing in it: DuckDB alone, or both engines, whose rows must be equal."""
    with duckdb.connect(":memory:") as connection:
        connection.execute("set timezone = 'UTC'")
        yield Engine(connection, request.getfixturevalue("spark") if request.param == "spark" else None, compared)
