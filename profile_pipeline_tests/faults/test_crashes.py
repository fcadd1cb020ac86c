"""Whenever a process is killed, the same command goes on and ends as if nothing had happened."""

import random
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from profile_pipeline.orchestration.instance import open_instance
from profile_pipeline.paths import Paths
from profile_pipeline_tests.conftest import ROOT
from profile_pipeline_tests.faults.children import Children, Ended
from profile_pipeline_tests.faults.tiny_world import (
    deliver,
    differences,
    logical_hashes,
    names_in,
    write_deliveries,
)
from profile_pipeline_tests.torture import IS_TORTURE, SEED, examples

pytestmark = [pytest.mark.faults, pytest.mark.timeout(7200 if IS_TORTURE else 600)]
KILLS_A_ROUND = 5
# A round of kills of each of three steps, and one of commands; parts into which the boundaries are cut.
ROUNDS, ROUNDS_OF_COMMANDS, PARTS = (
    range(examples(2, torture=20)),
    range(examples(1, torture=10)),
    range(examples(1, torture=12)),
)
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


@dataclass(frozen=True)
class Scenario:
    """A step, the folder on which it begins, and how that folder ends when nothing goes wrong."""

    step: str
    before: Path
    hashes: dict[str, tuple[int, str]]
    served: dict[str, tuple[int, str]]
    names: set[str]
    seconds: float
    points: list[str]

    def faults(self, data: Path, ended: Ended) -> list[str]:
        """Say what differs from the undisturbed end."""
        if ended.status != 0:
            return [f"the rerun ended with {ended.status}: {ended.said[-3000:]}"]
        found = [f"file {name}" for name in sorted(told(data) ^ self.names)]
        found += differences(logical_hashes(data / "profile.duckdb"), self.hashes)
        return found + [f"served {d}" for d in differences(logical_hashes(data / "serving.duckdb"), self.served)]


def kind_of(point: str) -> str | None:
    return next((kind for kind, names in KINDS.items() if re.search(names, point)), None)


def told(data: Path) -> set[str]:
    return {name for name in names_in(data) if not HISTORY.match(name)}


@pytest.fixture(scope="module")
def children(child: Children, other_child: Children) -> "SimpleQueue[Children]":
    """Two processes that fork: as many tries at once as the machine has cores."""
    free: SimpleQueue[Children] = SimpleQueue()
    free.put(child)
    free.put(other_child)
    return free


@pytest.fixture(scope="module")
def scenarios(children: "SimpleQueue[Children]", tmp_path_factory: pytest.TempPathFactory) -> dict[str, Scenario]:
    """A first load; a late delivery folded in by a refresh; a backfill by hand."""
    folder = tmp_path_factory.mktemp("scenarios")
    write_deliveries(folder / "deliveries")
    child = children.get()
    found, before = {}, folder / "nothing"
    for name, step, part in (("first load", "run", "first"), ("refresh", "run", "late"), ("backfill", "backfill", "")):
        start, data = folder / f"before {name}", folder / f"after {name}"
        if before.exists():
            shutil.copytree(before, start)
        if part:
            deliver(folder / "deliveries", part, start)
        shutil.copytree(start, data)
        ended = child.try_step(step, data, points=folder / f"points of {name}")
        assert ended.status == 0, ended.said
        points = (folder / f"points of {name}").read_text(encoding="utf-8").splitlines()
        found[name] = Scenario(
            step, start, logical_hashes(data / "profile.duckdb"), logical_hashes(data / "serving.duckdb"), told(data), ended.seconds, points
        )  # fmt: skip
        before = data
    children.put(child)
    unnamed = [point for scenario in found.values() for point in scenario.points if kind_of(point) is None]
    assert not unnamed, unnamed
    assert found["first load"].hashes != found["refresh"].hashes
    return found


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


@pytest.mark.parametrize("number", ROUNDS)
def test_killed_at_random_moments_again_and_again_it_ends_as_if_nothing_had_happened(
    number: int, children: "SimpleQueue[Children]", scenarios: dict[str, Scenario], tmp_path: Path, tried: Callable[..., None]
) -> None:  # fmt: skip
    def one(child: Children, name: str) -> list[str]:
        scenario, chance = scenarios[name], random.Random(f"{number} {name}")
        data, n_killed, moments = tmp_path / f"{number} {name}", 0, []
        shutil.copytree(scenario.before, data)
        while n_killed < KILLS_A_ROUND:
            moments.append(round(chance.uniform(0, scenario.seconds), 3))
            ended = child.try_step(scenario.step, data, kill_after=moments[-1])
            if ended.status == 0:  # it was faster: its end is looked at too, and it begins anew
                if faults := scenario.faults(data, ended):
                    return [f"{name}, killed after {moments} s: {fault}" for fault in faults]
                shutil.rmtree(data)
                shutil.copytree(scenario.before, data)
            elif ended.status != -signal.SIGKILL:
                return [f"{name}, killed after {moments} s: {ended.said[-3000:]}"]
            else:
                n_killed += 1
                tried()
        faults = scenario.faults(data, child.try_step(scenario.step, data))
        shutil.rmtree(data)
        return [f"{name}, killed after {moments} s: {fault}" for fault in faults]

    faults = side_by_side(children, list(scenarios), one)
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("part", PARTS)
def test_killed_at_every_boundary_it_ends_as_if_nothing_had_happened(
    part: int, children: "SimpleQueue[Children]", scenarios: dict[str, Scenario], tmp_path: Path, tried: Callable[..., None],
    record_property: Callable[[str, object], None],
) -> None:  # fmt: skip
    """A boundary is a statement that changes a table, a commit (before, after), or a file moved, removed, touched or synced (before, after).

    Each (statement, call site) is tried once in torture; in CI one of each kind, drawn anew each day.
    """
    every = [
        (name, scenario.points.index(point))
        for name, scenario in scenarios.items()
        for point in dict.fromkeys(scenario.points)
    ]
    if IS_TORTURE:
        points = every[part :: len(PARTS)]
    else:
        chance = random.Random(SEED)
        points = [chance.choice([p for p in every if kind_of(scenarios[p[0]].points[p[1]]) == kind]) for kind in KINDS]
        record_property("told", f"{len(points)} of {len(every)}, one of each kind, drawn with FAULTS_SEED={SEED}")
    tried(len(points))

    def one(child: Children, a_try: tuple[str, int]) -> list[str]:
        name, number = a_try
        scenario, data = scenarios[name], tmp_path / f"{name} {number}"
        shutil.copytree(scenario.before, data)
        where = f"{name}, point {number}, {scenario.points[number]}"
        crashed = child.try_step(scenario.step, data, crash_at=number)
        if crashed.status != -signal.SIGKILL:
            return [f"{where}: was not reached, it ended with {crashed.status}: {crashed.said[-3000:]}"]
        faults = scenario.faults(data, child.try_step(scenario.step, data))
        shutil.rmtree(data)
        return [f"{where}: {fault}" for fault in faults]

    faults = side_by_side(children, points, one)
    assert not faults, "\n".join([f"drawn with FAULTS_SEED={SEED}", *faults])


@pytest.mark.parametrize("number", ROUNDS_OF_COMMANDS)
def test_commands_whose_process_group_is_killed_go_on_at_the_next_call(
    number: int, scenarios: dict[str, Scenario], child: Children, tmp_path: Path, tried: Callable[..., None]
) -> None:
    scenario, chance = scenarios["first load"], random.Random(9 + number)
    data, n_killed, moments = tmp_path / "data", 0, []
    shutil.copytree(scenario.before, data)
    while n_killed < KILLS_A_ROUND:
        moments.append(round(chance.uniform(0, scenario.seconds), 3))
        ended = child.try_step("command", data, arguments=["run"], kill_after=moments[-1])
        if ended.status == -signal.SIGKILL:
            n_killed += 1
            tried()
        else:
            assert scenario.faults(data, ended) == [], moments
            shutil.rmtree(data)
            shutil.copytree(scenario.before, data)
    # By a process that has inherited nothing.
    command = [sys.executable, "-W", "ignore", "-m", "profile_pipeline.cli", "run", "--config", str(data / "profile.yaml"), "--data", str(data)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert scenario.faults(data, Ended(done.returncode, 0, done.stderr)) == [], moments
    instance = open_instance(Paths(config=data / "profile.yaml", data=data))
    assert [run.status.value for run in instance.get_runs() if not run.is_finished] == []
    instance.dispose()
