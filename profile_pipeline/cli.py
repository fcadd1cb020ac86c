"""The command line: thin over the same code and the same Dagster jobs as the UI.

Here commands get their names, and mistakes their one message. Not here: any command (`commands/`).
"""

import sys
from itertools import pairwise
from pathlib import Path

import duckdb
import typer
from sqlalchemy.exc import DatabaseError

from profile_pipeline.commands.backups import backup, restore
from profile_pipeline.commands.build import demo, run, ui, world
from profile_pipeline.commands.care import doctor, rebuild, reset
from profile_pipeline.commands.look import audience, show, sql
from profile_pipeline.commands.rejected import dismiss_rejected, list_rejected, recover_rejected, show_rejected
from profile_pipeline.commands.sources import add
from profile_pipeline.commands.terminal import err
from profile_pipeline.commands.training import training_set
from profile_pipeline.commands.verify import verify
from profile_pipeline.errors import ExpectedError
from profile_pipeline.paths import Paths
from profile_pipeline.warehouse.faults import AGAIN, explained, is_interrupt

# As shells say that a signal ended a command: 128 and the number of SIGINT.
INTERRUPTED = 130

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="User profiles (用户画像): files in, one explainable profile per person per day out.",
)
for command in (
    demo, run, ui, show, audience, training_set, sql, doctor, verify, backup, restore, rebuild, reset, world,
):  # fmt: skip
    app.command()(command)
sources = typer.Typer(no_args_is_help=True, help="Describe files of your own.")
sources.command()(add)
app.add_typer(sources, name="sources")
rejected = typer.Typer(
    no_args_is_help=True, help="Records that could not be loaded: see them, and load them once they are right."
)
rejected.command("list")(list_rejected)
rejected.command("show")(show_rejected)
rejected.command("recover")(recover_rejected)
rejected.command("dismiss")(dismiss_rejected)
app.add_typer(rejected, name="rejected")


def main() -> None:
    """Run a command; what is wrong with the input is one message and exit status 1, never a stack; Ctrl-C is one line and 130."""
    try:
        app()
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            _complain(f"Interrupted. {AGAIN}", INTERRUPTED)
        raise
    except ExpectedError as error:
        _complain(str(error))
    except RuntimeError as error:
        if not is_interrupt(error):
            raise
        _complain(f"Interrupted. {AGAIN}", INTERRUPTED)
    except (duckdb.Error, OSError, MemoryError, DatabaseError) as error:
        # The option's value is known to no one else by now.
        given = [Path(value) for name, value in pairwise(sys.argv) if name == "--data"]
        paths = Paths.from_environment(data=given[-1] if given else None)
        _complain(explained(str(error) or "Out of memory", paths.warehouse) or str(error))


def _complain(told: str, status: int = 1) -> None:
    err.print(told.strip(), style="red", highlight=False, markup=False, soft_wrap=True)
    sys.exit(status)


if __name__ == "__main__":
    main()
