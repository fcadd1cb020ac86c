"""Commands that care for an installation: what is wrong with it, and starting anew.

Not here: what `doctor` looks at (`orchestration.keeping.doctor`).
"""

import shutil
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from profile_pipeline.commands.terminal import (
    CommandError,
    ConfigOption,
    DataOption,
    JsonOption,
    YesOption,
    cell,
    opened,
    out,
    print_json,
    print_measured,
    say,
)
from profile_pipeline.paths import Paths
from profile_pipeline.wording import counted

if TYPE_CHECKING:
    from profile_pipeline.orchestration.building.balance import Balance


def doctor(as_json: JsonOption = False, config: ConfigOption = None, data: DataOption = None) -> None:
    """Say what is wrong with this installation and which command mends it, and what came of the last ten files."""
    from profile_pipeline.orchestration.keeping.doctor import examine

    paths = Paths.from_environment(config=config, data=data)
    examined = examine(paths)
    if as_json:
        print_json(asdict(examined))
    else:
        for finding in examined.findings:
            out.print(
                f"[{'green' if finding.is_ok else 'red'}]{'ok  ' if finding.is_ok else 'bad '}[/] {escape(finding.what)}",
                highlight=False,
                soft_wrap=True,
            )
            if finding.remedy:
                out.print(f"     {finding.remedy}", style="dim", highlight=False, markup=False, soft_wrap=True)
        if examined.balance is not None:
            _print_balance(examined.balance)
        if examined.files:
            table = Table("file", "status", "loaded", "waiting", title="the last ten files", title_justify="left")
            for f in examined.files:
                table.add_row(cell(f["path"]), cell(f["status"]), f"{f['n_loaded']:,}", f"{f['n_waiting']:,}")
            out.print(table)
    raise typer.Exit(0 if all(f.is_ok for f in examined.findings) else 1)


def _print_balance(balance: "Balance") -> None:
    """Records read = kept + cleaned + excluded + waiting + rejected + suppressed, by source and in whole."""
    if not balance.sources:
        return
    places = [name for name in balance.sources[0] if name != "source"]
    title = "where the records are: read = " + " + ".join(places[1:])
    table = Table("source", *places, title=title, title_justify="left")
    for row in balance.sources:
        table.add_row(row["source"], *(f"{row[name]:,}" for name in places))
    out.print(table)
    if balance.excluded:
        told = ", ".join(f"{n:,} {reason}" for reason, n in balance.excluded.items())
        out.print(f"excluded: {told}", highlight=False, markup=False, soft_wrap=True)


def rebuild(
    source: Annotated[
        list[str] | None,
        typer.Option("--source", help="read only the files of this entry of `sources:` anew; may be given again"),
    ] = None,
    yes: YesOption = False,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Build all tables anew from the archive with the configuration as it is now; until that is done those that stand stay."""
    from profile_pipeline.orchestration.keeping.rebuilding import rebuild as rebuild_tables
    from profile_pipeline.raw.archive import ids_of

    settings, paths = opened(config, data)
    sources = tuple(dict.fromkeys(source or ()))
    wrong = [name for name in sources if name not in settings.sources]
    if wrong:
        raise CommandError(
            f"found the sources {', '.join(wrong)}, expected some of {', '.join(settings.sources)}. Files of a source that is gone are read anew by: profile-pipeline rebuild"
        )
    if not ids_of(paths.archive):
        raise CommandError(
            f"{paths.archive} holds no file that was delivered: nothing can be built from it. Restore a backup, or put files into {paths.landing}, then: profile-pipeline run"
        )
    what = f"the files of {', '.join(sources)}" if sources else "all files"
    out.print(
        f"{what} in {paths.archive} are read anew, and all tables built from them; others wait meanwhile",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    if not yes and not typer.confirm(f"Replace {paths.warehouse} when that is done?"):
        raise typer.Exit(1)
    print_measured(rebuild_tables(settings, paths, sources=sources, say=say).measured.stages, {})


def reset(yes: YesOption = False, data: DataOption = None) -> None:
    """Remove all data for good: database, archive, landed files, reports, exports, history of runs. Backups stay."""
    from profile_pipeline.warehouse.lease import holder_of

    paths = Paths.from_environment(data=data)
    parts = [p for p in paths.own_folders if p.exists()]
    # The lease's file stays: its inode is the lock of whoever waits for it.
    parts += sorted(p for p in paths.data.glob("*.duckdb*") if p.suffix != ".lease") if paths.data.is_dir() else []
    parts += [paths.serving_is_behind] if paths.serving_is_behind.exists() else []
    if not parts:
        out.print(f"nothing to remove in {paths.data}", markup=False, soft_wrap=True)
        return
    holder = holder_of(paths.warehouse.with_suffix(".duckdb.lease"))
    if holder:
        raise CommandError(f"the warehouse is in use by {holder}. Stop it first.")
    holder = holder_of(paths.ui_lock)
    if holder:
        raise CommandError(f"{holder} is running, and would go on without its history. Stop it first.")
    for part in parts:
        n_files = sum(1 for p in part.rglob("*") if p.is_file()) if part.is_dir() else 1
        out.print(f"{part}  ({counted(n_files, 'file')})", highlight=False, markup=False, soft_wrap=True)
    if not yes and not typer.confirm("Remove all of this for good?"):
        raise typer.Exit(1)
    for part in parts:
        if part.is_dir():
            shutil.rmtree(part)
        else:
            part.unlink(missing_ok=True)
    stay = f"; the backups in {paths.backups} stay" if paths.backups.exists() else ""
    out.print(f"removed{stay}", markup=False, soft_wrap=True)
