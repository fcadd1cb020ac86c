"""A week whose training, judging, report, scores or publishing is killed ends as if nothing had happened."""

import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue

import pytest

from profile_pipeline_tests.faults.children import Children
from profile_pipeline_tests.faults.scenarios import KINDS, Scenario, kind_of, side_by_side
from profile_pipeline_tests.faults.tiny_world import differences
from profile_pipeline_tests.faults.trained_world import MADE_OF_MODELS, write_trained_world
from profile_pipeline_tests.torture import IS_TORTURE, SEED, examples

pytestmark = [pytest.mark.faults, pytest.mark.timeout(7200 if IS_TORTURE else 600)]
# Parts into which the boundaries are cut.
PARTS = range(examples(1, torture=6))


@pytest.fixture(scope="module")
def whole(child: Children, tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    """From nothing to profiles with scores, undisturbed."""
    folder = tmp_path_factory.mktemp("trained")
    write_trained_world(folder / "landed")
    return Scenario.undisturbed(child, "command", folder / "landed", folder / "whole", arguments=["run"])


@pytest.fixture(scope="module")
def trained(whole: Scenario, child: Children, tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    """The same, from the moment on when the first model is to be written."""
    folder = tmp_path_factory.mktemp("before")
    before = shutil.copytree(whole.before, folder / "before")
    first = next(n for n, point in enumerate(whole.points) if "trained_models: begin" in point)
    assert whole.take(child, before, crash_at=first).status == -signal.SIGKILL
    return Scenario.undisturbed(child, "command", before, folder / "after", arguments=["run"])


def test_what_is_killed_in_this_world_makes_models_scores_and_reports(whole: Scenario) -> None:
    assert {table for table in MADE_OF_MODELS if not whole.hashes[table][0]} == set()
    assert {name.split("/")[-1] for name in whole.reports} >= {"index.html"}


def test_killed_before_its_first_model_it_ends_as_if_nothing_had_happened(whole: Scenario, trained: Scenario) -> None:
    assert differences(trained.hashes, whole.hashes) == []
    assert (trained.served, trained.names, trained.reports) == (whole.served, whole.names, whole.reports)


@pytest.mark.parametrize("part", PARTS)
def test_killed_at_a_boundary_of_its_models_it_ends_as_if_nothing_had_happened(
    part: int, children: "SimpleQueue[Children]", trained: Scenario, tmp_path: Path, tried: Callable[..., None],
    record_property: Callable[[str, object], None],
) -> None:  # fmt: skip
    """Each (statement, call site) is tried once in torture; in CI one of each of four kinds, drawn anew each day."""
    every = [trained.points.index(point) for point in dict.fromkeys(trained.points)]
    if IS_TORTURE:
        numbers = every[part :: len(PARTS)]
    else:
        chance = random.Random(SEED)
        by_kind = {kind: [n for n in every if kind_of(trained.points[n]) == kind] for kind in KINDS}
        numbers = [chance.choice(by_kind[kind]) for kind in chance.sample([k for k in KINDS if by_kind[k]], 4)]
        record_property("told", f"{len(numbers)} of {len(every)}, drawn with FAULTS_SEED={SEED}")
    tried(len(numbers))
    faults = side_by_side(
        children, numbers, lambda child, number: trained.crashed_at(child, number, tmp_path / str(number))
    )
    assert not faults, "\n".join([f"drawn with FAULTS_SEED={SEED}", *faults])
