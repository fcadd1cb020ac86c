"""Commands that care for an installation: what is wrong with it, and starting anew.

Not here: what `doctor` looks at (`orchestration.doctor`).
"""

import shutil
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from profile_pipeline.commands.terminal import CommandError, ConfigOption, DataOption, JsonOption, out, print_json
from profile_pipeline.paths import Paths


def doctor(as_json: JsonOption = False, config: ConfigOption = None, data: DataOption = None) -> None:
    """Say what is wrong with this installation and which command mends it, and what came of the last ten files."""
    from profile_pipeline.orchestration.doctor import examine

    paths = Paths.from_environment(config=config, data=data)
    findings, files = examine(paths)
    if as_json:
        print_json({"findings": [f.__dict__ for f in findings], "files": files})
    else:
        for finding in findings:
            out.print(
                f"[{'green' if finding.is_ok else 'red'}]{'ok  ' if finding.is_ok else 'bad '}[/] {escape(finding.what)}",
                highlight=False,
                soft_wrap=True,
            )
            if finding.remedy:
                out.print(f"     {finding.remedy}", style="dim", highlight=False, markup=False, soft_wrap=True)
        if files:
            table = Table("file", "status", "loaded", "waiting", title="the last ten files", title_justify="left")
            for f in files:
                table.add_row(f["path"], f["status"], f"{f['n_loaded']:,}", f"{f['n_waiting']:,}")
            out.print(table)
    raise typer.Exit(0 if all(f.is_ok for f in findings) else 1)


def reset(yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False, data: DataOption = None) -> None:
    """Remove all data for good: database, archive, landed files, reports, exports, history of runs."""
    from profile_pipeline.warehouse.lease import holder_of

    paths = Paths.from_environment(data=data)
    parts = [
        p
        for p in (paths.landing, paths.archive, paths.truth, paths.reports, paths.exports, paths.dagster_home)
        if p.exists()
    ]
    # The lease's file stays: its inode is the lock of whoever waits for it.
    parts += sorted(p for p in paths.data.glob("*.duckdb*") if p.suffix != ".lease") if paths.data.is_dir() else []
    parts += [mark for mark in (paths.serving_is_behind, paths.profiles_are_behind) if mark.exists()]
    if not parts:
        out.print(f"nothing to remove in {paths.data}")
        return
    holder = holder_of(paths.warehouse.with_suffix(".duckdb.lease"))
    if holder:
        raise CommandError(f"the warehouse is in use by {holder}. Stop it first.")
    holder = holder_of(paths.ui_lock)
    if holder:
        raise CommandError(f"{holder} is running, and would go on without its history. Stop it first.")
    for part in parts:
        n_files = sum(1 for p in part.rglob("*") if p.is_file()) if part.is_dir() else 1
        out.print(f"{part}  ({n_files} files)", highlight=False)
    if not yes and not typer.confirm("Remove all of this for good?"):
        raise typer.Exit(1)
    for part in parts:
        if part.is_dir():
            shutil.rmtree(part)
        else:
            part.unlink(missing_ok=True)
    out.print("removed")
