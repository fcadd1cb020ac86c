"""The notebook runs from its first cell to its last on the published copy alone, and neither shows nor stores a person.

Its cells run here in one namespace, which needs no Jupyter. Not here: how it looks; `make notebook` stores that.
"""

import ast
import json
import re
import shutil
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
import pytest

from profile_pipeline_tests.conftest import ROOT, World

NOTEBOOK = ROOT / "docs" / "notebooks" / "profiles.ipynb"
CELLS = [cell for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
PERSON = re.compile(r"\bp[0-9a-f]{20}\b|\bu\d{7}\b|\b(?:user|anonymous|device|email|phone):")


def told_by(value: Any) -> str:
    """What Jupyter would show of a value."""
    for way in ("_repr_svg_", "_repr_html_"):
        if hasattr(value, way):
            return str(getattr(value, way)())
    return "" if value is None else repr(value)


def run(source: str, namespace: dict[str, Any]) -> str:
    """Run a cell; return what its last expression shows."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, NOTEBOOK.name, "exec"), namespace)
    return told_by(eval(compile(ast.Expression(last.value), NOTEBOOK.name, "eval"), namespace)) if last else ""


@pytest.fixture
def shown(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the cells show on the small world, of which only the published copy is there."""
    shutil.copy(world.paths.serving, tmp_path / "serving.duckdb")
    monkeypatch.setenv("PROFILE_PIPELINE_DATA", str(tmp_path))
    monkeypatch.chdir(NOTEBOOK.parent)
    namespace: dict[str, Any] = {}
    with mpl.rc_context(), pd.option_context("display.float_format", None):
        return [run("".join(cell["source"]), namespace) for cell in CELLS]


def test_the_notebook_reads_nothing_but_the_published_copy_and_shows_nobody(shown: list[str], world: World) -> None:
    pictures = [text for text in shown if text.startswith("<svg")]
    tables = [text for text in shown if "<table" in text]
    assert len(pictures) >= 6
    assert len(tables) >= 6
    people = {name for row in world.rows("select alias_id, profile_id from cleaned.identities") for name in row}
    whole = "\n".join(shown)
    assert not [
        name for name in people if name in whole or (name.partition(":")[2] and name.partition(":")[2] in whole)
    ]


def test_chinese_labels_are_text_in_its_pictures(shown: list[str]) -> None:
    pictures = "\n".join(text for text in shown if text.startswith("<svg"))
    words = set(re.findall(r"<text[^>]*>([^<]*[\u4e00-\u9fff][^<]*)</text>", pictures))
    assert {"标签覆盖率 Coverage of tags", "搜索兴趣 What people search for", "性别 gender", "蓝牙耳机"} <= words


def test_its_stored_outputs_are_those_of_one_whole_run_and_hold_nobody() -> None:
    assert [cell["execution_count"] for cell in CELLS] == list(range(1, len(CELLS) + 1))
    outputs = [output for cell in CELLS for output in cell["outputs"]]
    assert {output["output_type"] for output in outputs} == {"execute_result"}
    assert len(outputs) >= 12
    assert PERSON.findall(json.dumps(outputs)) == []


def test_a_person_in_an_output_would_be_found() -> None:
    assert PERSON.search("p6daf61bb15aa1c6ea285") and PERSON.search("u0001424") and PERSON.search("user:42")
