"""What the commands share: the terminal, the options that most of them have, and how a mistake of the user is told.

Not here: any command.
"""

import datetime as dt
import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from profile_pipeline.errors import ExpectedError
from profile_pipeline.paths import Paths
from profile_pipeline.settings import Settings

out, err = Console(), Console(stderr=True)

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
    """Print to standard output as it is: no colours, no wrapping."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, default=str, indent=1) + "\n")


def opened(config: Path | None, data: Path | None) -> tuple[Settings, Paths]:
    """Return the checked configuration and where things are."""
    from profile_pipeline.orchestration.configuration import load_checked

    paths = Paths.from_environment(config=config, data=data)
    return load_checked(paths), paths


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
