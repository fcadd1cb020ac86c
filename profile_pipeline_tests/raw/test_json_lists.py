import json
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profile_pipeline.raw.proposing.dialect import SampleError
from profile_pipeline.raw.proposing.json_lists import list_within
from profile_pipeline.raw.proposing.propose import propose
from profile_pipeline.raw.proposing.sample import sample_of_text
from profile_pipeline.raw.readers.sampling import sample_of

EVENTS = [{"user_id": f"u{i % 9}", "at": f"2026-01-{i % 28 + 1:02d}", "action": "view"} for i in range(300)]
WRAPPED = {"meta": {"n": 300}, "data": {"items": EVENTS}}


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize(
    ("tree", "path", "cut"),
    [
        (WRAPPED, "data.items", ".data.items[]"),
        ([WRAPPED], "data.items", ".[].data.items[]"),
        ({"a": [{"b": 1}] * 2, "odd key": {"it's": EVENTS}}, "odd key.it's", """.["odd key"]["it's"][]"""),
        ({"user_id": "u1", "at": "2026-01-01", "events": EVENTS}, "events", ".events[]"),
    ],
)
def test_one_object_that_holds_the_records_is_told_with_the_command_that_cuts_it(
    tree: object, path: str, cut: str, indent: int | None, tmp_path: Path
) -> None:
    text = json.dumps(tree, indent=indent)
    with pytest.raises(SampleError) as refused:
        propose(sample_of_text(text.encode(), tmp_path / "page 1.json"))
    said = str(refused.value)
    assert f"found one object, of which {path} holds 300 objects" in said
    command = said.partition("They become lines with: ")[2].partition(" (if")[0]
    file = f"{tmp_path}/page 1.json"
    assert shlex.split(command) == ["jq", "-c", cut, file, ">", f"{file}.jsonl"]
    if shutil.which("jq"):
        (tmp_path / "page 1.json").write_text(text)
        subprocess.run(["sh", "-c", command], check=True)
        made = (tmp_path / "page 1.json.jsonl").read_text()
        assert [json.loads(line) for line in made.splitlines()] == EVENTS


@pytest.mark.parametrize("indent", [None, 2])
def test_of_one_object_that_is_too_large_to_look_at_the_list_is_told_as_well(
    indent: int | None, tmp_path: Path
) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(WRAPPED, indent=indent))
    content = sample_of(path, limit_bytes=9000).content
    with pytest.raises(SampleError, match=r"data.items holds many objects, .*jq -c '.data.items\[\]'"):
        sample_of_text(content, "a.json")


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(EVENTS), "\n".join(map(json.dumps, EVENTS)), json.dumps({"user_id": "u1", "tags": ["a", "b"]}),
        json.dumps({"id": 1, "lines": [{"sku": "a"}]}), json.dumps(WRAPPED) + "\n" + json.dumps(WRAPPED), "{}", "[]", "[1]", "", "{",
        '{"order": 1, "lines": [{"sku": "a"}, {"sku": "b"}], "damaged": }\n{"order": 2}\n', '{"a":' * 100_000,
    ],
    ids=range(12),
)  # fmt: skip
def test_lists_within_records_and_damaged_records_are_no_such_list(text: str) -> None:
    assert list_within(text, Path("a.json")) is None


def test_one_object_is_a_record_where_its_table_is_named() -> None:
    order = {"user_id": "u1", "action": "buy", "time": "2026-01-02T10:00:00Z", "lines": [{"sku": "a"}, {"sku": "b"}]}
    columns = propose(sample_of_text(json.dumps(order).encode(), "a.json"), table="events").settings["columns"]
    assert columns["user_id"] == "user_id"


@given(st.integers(0, 2000))
def test_wherever_a_text_is_cut_the_list_is_that_of_the_whole_or_none(end: int) -> None:
    found = list_within(json.dumps({"a": {"b": [{}, {}]}, "c": {"d": EVENTS[:20]}})[:end], Path("a.json"))
    assert found is None or found.path in (("a", "b"), ("c", "d"))
