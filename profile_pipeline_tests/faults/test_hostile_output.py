"""What people and other programs read runs nothing: exports, cards and reports that hold what would be run, if anything were."""

import csv
import io
import json
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from profile_pipeline.applications.exports import FORMULA_STARTS, as_csv, as_jsonl
from profile_pipeline.orchestration.ui.guard import LOOPBACK, guarded
from profile_pipeline.profiles.card import render_card
from profile_pipeline_tests.faults.hostile import CALM, hostile
from profile_pipeline_tests.orchestration.test_guard import OWN, ask


@CALM
@given(st.lists(st.tuples(hostile, hostile), max_size=3), hostile)
def test_no_cell_of_an_export_begins_a_formula_and_none_breaks_out_of_its_place(rows: list[tuple[str, str]], name: str) -> None:  # fmt: skip
    told = [{"a": a, "b": b} for a, b in rows]
    read = list(csv.reader(io.StringIO(as_csv(told, ["a", "b"]).removeprefix("\ufeff"), newline="")))
    assert len(read) == 1 + len(rows)
    for cells, row in zip(read[1:], rows, strict=True):
        assert len(cells) == 2
        for cell, value in zip(cells, row, strict=True):
            assert cell in (value, f"'{value}")
            assert (
                not cell.lstrip().startswith(FORMULA_STARTS) or cell.lstrip().lstrip("-").replace(".", "", 1).isdigit()
            )
    assert [json.loads(line) for line in as_jsonl(told, ["a", "b"]).split("\n")[:-1]] == told


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "|", "%", "＝", "＋", "－", "＠", " =", "\u00a0=", "\u200b=", "\ufeff=", '"=', "-1+", "-1;=", "+1"])  # fmt: skip
def test_every_start_of_a_formula_is_defused(start: str) -> None:
    read = list(csv.reader(io.StringIO(as_csv([{"a": f"{start}cmd|' /C calc'!A0"}], ["a"]).removeprefix("\ufeff"), newline="")))  # fmt: skip
    assert read[1][0][0] in ("'", '"')
    assert not read[1][0].lstrip("\u200b\ufeff \u00a0").startswith(FORMULA_STARTS)


@CALM
@given(hostile, hostile)
def test_a_card_shows_what_it_was_given_and_runs_no_markup(value: str, title: str) -> None:
    from rich.console import Console

    profile = {"profile_id": value, "user_ids": [value], "as_of_date": "2026-01-01", "is_final": True, "segment": None}
    console = Console(
        file=io.StringIO(), width=400, force_terminal=True, color_system="truecolor", legacy_windows=False
    )
    tags = [
        {"tag": "city", "value": value, "kind": "fact", "confidence": 1.0, "evidence": json.dumps({"column": value})}
    ]
    console.print(
        render_card(
            _Known(profile), tags=tags, scores=[], recommendations=[], titles={"i": title}, traits=[], aliases=[value]
        )
    )
    assert "]8;" not in console.file.getvalue().replace(value, "")  # type: ignore[attr-defined]


class _Known(dict):
    """A profile of which everything else is null."""

    def __missing__(self, key: str) -> None:
        return None


@CALM
@given(hostile, st.sampled_from(["/reports/{}", "/reports/../{}", "/reports/%2e%2e/{}", "/reports/a/..%2f{}", "/{}", "/graphql?query={}", "/assets?x={}"]))  # fmt: skip
def test_no_address_reaches_a_file_outside_of_the_reports_or_answers_with_what_it_was_asked(text: str, address: str) -> None:  # fmt: skip
    status, headers, body = ask(_pages(), address.format(quote(text)))
    assert status in (200, 400, 404, 405)
    assert "root:" not in body
    assert "a secret" not in body
    if status != 200:
        assert headers.get("content-type", "text/plain").startswith("text/plain") or "<script" not in body


_PAGES: list[Starlette] = []


def _pages() -> Starlette:
    if not _PAGES:
        import tempfile

        folder = Path(tempfile.mkdtemp())
        (folder / "reports").mkdir()
        (folder / "secret.html").write_text("a secret", encoding="utf-8")
        routes = [Route("/{path:path}", lambda _: PlainTextResponse("let through"), methods=["GET", "POST"])]
        _PAGES.append(guarded(Starlette(routes=routes), hosts=LOOPBACK, reports=folder / "reports"))
    return _PAGES[0]


def test_the_guard_of_the_reports_is_asked_for_a_host_first() -> None:
    assert ask(_pages(), "/reports/secret.html", headers=OWN | {"host": "evil.example"})[0] == 421
