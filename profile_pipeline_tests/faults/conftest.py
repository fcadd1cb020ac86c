"""How long tests of the laws try, and how they say how often they have tried.

`examples(50, torture=1_000)` is the number of examples: the first, or with TORTURE=1 in the environment the second. A test that
tries more than once takes the fixture `tried` and calls it for each example: `make torture` tells the sum in docs/reliability.md.
Not here: any test.
"""

import os
from collections.abc import Callable, Iterator

import pytest

IS_TORTURE = bool(os.environ.get("TORTURE"))


def examples(n: int, *, torture: int) -> int:
    """Return how many examples to try."""
    return torture if IS_TORTURE else n


@pytest.fixture
def tried(record_property: Callable[[str, object], None]) -> Iterator[Callable[..., None]]:
    """Count the examples of a test: `tried()` or `tried(20)`."""
    counted = 0

    def count(n: int = 1) -> None:
        nonlocal counted
        counted += n

    yield count
    record_property("examples", counted)
