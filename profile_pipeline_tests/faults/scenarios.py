"""A step that is killed and taken again: on what it begins, how it ends undisturbed, and what differs when it was killed.

Not here: what a child does and how it is killed (`children`), or which step is killed where (`test_crashes`, `test_crashes_of_models`).
"""

import re
import shutil
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Self

from profile_pipeline_tests.faults.children import Children, Ended
from profile_pipeline_tests.faults.tiny_world import differences, logical_hashes, names_in

# CI tries one boundary of each: the first that names it says what it is.
KINDS = {
    "row of a ledger": r" (write_ledger|_note_files): ",
    "publishing": r"/serving\.py ",
    "begin": r": begin",
    "commit": r": commit",
    "insert": r": insert",
    "other change of a table": r": (create|delete|update|alter|checkpoint)",
    "rename or removal": r": (replace|unlink)$",
    "touch, write or sync": r": (touch|write_text|fsync)$",
}
# A run leaves its history in Dagster's home, a file and a folder a run.
HISTORY = re.compile(r"^dagster_home/(storage/|logs/)")


def kind_of(point: str) -> str | None:
    return next((kind for kind, names in KINDS.items() if re.search(names, point)), None)


def told(data: Path) -> set[str]:
    return {name for name in names_in(data) if not HISTORY.match(name)}


@dataclass(frozen=True)
class Scenario:
    """A step, the folder on which it begins, and how that folder ends when nothing goes wrong."""

    step: str
    arguments: tuple[str, ...]
    before: Path
    hashes: dict[str, tuple[int, str]]
    served: dict[str, tuple[int, str]]
    names: set[str]
    reports: dict[str, bytes]
    seconds: float
    points: list[str]

    @classmethod
    def undisturbed(
        cls, child: Children, step: str, before: Path, data: Path, *, arguments: Sequence[str] = ()
    ) -> Self:
        """Take the step in a copy of `before`, and keep what came of it; the names of its crash points are left beside it."""
        shutil.copytree(before, data)
        passed = data.with_name(f"{data.name} points")
        ended = child.try_step(step, data, points=passed, arguments=arguments)
        assert ended.status == 0, ended.said
        points = passed.read_text(encoding="utf-8").splitlines()
        unnamed = [point for point in points if kind_of(point) is None]
        assert not unnamed, unnamed
        return cls(
            step, tuple(arguments), before, logical_hashes(data / "profile.duckdb"), logical_hashes(data / "serving.duckdb"), told(data), _reports(data),
            ended.seconds, points,
        )  # fmt: skip

    def take(
        self, child: Children, data: Path, *, kill_after: float | None = None, crash_at: int | None = None
    ) -> Ended:
        return child.try_step(self.step, data, kill_after=kill_after, crash_at=crash_at, arguments=self.arguments)

    def faults(self, data: Path, ended: Ended) -> list[str]:
        """Say what differs from the undisturbed end."""
        if ended.status != 0:
            return [f"the rerun ended with {ended.status}: {ended.said[-3000:]}"]
        found = [f"file {name}" for name in sorted(told(data) ^ self.names)]
        found += differences(logical_hashes(data / "profile.duckdb"), self.hashes)
        found += [f"served {d}" for d in differences(logical_hashes(data / "serving.duckdb"), self.served)]
        reports = _reports(data)
        return found + [f"report {name}" for name in reports.keys() & self.reports.keys() if reports[name] != self.reports[name]]  # fmt: skip

    def crashed_at(self, child: Children, number: int, data: Path) -> list[str]:
        """Crash at a boundary, take the step again, and say what differs."""
        shutil.copytree(self.before, data)
        where = f"point {number}, {self.points[number]}"
        crashed = self.take(child, data, crash_at=number)
        if crashed.status != -signal.SIGKILL:
            return [f"{where}: was not reached, it ended with {crashed.status}: {crashed.said[-3000:]}"]
        faults = self.faults(data, self.take(child, data))
        shutil.rmtree(data)
        return [f"{where}: {fault}" for fault in faults]


def _reports(data: Path) -> dict[str, bytes]:
    """Pages of weeks; that of all tables says when it was made."""
    return {str(p.relative_to(data)): p.read_bytes() for p in sorted((data / "reports").glob("*/*")) if p.is_file()}


def side_by_side(children: "SimpleQueue[Children]", tries: list[Any], one: Callable[[Children, Any], list[str]]) -> list[str]:  # fmt: skip
    """Make tries with the processes that are free; return what was found wrong."""

    def with_a_child(a_try: Any) -> list[str]:
        child = children.get()
        try:
            return one(child, a_try)
        finally:
            children.put(child)

    with ThreadPoolExecutor(2) as pool:
        return [fault for faults in pool.map(with_a_child, tries) for fault in faults]
