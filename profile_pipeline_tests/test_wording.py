"""One is told from several."""

import pytest

from profile_pipeline.wording import counted


@pytest.mark.parametrize(
    ("n", "told"), [(0, "0 files were"), (1, "1 file was"), (2, "2 files were"), (1_024, "1,024 files were")]
)
def test_one_is_told_from_none_and_several(n: int, told: str) -> None:
    assert counted(n, "file was", "files were") == told
    assert counted(n, "file") == told.rpartition(" ")[0]
