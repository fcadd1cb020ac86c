"""What comes from data is shown by a terminal, and not obeyed by it."""

import io
import json

import pytest
from rich.table import Column, Table
from rich.text import Text

from profile_pipeline.commands import terminal
from profile_pipeline.commands.terminal import Terminal, cell, print_json

HOSTILE = "a\x1b[2Jb\x9b31mc\u202egnp.exe\u2066d\x07e\x7f\udcff"
SHOWN = r"a\x1b[2Jb\x9b31mc\u202egnp.exe\u2066d\x07e\x7f\udcff"
OBEYED = "\x1b\x9b\u202e\u2066\x07\x7f\udcff"


def printed(thing: object, **how: object) -> str:
    file = io.StringIO()
    Terminal(file=file, width=200).print(thing, **how)
    return file.getvalue()


def test_what_a_terminal_would_obey_is_shown() -> None:
    assert printed(HOSTILE, markup=False).strip() == SHOWN


def test_cells_of_tables_are_shown_too() -> None:
    table = Table(Column(Text(HOSTILE)))
    table.add_row(Text(HOSTILE))
    assert [c for c in OBEYED if c in printed(table)] == []
    assert r"\x1b[2J" in printed(table)
    table = Table(Column(cell(HOSTILE)))
    table.add_row(cell(HOSTILE))
    assert printed(table).count(SHOWN) == 2


@pytest.mark.parametrize("text", ["用户画像", "a\u3000b", "naïve €", "line\nline", "[red]x"])
def test_plain_text_of_any_alphabet_is_printed_as_it_is(text: str) -> None:
    assert printed(text, markup=False, highlight=False) == text + "\n"


def test_json_says_the_same_and_is_not_obeyed_either(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({HOSTILE: "用户\U000e0001"})
    said = capsys.readouterr().out
    assert [c for c in OBEYED + "\U000e0001" if c in said] == []
    assert json.loads(said) == {HOSTILE: "用户\U000e0001"}
    assert "用户" in said


def test_commands_print_nowhere_else() -> None:
    assert isinstance(terminal.out, Terminal)
    assert isinstance(terminal.err, Terminal)
