"""Lines matched by shape say what the strict parser says of them, and nothing that it refuses is matched."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from profile_pipeline.raw.readers import jsonl
from profile_pipeline.raw.readers.json_shapes import Lines, Shape, learn
from profile_pipeline.raw.readers.json_texts import Texts
from profile_pipeline.raw.readers.jsonl import JsonReader
from profile_pipeline.raw.readers.records import Rejects
from profile_pipeline.source_settings import SourceSettings

SOURCE = SourceSettings(
    table="events", path="x/*.jsonl", format="jsonl", columns={"event_time": "at", "event_type": "what"}
)
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**20), 10**20), st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=6), st.sampled_from(["", "a", "é", '"', "\\", "\t", "null", "1"]), st.lists(st.text(max_size=3), max_size=2),
)  # fmt: skip
RECORDS = st.dictionaries(
    st.sampled_from(["at", "what", "x", "a.b"]),
    st.one_of(LEAVES, st.dictionaries(st.sampled_from(["b", "c"]), LEAVES, max_size=2)),
    min_size=1,
    max_size=4,
)
SPACING = st.sampled_from([(",", ":"), (", ", ": "), (",  ", " :")])


def parsed_one_by_one(lines: list[str]) -> list[dict[str, Any] | None]:
    """What the strict parser alone makes of each line; None where it refuses it."""
    found: list[dict[str, Any] | None] = []
    for line in lines:
        fields: dict[str, Any] = {}
        try:
            jsonl.flatten(jsonl._DECODER.decode(line), fields, set())
        except ValueError:
            found.append(None)
        else:
            found.append({name: value for name, value in fields.items() if value is not None})
    return found


def read(path: Path, lines: list[str]) -> list[dict[str, Any] | None]:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    found: dict[int, dict[str, Any] | None] = {}
    rejects = Rejects()
    for batch in JsonReader(path, SOURCE, rejects).batches():
        for row, number in enumerate(batch.row_numbers.to_pylist()):
            values = {name: column[row].as_py() for name, column in batch.columns.items()}
            found[number] = {name: value for name, value in values.items() if value is not None}
    found |= dict.fromkeys(rejects.row_numbers)
    return [found[number] for number in range(1, len(lines) + 1)]


def alone_or_list(record: dict[str, Any] | None, lists: set[str]) -> dict[str, Any] | None:
    """A column that is a list in one record of a batch holds lists of one elsewhere."""
    if record is None:
        return None
    return {name: [v] if name in lists and not isinstance(v, list) else v for name, v in record.items()}


@given(records=st.lists(RECORDS, min_size=1, max_size=8), spacing=SPACING, data=st.data())
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_lines_say_the_same_by_shape_as_one_by_one(
    records: list[dict[str, Any]], spacing: tuple[str, str], data: st.DataObject, tmp_path: Path
) -> None:
    lines = [json.dumps(record, ensure_ascii=False, separators=spacing) for record in records * 2]
    cut = data.draw(st.integers(0, len(lines) - 1))
    place = data.draw(st.integers(1, len(lines[cut])))
    lines[cut] = lines[cut][: place - 1] + data.draw(st.sampled_from(['"', ",", "}", "0", "N"])) + lines[cut][place:]
    expected = parsed_one_by_one(lines)
    lists = {name for record in expected if record for name, value in record.items() if isinstance(value, list)}
    assert read(tmp_path / "x.jsonl", lines) == [alone_or_list(record, lists) for record in expected]


def said(lines: list[str], *, like: str) -> list[dict[str, Any] | None]:
    """What lines say that are written like one; None where they are not."""
    shapes: list[Shape] = []
    assert learn(like, shapes)
    matched = Lines(Texts.of([line.encode() for line in lines])).take(shapes[0])
    found: list[dict[str, Any] | None] = [None] * len(lines)
    if matched is not None:
        for place, row in enumerate(matched.rows.tolist()):
            found[row] = {name: column[place].as_py() for name, column in matched.columns.items()}
    return found


@pytest.mark.parametrize(
    "text",
    [
        '{"a": "x", "b": 01}',
        '{"a": "x", "b": NaN}',
        '{"a": "x", "b": 1,}',
        '{"a": "x", "a": "y"}',
        '{"a": "x\ty", "b": 1}',
        '{"a": "\\u0041", "b": 1}',
        '{"a": "x", "b": 1} {"a": "x", "b": 1}',
        '{"a": "x", "b": ١}',
        '{"a": "x", "b": 1',
        '{"a": "x", "b": }',
        '{"a": "x", "b": nul}',
        '{"a": "x", "b": nullify}',
        '{"a": "x, "b": 1}',
        '{"a": "x", "b": "1}',
        '{"a":"x","b":1}',
        '{"b": 1, "a": "x"}',
        "",
    ],
)
def test_what_is_not_plainly_the_shape_is_left_to_the_parser(text: str) -> None:
    around = '{"a": "y", "b": 2}'
    known = {"a": "y", "b": "2"}
    assert said([around, text, around], like='{"a": "x", "b": 1}') == [known, None, known]


def test_a_value_may_be_of_another_kind_than_the_one_the_shape_was_made_of() -> None:
    lines = [f'{{"a": "x", "b": {value}}}' for value in ('"1"', "1.50", "null", "true", "-0.1e+7", '""', '"Ω"')]
    found = said(lines, like='{"a": "x", "b": "1"}')
    assert [line and line["b"] for line in found] == ["1", "1.50", None, "true", "-0.1e+7", "", "Ω"]


def test_a_line_that_is_no_text_is_left_to_the_parser_and_no_other() -> None:
    shapes: list[Shape] = []
    learn('{"a": "x"}', shapes)
    matched = Lines(Texts.of([b'{"a": "\xce\xa9"}', b'{"a": "\xff"}', b'{"a": "y"}\r'])).take(shapes[0])
    assert matched is not None
    assert (matched.rows.tolist(), matched.columns["a"].to_pylist()) == ([0, 2], ["Ω", "y"])


@pytest.mark.parametrize("text", ['{"a": ["x"]}', "{}", '{"a.b": "x", "a": {"b": "y"}}', '{"a": "\\n"}'])
def test_no_shape_is_made_of_lists_of_nothing_of_one_name_twice_or_of_escapes(text: str) -> None:
    assert not learn(text, [])
