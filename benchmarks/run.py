"""The benchmark: `python -m benchmarks.run [--events 1000000 …] [--parts …] [--folder DIR]`, which is `make bench`.

Each figure comes from a process of its own; what is compared is measured in one run, one after the other. Results go to
`benchmarks/results/`, one file a run with the machine's description. Not here: what a stage does (`stages`, `peers`), or how figures
are drawn (`draw`).
"""

import argparse
import datetime as dt
import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from benchmarks import readers
from benchmarks.draw import write_pages
from benchmarks.measure import ChildFailedError, commit, load_average, machine, run_child
from benchmarks.peers.reference import RESULTS
from profile_pipeline.raw.world.write import LAST_DAY

N_DAYS, EVENTS_PER_PERSON = 90, 138
FEW_EVENTS, FEW_DAYS = 100_000, (60, 365)
N_SMALL_FILES, N_TRAINING_ROWS = 10_000, 1_000_000
STAGES = ("judge", "sessions", "identities and versions", "tiles", "newest snapshots")
PEERS = ("duckdb_sql", "through_dagster", "polars_frames", "pandas_frames", "pyspark_frames")
RESULTS_FOLDER = Path(__file__).parent / "results"
RAW_COLUMNS = (
    "event_id, event_time, received_at, row_number() over (order by file_id, row_number) as row_number, role as event_type,"
    " cast(quantity as bigint) as quantity, cast(round(price * 100) as bigint) as price, user_id, anonymous_id, device_id"
)


class UnequalError(Exception):
    """Two engines computed different rows: their figures can't be compared."""


@dataclass
class Bench:
    """A run of the benchmark at one number of events."""

    n_events: int
    folder: Path
    save: Callable[[], object]
    found: dict[str, Any] = field(default_factory=dict)

    @property
    def n_users(self) -> int:
        return max(20, round(self.n_events / EVENTS_PER_PERSON))

    @property
    def world(self) -> Path:
        return self.folder / "world"

    @property
    def loaded(self) -> Path:
        """The data folder after ingest, which other parts copy."""
        return self.folder / "loaded"

    def note(self, part: str, name: str, figures: dict[str, Any]) -> None:
        """Keep the figures of one process, and say them."""
        self.found.setdefault(part, {})[name] = figures | {"load_average": load_average()}
        self.save()
        print(
            f"{self.n_events:>11,} {part:>20} {name:<34} {figures['cpu_s']:8.1f} CPU-s {figures['wall_s']:8.1f} s"
            f" {figures['peak_mb']:8.0f} MB", flush=True,
        )  # fmt: skip

    def stage(self, part: str, name: str, data: Path, *, days: int = N_DAYS, stage: str = "", **more: object) -> None:
        options = [f"--{key.replace('_', '-')}={value}" for key, value in more.items()]
        self.note(part, name, run_child("benchmarks.stages", data, days, stage or name, *options))

    def copy_of(self, name: str) -> Path:
        """Return a copy to work on, without the files: what was loaded of them is in the database."""
        target = self.folder / name
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(self.loaded, target, ignore=shutil.ignore_patterns("landing", "archive"))
        return target

    # ---- the parts

    def prepare(self) -> None:
        """Make the world and load it: everything else starts from there."""
        if not (self.world / "truth").exists():
            self.stage("world", "world", self.world, users=self.n_users)
        if not self.loaded.exists():
            shutil.copytree(self.world / "landing", self.loaded / "landing", copy_function=os.link)
            self.stage("ingest", "ingest", self.loaded)

    def stages(self) -> None:
        """Each stage in a process of its own."""
        data = self.copy_of("stages")
        for name in STAGES:
            self.stage("stages", name, data)
        shutil.rmtree(data)

    def memory(self) -> None:
        """Cleaned to newest features in one process, as it is and within 1 GB."""
        for name, more in (("as it is", {}), ("memory_limit 1GB", {"memory_limit": "1GB"})):
            data = self.copy_of("memory")
            self.stage("memory", name, data, stage="cleaned to newest features", **more)
            shutil.rmtree(data)

    def overhead(self) -> None:
        """The same statements through Dagster and bare."""
        noted = self.folder / "statements.pickle"
        data = self.copy_of("through")
        self.note("overhead", "through Dagster", run_child("benchmarks.overhead", "record", data, noted))
        shutil.rmtree(data)
        data = self.copy_of("bare")
        self.note("overhead", "bare", run_child("benchmarks.overhead", "replay", data, noted))
        shutil.rmtree(data)

    def peers(self) -> None:
        """The reference job on every engine that is installed, results equal to the row."""
        folder = self.folder / "peers"
        folder.mkdir(exist_ok=True)
        raw = folder / "raw.parquet"
        with duckdb.connect(str(self.loaded / "profile.duckdb"), read_only=True) as connection:
            connection.execute(f"copy (select {RAW_COLUMNS} from raw.events) to '{raw}' (compression zstd)")
        first = LAST_DAY - dt.timedelta(days=N_DAYS - 1)
        expected: dict[str, tuple[int, int]] = {}
        for name in PEERS:
            out = folder / name
            try:
                figures = run_child(f"benchmarks.peers.{name}", raw, out, first, LAST_DAY)
            except ChildFailedError as error:
                if "ModuleNotFoundError" not in str(error) and "JAVA_GATEWAY_EXITED" not in str(error):
                    raise
                print(
                    f"{name} is left out: it is not installed (pip install -e '.[bench]'; PySpark needs Java)",
                    flush=True,
                )
                continue
            sums = {result: checksum(out / f"{result}.parquet") for result in RESULTS}
            expected = expected or sums
            if sums != expected:
                raise UnequalError(f"{name} found {sums}, {PEERS[0]} found {expected}")
            self.note("peers", name, figures | {"rows": {result: n for result, (n, _) in sums.items()}})
        shutil.rmtree(folder)

    def one_more_day(self) -> None:
        """The newest day with its late events, on top of a long history and of half of it."""
        for n_days in (N_DAYS, N_DAYS // 2):
            data = self.folder / f"history_{n_days}"
            shutil.rmtree(data, ignore_errors=True)
            first, held = LAST_DAY - dt.timedelta(days=n_days - 1), []
            for path in sorted((self.world / "landing").rglob("*.*")):
                day = dt.date.fromisoformat(path.name.split("_")[1][:10])
                target = data / "landing" / path.relative_to(self.world / "landing")
                if day == LAST_DAY:
                    held.append((path, target))
                elif day >= first or path.parent.name not in ("web", "app"):
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(path, target)
            for stage in ("ingest", "all but the newest day"):
                run_child("benchmarks.stages", data, n_days, stage)
            for path, target in held:
                shutil.copy(path, target)
            self.stage("one more day", f"ingest on {n_days} days", data, days=n_days, stage="ingest")
            late = late_events(data)
            self.stage("one more day", f"refresh on {n_days} days", data, days=n_days, stage="one more day")
            self.found["one more day"][f"refresh on {n_days} days"] |= late
            self.save()
            shutil.rmtree(data)

    def days_as_one(self) -> None:
        """Days as one run and as a run each, of few events: what is compared is what a run costs."""
        small = Bench(FEW_EVENTS, self.folder / "few", self.save)
        for n_days in FEW_DAYS:
            world = small.folder / "world"
            run_child("benchmarks.stages", world, n_days, "world", f"--users={small.n_users}")
            for name in ("as one", "one by one"):
                data = small.folder / name.replace(" ", "_")
                shutil.copytree(world / "landing", data / "landing")
                run_child("benchmarks.stages", data, n_days, "ingest")
                found = run_child("benchmarks.stages", data, n_days, name)
                self.note("days", f"{n_days} days {name}", found)
            shutil.rmtree(small.folder)

    def reading(self) -> None:
        """A file of each format with half as many records as there are events, by us and by DuckDB's bare reader."""
        folder = self.folder / "reading"
        readers.prepare(self.world / "landing", folder, self.n_events // 2)
        for kind in readers.FORMATS:
            for who in ("bare", "ours"):
                self.note("reading", f"{kind} {who}", run_child("benchmarks.readers", who, kind, folder))
        shutil.rmtree(folder)

    def definitions(self) -> None:
        """Loading the definitions, as every process of Dagster does."""
        self.note("definitions", "load", run_child("benchmarks.definitions"))

    def small_files(self) -> None:
        """Ten thousand files of a few lines, in one run."""
        data = self.folder / "small_files"
        shutil.rmtree(data, ignore_errors=True)
        found = run_child("benchmarks.small_files", self.world / "landing", data, N_SMALL_FILES)
        self.note("small files", "one run", found)
        shutil.rmtree(data)

    def training_set(self) -> None:
        """A million rows of anybody at any time, with what was known of them then."""
        data = self.copy_of("training_set")
        run_child("benchmarks.stages", data, N_DAYS, "cleaned to newest features")
        self.note("training set", "rows", run_child("benchmarks.training_set", data, N_DAYS, N_TRAINING_ROWS))
        shutil.rmtree(data)


PARTS: dict[str, Callable[[Bench], None]] = {
    "stages": Bench.stages,
    "memory": Bench.memory,
    "overhead": Bench.overhead,
    "peers": Bench.peers,
    "reading": Bench.reading,
    "one-more-day": Bench.one_more_day,
    "definitions": Bench.definitions,
    "small-files": Bench.small_files,
    "training-set": Bench.training_set,
    "days-as-one": Bench.days_as_one,
}
# Of these the number of events is their own, or does not matter.
ONCE = ("definitions", "small-files", "training-set", "days-as-one")


def checksum(path: Path) -> tuple[int, int]:
    """Return the rows of a result and a sum over all of their columns that does not depend on order, types of integers or files."""
    source = f"{path}/*.parquet" if path.is_dir() else str(path)
    connection = duckdb.connect()
    names = sorted(row[0] for row in connection.execute(f"describe select * from '{source}'").fetchall())
    kinds = {"at": "timestamp", "date": "date", "id": "varchar"}
    values = ", ".join(f"cast({name} as {kinds.get(name.split('_')[-1], 'bigint')})" for name in names)
    n_rows, total = connection.execute(
        f"select count(*), cast(sum(cast(hash({values}) as hugeint)) as varchar) from '{source}'"
    ).fetchall()[0]
    return n_rows, int(total)


def late_events(data: Path) -> dict[str, Any]:
    """Return how many events wait, and how many of them are of days before the newest two."""
    with duckdb.connect(str(data / "profile.duckdb"), read_only=True) as connection:
        rows = connection.execute(
            "select cast(sum(n_events) as bigint), cast(coalesce(sum(n_events) filter (where event_date < $day), 0) as bigint),"
            " count(distinct event_date) from raw.pending where file_id is not null",
            {"day": LAST_DAY - dt.timedelta(days=1)},
        ).fetchall()
    return dict(zip(("n_new", "n_late", "n_days"), rows[0], strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument(
        "--folder", type=Path, default=Path("data/benchmark"), help="scratch; needs half a GB a million events"
    )
    parser.add_argument("--keep", action="store_true", help="keep world and loaded warehouse for the next run")
    given = parser.parse_args()
    begun = dt.datetime.now(dt.UTC)
    result: dict[str, Any] = {
        "begun_at": begun.isoformat(timespec="seconds"), "commit": commit(Path(__file__).parents[1], "benchmarks/README.md", "benchmarks/results"), "machine": machine(), "sizes": {},
    }  # fmt: skip
    file = RESULTS_FOLDER / f"{begun:%Y%m%dT%H%M%S}.json"
    RESULTS_FOLDER.mkdir(exist_ok=True)
    for n_events in given.events:
        bench = Bench(
            n_events,
            given.folder / str(n_events),
            lambda: file.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8"),
        )
        result["sizes"][str(n_events)] = bench.found
        bench.folder.mkdir(parents=True, exist_ok=True)
        bench.prepare()
        for name in given.parts:
            if name not in ONCE or n_events == min(given.events):
                PARTS[name](bench)
        if not given.keep:
            shutil.rmtree(bench.folder)
    write_pages(RESULTS_FOLDER)
    print(f"results: {file}")


if __name__ == "__main__":
    sys.exit(main())
