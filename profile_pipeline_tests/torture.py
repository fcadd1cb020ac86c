"""How long tests of the laws try: numbers for CI, or with TORTURE=1 in the environment those of `make torture`. Not here: any test.

What CI draws from more than it has time for it draws anew each day; FAULTS_SEED in the environment, a day such as 2026-01-05, draws again
what was drawn on it.
"""

import datetime as dt
import os

import pytest

IS_TORTURE = os.environ.get("TORTURE") == "1"
SEED = os.environ.get("FAULTS_SEED") or dt.datetime.now(dt.UTC).date().isoformat()
# What CI has no time for, and what is tried there in another way.
torture_only = pytest.mark.skipif(not IS_TORTURE, reason="tried by `make torture`")


def examples(n: int, *, torture: int) -> int:
    """Return how many examples to try."""
    return torture if IS_TORTURE else n
