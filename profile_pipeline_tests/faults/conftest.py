"""What the tests of this folder share: how they say how often they have tried, deliveries of the tiny world, a process that forks, and
the world when nothing goes wrong.

A test that tries more than once takes the fixture `tried` and calls it for each example: `make torture` tells the sum in
docs/reliability.md. What the page should say beside it (a sample of how many, what was measured) is `record_property("told", …)`. Not here: any test, or how long they try (`torture`).
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue

import pytest

from profile_pipeline_tests.faults.children import Children
from profile_pipeline_tests.faults.tiny_world import deliver, write_deliveries


@pytest.fixture
def tried(record_property: Callable[[str, object], None]) -> Iterator[Callable[..., None]]:
    """Count the examples of a test: `tried()` or `tried(20)`."""
    counted = 0

    def count(n: int = 1) -> None:
        nonlocal counted
        counted += n

    yield count
    record_property("examples", counted)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The deliveries of the tiny world."""
    folder = tmp_path_factory.mktemp("tiny")
    write_deliveries(folder)
    return folder


@pytest.fixture(scope="session")
def child() -> Iterator[Children]:
    with Children() as process:
        yield process


@pytest.fixture(scope="session")
def other_child() -> Iterator[Children]:
    """A second one, for two at once."""
    with Children() as process:
        yield process


@pytest.fixture(scope="session")
def children(child: Children, other_child: Children) -> "SimpleQueue[Children]":
    """Two processes that fork: as many tries at once as the machine has cores."""
    free: SimpleQueue[Children] = SimpleQueue()
    free.put(child)
    free.put(other_child)
    return free


@pytest.fixture(scope="session")
def undisturbed(tiny: Path, child: Children, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder after a first load in which nothing went wrong; copy it before you write to it. Beside it lie its crash points."""
    data = tmp_path_factory.mktemp("undisturbed") / "data"
    deliver(tiny, "first", data)
    ended = child.try_step("run", data, points=data.with_name("points"))
    assert ended.status == 0, ended.said
    return data


@pytest.fixture
def built(undisturbed: Path, tmp_path: Path) -> Path:
    """A copy of the undisturbed data folder."""
    return shutil.copytree(undisturbed, tmp_path / "built")
