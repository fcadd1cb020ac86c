"""Whenever a process is killed, the same command goes on and ends as if nothing had happened."""

import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue

import pytest

from profile_pipeline.orchestration.instance import open_instance
from profile_pipeline.paths import Paths
from profile_pipeline_tests.conftest import ROOT
from profile_pipeline_tests.faults.children import Children, Ended
from profile_pipeline_tests.faults.scenarios import KINDS, Scenario, kind_of, side_by_side
from profile_pipeline_tests.faults.tiny_world import deliver, write_deliveries
from profile_pipeline_tests.torture import IS_TORTURE, SEED, examples

pytestmark = [pytest.mark.faults, pytest.mark.timeout(7200 if IS_TORTURE else 600)]
KILLS_A_ROUND = 5
# A round of kills of each of three steps, and one of commands; parts into which the boundaries are cut.
ROUNDS, ROUNDS_OF_COMMANDS, PARTS = (
    range(examples(2, torture=20)),
    range(examples(1, torture=10)),
    range(examples(1, torture=12)),
)


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
        found[name] = Scenario.undisturbed(child, step, start, data)
        before = data
    children.put(child)
    assert found["first load"].hashes != found["refresh"].hashes
    return found


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
            ended = scenario.take(child, data, kill_after=moments[-1])
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
        faults = scenario.faults(data, scenario.take(child, data))
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
        return [f"{name}, {fault}" for fault in scenarios[name].crashed_at(child, number, tmp_path / f"{name} {number}")]  # fmt: skip

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
