"""Commands about backups: taking one, and putting one in the place of what is there.

Not here: what a backup holds (`orchestration.keeping.backing_up`).
"""

import datetime as dt
from pathlib import Path
from typing import Annotated

import typer

from profile_pipeline.commands.terminal import (
    CommandError,
    ConfigOption,
    DataOption,
    YesOption,
    opened,
    out,
    print_next,
    say,
)
from profile_pipeline.paths import Paths
from profile_pipeline.shell import word


def backup(
    to: Annotated[Path | None, typer.Option("--to", help="folder for backups; else data/backups")] = None,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Copy tables, reports, history of runs and archive; whoever writes is waited for. Files of the archive are copied once."""
    from profile_pipeline.orchestration.keeping.backing_up import back_up

    settings, paths = opened(config, data)
    place = (to or paths.backups).absolute()
    folder = back_up(settings, paths, place, now=dt.datetime.now(dt.UTC).replace(tzinfo=None), say=say)
    out.print(f"{folder}", highlight=False, markup=False, soft_wrap=True)
    print_next(f"restore {word(folder)}", config, data, before="to put it back: ")


def restore(
    folder: Annotated[Path, typer.Argument(help="the folder that `backup` named")],
    yes: YesOption = False,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Put a backup in the place of tables, reports and history; what has arrived since is loaded again from the archive."""
    from profile_pipeline.orchestration.keeping.backing_up import other_configuration
    from profile_pipeline.orchestration.keeping.backing_up import restore as restore_backup
    from profile_pipeline.orchestration.running import Runner

    folder, paths = folder.absolute(), Paths.from_environment(config=config, data=data)
    other = other_configuration(paths, folder)
    take_it = f"cp {word(other)} {word(paths.config)}" if other else ""
    if other and not paths.config.exists():
        raise CommandError(f"{paths.config} is not there. Take that of the backup, then restore: {take_it}")
    settings, paths = opened(config, data)
    if other:
        out.print(
            f"{other} is not the same as {paths.config}, which a restore leaves as it is. If `run` then says that the tables were built with something else,"
            f" take that of the backup: {take_it}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    if not yes and not typer.confirm(
        f"Replace {paths.warehouse}, reports and the history of runs by those of {folder}?"
    ):
        raise typer.Exit(1)
    restore_backup(settings, paths, folder, say=say)
    out.print(f"{folder} is restored", highlight=False, markup=False, soft_wrap=True)
    Runner(settings, paths, say).catch_up()
    print_next("run", config, data)
