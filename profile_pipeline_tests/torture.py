"""How long tests of the laws try: numbers for CI, or with TORTURE=1 in the environment those of `make torture`. Not here: any test."""

import os

IS_TORTURE = os.environ.get("TORTURE") == "1"


def examples(n: int, *, torture: int) -> int:
    """Return how many examples to try."""
    return torture if IS_TORTURE else n
