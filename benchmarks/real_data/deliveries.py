"""One history delivered in several ways: a file a day through the sensors, by weeks, by months, all at once.

What comes of it must be the same tables, models too once they are trained again on the same data. Files are never cut inside a
day, because identical lines are numbered within a file. Not here: the set (`sets`).
"""

import datetime as dt
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import dagster as dg
import duckdb

from profile_pipeline.orchestration.configuration import load_checked
from profile_pipeline.orchestration.jobs import DAILY, INGEST
from profile_pipeline.orchestration.running import Runner
from profile_pipeline.orchestration.steps import QUIET
from profile_pipeline.paths import Paths

COMPARED = ("cleaned", "features", "profiles")
TRAINED = ("models", "evaluation")
# Where and when a record was read differs by what this is about; versions of libraries and clocks are in no other column.
NOT_COMPARED = ("file_id", "row_number", "loaded_at")
NOT_TABLES = ("cleaned.ledger", "cleaned.touched", "features.stale_days")


def week_of(day: str) -> str:
    """Return the Monday of a day."""
    date = dt.date.fromisoformat(day)
    return str(date - dt.timedelta(days=date.weekday()))


def month_of(day: str) -> str:
    """Return the month of a day."""
    return day[:7]


def joined(days: Sequence[Path], folder: Path, part_of: Callable[[str], str]) -> list[Path]:
    """Write the files of several days as one, with one header, in a folder; return them in order."""
    folder.mkdir(parents=True, exist_ok=True)
    parts: dict[Path, list[Path]] = {}
    for path in days:
        parts.setdefault(folder / f"{part_of(path.stem)}.csv", []).append(path)
    for target, sources in parts.items():
        header = sources[0].read_bytes().split(b"\n", 1)[0]
        bodies = [source.read_bytes().split(b"\n", 1)[1] for source in sources]
        target.write_bytes(header + b"\n" + b"".join(body if body.endswith(b"\n") else body + b"\n" for body in bodies))
    return list(parts)


def config_for(recipe: Path, data: Path, first: dt.date, last: dt.date) -> Path:
    """Write the recipe with another calendar."""
    lines = recipe.read_text(encoding="utf-8").splitlines()
    changed = [
        f"calendar: {{start: {first}, end: {last}, timezone: Europe/London}}" if line.startswith("calendar:") else line
        for line in lines
    ]
    data.mkdir(parents=True, exist_ok=True)
    path = data / "profile.yaml"
    path.write_text("\n".join(changed) + "\n", encoding="utf-8")
    return path


def deliver(
    config: Path, data: Path, files: Sequence[Path], *, by_sensors: bool, into: str = "invoices"
) -> list[dt.date]:
    """Land files and build; by the sensors one file after the other, else all of them at once. Return the days of profiles.

    At the end all that waits or is stale is built, models are trained again, and profiles follow, so that ways can be compared.
    """
    paths = Paths(config=config, data=data)
    runner = Runner(load_checked(paths), paths, lambda _: None)
    landing = paths.landing / into
    landing.mkdir(parents=True, exist_ok=True)
    try:
        for path in files:
            shutil.copyfile(path, landing / path.name)
            if by_sensors:
                tick(runner, "landing_sensor", INGEST)
                tick(runner, "refresh_sensor", DAILY)
        if not by_sensors:
            runner.ingest()
        runner.build_all()
        runner.rebuild_stale()
        runner.train(runner.weeks)
        runner.build_profiles(runner.profile_days())
        return runner.profile_days()
    finally:
        runner.instance.dispose()


def outcome(
    recipe: Path, data: Path, days: Sequence[Path], files: Sequence[Path], *, by_sensors: bool
) -> dict[str, tuple[int, str]]:
    """Deliver the days as these files, to a project of its own whose calendar is theirs; return the digests of what came of it."""
    first, last = dt.date.fromisoformat(days[0].stem), dt.date.fromisoformat(days[-1].stem)
    profile_days = deliver(config_for(recipe, data, first, last), data, files, by_sensors=by_sensors)
    return digests(data, COMPARED + TRAINED, profile_days)


def tick(runner: Runner, sensor: str, job: str) -> None:
    """Evaluate a sensor once, as the daemon would, and carry out what it asks for."""
    definition = runner.defs.get_repository_def().get_sensor_def(sensor)
    found = definition.evaluate_tick(dg.build_sensor_context(instance=runner.instance))
    (request,) = found.run_requests or []
    runner.defs.resolve_job_def(job).execute_in_process(instance=runner.instance, tags=request.tags, run_config=QUIET)


def digests(data: Path, schemas: Sequence[str], profile_days: Sequence[dt.date]) -> dict[str, tuple[int, str]]:
    """Return, by table, the number of rows and a hash of them that does not depend on their order."""
    found = {}
    days = ", ".join(f"date '{day}'" for day in profile_days)
    with duckdb.connect(str(data / "profile.duckdb"), read_only=True) as connection:
        columns = connection.execute(
            "select schema_name || '.' || table_name, list(column_name order by column_index) from duckdb_columns()"
            " where schema_name in (select unnest($schemas)) and database_name = current_database() group by all order by all",
            {"schemas": list(schemas)},
        ).fetchall()
        for table, names in columns:
            if table in NOT_TABLES:
                continue
            told = ", ".join(f'"{name}"' for name in names if name not in NOT_COMPARED)
            # What was served on a day between two deliveries stays as it was then; compared are the days that both have built.
            where = f"as_of_date in ({days})" if table.startswith("profiles.") else "true"
            n_rows, mixed = connection.execute(
                f"select count(*), coalesce(cast(sum(cast(hash({told}) as hugeint)) as varchar), '') from {table} where {where}"
            ).fetchall()[0]
            found[table] = (n_rows, mixed)
    return found


def differing(one: dict[str, tuple[int, str]], other: dict[str, tuple[int, str]]) -> list[str]:
    """Return the tables that are not the same, with their numbers of rows."""
    return [
        f"{table} ({one.get(table, (0, ''))[0]:,} and {other.get(table, (0, ''))[0]:,} rows)"
        for table in sorted(one.keys() | other.keys())
        if one.get(table) != other.get(table)
    ]
