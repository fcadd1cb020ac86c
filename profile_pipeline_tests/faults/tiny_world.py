"""A world of a few people and four days, delivered in two parts, and how a finished one is compared with another.

Here belong the files, the settings and the logical hash. Not here: processes that are killed (`children`), or any test.
"""

import datetime as dt
import gzip
import re
import shutil
from pathlib import Path

import duckdb

from profile_pipeline.orchestration.running import Runner
from profile_pipeline.paths import Paths
from profile_pipeline.raw.world.write import write_world
from profile_pipeline.settings import Settings
from profile_pipeline_tests.conftest import LAST_DAY, small_settings, write_config

N_DAYS = 4
FIRST = LAST_DAY - dt.timedelta(days=N_DAYS - 1)
# Of this day little comes late, so that single streams are judged again; a copy of one of its events comes on the day after.
TOUCHED = FIRST
# A refresh builds the last two days whole, so that there are others.
RESTATE_DAYS = 1
# What tells of running and not of people: when a file was loaded.
TIMES_OF_RUNNING = ("loaded_at", "arrived_at")


def write_deliveries(folder: Path) -> None:
    """Write `first/` and `late/`: the last four days, and a part of them that comes late, with a newer CRM file.

    Among what is late is a record that displaces a judged one of another day: it has its id and was received before.
    """
    write_world(folder / "whole", n_users=20, n_days=15, seed=3, say=lambda _: None)
    whole, first, late = folder / "whole" / "landing", folder / "first", folder / "late"
    shutil.copytree(whole, first)
    for path in sorted(first.rglob("*")):
        day = re.search(r"(web|app)_(\d{4}-\d\d-\d\d)", path.name)
        if day and dt.date.fromisoformat(day[2]) < FIRST:
            path.unlink()
    (late / "web").mkdir(parents=True)
    (late / "crm").mkdir()
    for path in sorted((first / "web").iterdir()):
        header, *lines = gzip.decompress(path.read_bytes()).split(b"\n")[:-1]
        kept, held = [n for i, n in enumerate(lines) if i % 5], lines[::5]
        if str(TOUCHED) in path.name:
            # Of another visitor: the streams of what waits on a day are judged again anyway.
            other = next(line for line in lines if line.split(b",")[3] != lines[0].split(b",")[3])
            kept, held = lines[1:], [lines[0], _copy_of_a_day_later(other.decode())]
        path.write_bytes(gzip.compress(b"\n".join([header, *kept]) + b"\n", mtime=0))
        (late / "web" / f"late_{path.name}").write_bytes(gzip.compress(b"\n".join([header, *held]) + b"\n", mtime=0))
    newest = max((first / "crm").iterdir())
    newest.rename(late / "crm" / newest.name)


def _copy_of_a_day_later(line: str) -> bytes:
    """The same event a day later, received a second before."""
    event_id, at, received, rest = line.split(",", 3)
    later, before = (
        (dt.datetime.fromisoformat(at) + dt.timedelta(days=1)),
        (dt.datetime.fromisoformat(received) - dt.timedelta(seconds=1)),
    )
    return ",".join([event_id, *(f"{moment:%Y-%m-%dT%H:%M:%S}Z" for moment in (later, before)), rest]).encode()


def deliver(deliveries: Path, part: str, data: Path) -> None:
    """Land one part, with its configuration."""
    shutil.copytree(deliveries / part, data / "landing", dirs_exist_ok=True)
    config = write_config(data / "profile.yaml", FIRST, LAST_DAY)
    config.write_text(f"{config.read_text(encoding='utf-8')}\nrestate_days: {RESTATE_DAYS}\n", encoding="utf-8")


def tiny_settings(**more: object) -> Settings:
    return small_settings(FIRST, LAST_DAY, stable_seconds=0, restate_days=RESTATE_DAYS, **more)


def runner(data: Path, **more: object) -> Runner:
    return Runner(tiny_settings(**more), Paths(config=data / "profile.yaml", data=data), lambda _: None)


def logical_hashes(database: Path) -> dict[str, tuple[int, str]]:
    """Return rows and hash of every table over all its columns but those that tell of running, rows in order."""
    with duckdb.connect(str(database), read_only=True) as connection:
        columns: dict[str, list[str]] = {}
        for table, column in connection.execute(
            "select schema_name || '.' || table_name, column_name from duckdb_columns() where not internal order by all"
        ).fetchall():
            if column not in TIMES_OF_RUNNING:
                columns.setdefault(table, []).append(column)
        found = {}
        for table, names in columns.items():
            row = ", ".join(f'"{name}"' for name in names)
            found[table] = connection.execute(
                f"select count(*), coalesce(md5(string_agg(r, chr(10) order by r)), '') from (select row({row})::varchar as r from {table})"
            ).fetchall()[0]
    return found


def differences(found: dict[str, tuple[int, str]], expected: dict[str, tuple[int, str]]) -> list[str]:
    """Name the tables that differ."""
    return [
        f"{table}: found {found.get(table, ('no table',))[0]} rows, expected {expected.get(table, ('no table',))[0]}"
        for table in sorted(found.keys() | expected.keys())
        if found.get(table) != expected.get(table)
    ]


def names_in(data: Path) -> set[str]:
    """Return the names of all files of a data folder, without Dagster's history of runs, which is one file a run."""
    return {
        path.relative_to(data).as_posix()
        for path in data.rglob("*")
        if path.is_file() and not path.is_relative_to(data / "dagster_home" / "history")
    }
