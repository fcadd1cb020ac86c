"""docs/results.md as it is kept: what was found when it was made is what is known of the sets."""

import re

import pytest

from benchmarks.real_data.page import TARGET
from benchmarks.real_data.sets import SETS, DataSet

PAGE = TARGET.read_text(encoding="utf-8")


@pytest.mark.parametrize("dataset", SETS, ids=lambda dataset: dataset.name)
def test_each_number_that_is_known_was_found(dataset: DataSet) -> None:
    section = PAGE.split(f"## {dataset.title}\n", 1)[1].split("\n## ", 1)[0]
    known = {fact.name: fact.expected for fact in dataset.facts if fact.expected}
    found = dict(re.findall(r"^\| (.+?) \| .+ \| (.+?) \|$", section, re.MULTILINE))
    assert {name: found[name] for name in known} == known


def test_every_set_keeps_the_contract() -> None:
    assert re.findall(r"Contract of the tables: \d+ laws hold, (.+)\.", PAGE) == ["0 fail"] * len(SETS)


def test_a_history_gives_the_same_tables_in_whatever_way_it_is_delivered() -> None:
    rows = re.findall(r"^\| (.+?) \| \d+ \| (.+?) \| [\d,]+ \|$", PAGE.split("## One history", 1)[1], re.MULTILINE)
    assert len(rows) == 4
    assert {others for _, others in rows} == {"none"}
