"""What Dagster costs: every statement of a run is noted, and the same statements run again on a bare connection.

`python -m benchmarks.overhead record DATA N_DAYS FILE` runs cleaned to features through Dagster and notes the SQL; `… replay DATA
FILE` runs it bare, on a copy of the same data. Statements that only report (previews, counts, checks) are noted as such and not
replayed: they are part of what going through Dagster costs. Not here: what the SQL does.
"""

import argparse
import pickle  # noqa: TID251  # between two processes of this program
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.measure import Measurement, cpu_seconds
from benchmarks.stages import bench_settings, runner_of, stages_of
from profile_pipeline.warehouse import duckdb as warehouse_module
from profile_pipeline.warehouse.opening import HARDENED, bytes_allowed

REPORTING_FUNCTIONS = frozenset({"report_days", "report_whole", "publish"})
REPORTING_MODULE = "checks"


@dataclass
class Noted:
    """A statement, or an Arrow table registered or let go."""

    kind: str
    text: str
    given: Any = None
    is_report: bool = False


@dataclass
class Recorder:
    """A connection that notes what it is asked."""

    connection: duckdb.DuckDBPyConnection
    noted: list[Noted] = field(default_factory=list)

    def execute(self, sql: str, parameters: Any = None) -> Any:
        self.noted.append(Noted("execute", sql, parameters, is_reporting()))
        return self.connection.execute(sql, parameters) if parameters else self.connection.execute(sql)

    def sql(self, sql: str, params: Any = None) -> Any:
        self.noted.append(Noted("execute", sql, params, is_reporting()))
        return self.connection.sql(sql, params=params) if params else self.connection.sql(sql)

    def register(self, name: str, incoming: Any) -> Any:
        # It lets its rows go after the statement that reads them.
        self.noted.append(Noted("register", name, incoming.rows))
        return self.connection.register(name, incoming)

    def unregister(self, name: str) -> Any:
        self.noted.append(Noted("unregister", name))
        return self.connection.unregister(name)

    def close(self) -> None:
        self.connection.close()


def is_reporting() -> bool:
    """Say whether a report or a check asks, and not a step that computes."""
    frame = sys._getframe(2)
    while frame is not None:
        if frame.f_code.co_name in REPORTING_FUNCTIONS or Path(frame.f_code.co_filename).stem == REPORTING_MODULE:
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False


@contextmanager
def counted_seconds(owner: type, *names: str) -> Iterator[list[float]]:
    """Measure the CPU seconds spent in methods while the context lasts; one that calls another counts once."""
    spent, depth = [0.0], [0]

    def timed(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            before = cpu_seconds()
            depth[0] += 1
            try:
                return original(*arguments, **named)
            finally:
                depth[0] -= 1
                if depth[0] == 0:
                    spent[0] += cpu_seconds() - before

        return call

    originals = {name: getattr(owner, name) for name in names}
    for name, original in originals.items():
        setattr(owner, name, timed(original))
    try:
        yield spent
    finally:
        for name, original in originals.items():
            setattr(owner, name, original)


def record(data: Path, n_days: int, file: Path) -> Measurement:
    """Run cleaned to features through Dagster, and note its statements."""
    recorders: list[Recorder] = []
    opened = warehouse_module.open_database

    def noting(*given: Any, **named: Any) -> Any:
        recorders.append(Recorder(opened(*given, **named)))
        return recorders[-1]

    warehouse_module.open_database = noting
    runner = runner_of(data, bench_settings(n_days))
    measured = Measurement()
    storage = type(runner.instance.event_log_storage)
    with counted_seconds(storage, "store_event", "store_event_batch") as spent, measured.work():
        stages_of(runner)["cleaned to newest features"]()
    file.write_bytes(pickle.dumps([recorder.noted for recorder in recorders]))
    measured.more |= {
        "event_writing_cpu_s": spent[0],
        "publish_cpu_s": runner.measured.stages.get("publish", (0.0, 0.0))[1],
        "n_statements": sum(len(recorder.noted) for recorder in recorders),
    }
    return measured


def replay(data: Path, file: Path) -> Measurement:
    """Run the noted statements on a bare connection."""
    measured = Measurement()
    reports = Measurement()
    for noted in pickle.loads(file.read_bytes()):  # noqa: S301  # written by `record` a moment ago
        with measured.work():
            connection = duckdb.connect(str(data / "profile.duckdb"), config=HARDENED)
            connection.execute("set enable_progress_bar = false")
            connection.execute("set timezone = 'UTC'")
            connection.execute(f"set temp_directory = '{data / 'profile.duckdb.tmp'}'")
            connection.execute(f"set memory_limit = '{bytes_allowed(connection)}B'")
        for statement in noted:
            with (reports if statement.is_report else measured).work():
                run(connection, statement)
        with measured.work():
            connection.close()
    measured.more |= {"reports_cpu_s": reports.cpu_s}
    return measured


def run(connection: duckdb.DuckDBPyConnection, statement: Noted) -> None:
    """Run one noted statement and fetch what it gives."""
    if statement.kind == "register":
        connection.register(statement.text, statement.given)
    elif statement.kind == "unregister":
        connection.unregister(statement.text)
    elif statement.given:
        connection.execute(statement.text, statement.given).fetchall()
    else:
        connection.execute(statement.text).fetchall()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("record", "replay"))
    parser.add_argument("data", type=Path)
    parser.add_argument("file", type=Path)
    parser.add_argument("--days", type=int, default=90)
    given = parser.parse_args()
    data = given.data.absolute()
    done = record(data, given.days, given.file) if given.what == "record" else replay(data, given.file)
    done.tell()


if __name__ == "__main__":
    main()
