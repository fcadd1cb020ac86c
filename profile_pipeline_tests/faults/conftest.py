"""What the tests of this folder share: deliveries of the tiny world, a process that forks, and the world when nothing goes wrong."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from profile_pipeline_tests.faults.children import Children
from profile_pipeline_tests.faults.tiny_world import deliver, write_deliveries


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
def undisturbed(tiny: Path, child: Children, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder after a first load in which nothing went wrong; copy it before you write to it."""
    data = tmp_path_factory.mktemp("undisturbed") / "data"
    deliver(tiny, "first", data)
    ended = child.try_step("run", data)
    assert ended.status == 0, ended.said
    return data


@pytest.fixture
def built(undisturbed: Path, tmp_path: Path) -> Path:
    """A copy of the undisturbed data folder."""
    return shutil.copytree(undisturbed, tmp_path / "built")
