"""What the commands share: the terminal, the options that most of them have, and how a mistake of the user is told.

Not here: any command.
"""

import datetime as dt
import json
import sys
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from profile_pipeline.errors import ExpectedError
from profile_pipeline.paths import Paths
from profile_pipeline.settings import Settings
from profile_pipeline.shell import word

# Categories of characters that a terminal obeys, or that hide or turn around others: of names and values they are shown, not sent.
UNPRINTABLE = ("Cc", "Cf", "Cs", "Zl", "Zp")


def printable(text: str) -> str:
    r"""Return a text with control characters, overrides of direction and halves of characters written as \x1b or \u202e."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        c if c in "\n\t" or unicodedata.category(c) not in UNPRINTABLE else c.encode("unicode_escape").decode()
        for c in text
    )


def cell(text: str, **how: Any) -> Text:
    """Return a text that comes from data as a cell of a table: as wide as it is shown, and never markup."""
    return Text(printable(text), **how)


class Terminal(Console):
    """Where commands print: whatever comes from data reaches it as text."""

    def print(self, *objects: Any, **how: Any) -> None:
        super().print(*(printable(o) if isinstance(o, str) else o for o in objects), **how)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render what is no plain string: tables, cards."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)


out, err = Terminal(), Terminal(stderr=True)

ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="profile.yaml; else PROFILE_PIPELINE_CONFIG, else ./profile.yaml")
]
DataOption = Annotated[Path | None, typer.Option("--data", help="data folder; else PROFILE_PIPELINE_DATA, else ./data")]
YesOption = Annotated[bool, typer.Option("--yes", help="do not ask")]
JsonOption = Annotated[bool, typer.Option("--json", help="print JSON")]


class CommandError(ExpectedError):
    """The command can't do what was asked; the text says what to do."""


def say(text: str) -> None:
    """Tell progress."""
    err.print(text, style="dim", highlight=False, markup=False, soft_wrap=True)


def print_json(value: object) -> None:
    """Print to standard output: no colours, no wrapping; what a terminal would obey is escaped as JSON does it."""
    told = json.dumps(value, ensure_ascii=False, default=str, indent=1)
    sys.stdout.write("\n".join(map(_escaped_json, told.split("\n"))) + "\n")


def _escaped_json(line: str) -> str:
    if printable(line) == line:
        return line
    return "".join(c if printable(c) == c else json.dumps(c)[1:-1] for c in line)


def opened(config: Path | None, data: Path | None) -> tuple[Settings, Paths]:
    """Return the checked configuration and where things are."""
    from profile_pipeline.orchestration.configuration import load_checked

    paths = Paths.from_environment(config=config, data=data)
    return load_checked(paths), paths


def print_next(command: str, config: Path | None, data: Path | None, *, before: str = "next: ") -> None:
    """Print the command that comes next: for the configuration and the folder that this one was given."""
    given = (f" --config {word(config)}" if config else "") + (f" --data {word(data)}" if data else "")
    out.print(f"{before}profile-pipeline {command}{given}", style="bold", highlight=False, markup=False, soft_wrap=True)


def require_warehouse(paths: Paths) -> None:
    """Refuse a command that looks at tables where nothing was built yet.

    Raises
    ------
    CommandError
        With the command that builds them.
    """
    if not paths.warehouse.exists():
        raise CommandError(f"{paths.warehouse} is not there. Run `profile-pipeline run` first.")


def day_of(text: str) -> dt.date:
    """Read a day that a person typed."""
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise CommandError(f"found {text!r}, expected a day as YYYY-MM-DD") from None


def print_measured(stages: dict[str, tuple[float, float]], budget: dict[str, float]) -> None:
    """Print what each stage took, beside its budget where it has one."""
    if not stages:
        out.print("nothing waits: everything is built")
        return
    table = Table("stage", "seconds", "CPU seconds", *(["budget"] if budget else []))
    order = [*budget, *stages]
    for name, (wall, cpu) in sorted(stages.items(), key=lambda stage: order.index(stage[0])):
        table.add_row(name, f"{wall:.1f}", f"{cpu:.1f}", *([str(budget.get(name, ""))] if budget else []))
    table.add_row(
        "all",
        f"{sum(w for w, _ in stages.values()):.1f}",
        f"{sum(c for _, c in stages.values()):.1f}",
        *([str(sum(budget.values()))] if budget else []),
    )
    out.print(table)
