"""How long tests of the laws try: numbers for CI, or with TORTURE=1 in the environment those of `make torture`. Not here: any test."""

import os

import pytest

IS_TORTURE = os.environ.get("TORTURE") == "1"
# What CI has no time for, and what is tried there in another way.
torture_only = pytest.mark.skipif(not IS_TORTURE, reason="tried by `make torture`")


def examples(n: int, *, torture: int) -> int:
    """Return how many examples to try."""
    return torture if IS_TORTURE else n
