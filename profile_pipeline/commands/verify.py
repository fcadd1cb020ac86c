"""The command that holds the tables against the records they were made of.

Not here: what is compared, or how (`orchestration.verifying.verify`).
"""

from contextlib import closing
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from profile_pipeline.commands.terminal import (
    ConfigOption,
    DataOption,
    JsonOption,
    opened,
    out,
    print_json,
    require_warehouse,
    say,
)
from profile_pipeline.wording import counted

if TYPE_CHECKING:
    from profile_pipeline.orchestration.verifying.verify import Verdict

SHOWN_OF_EACH = 3


def verify(
    sample: Annotated[int, typer.Option("--sample", min=1, help="how many people to look at")] = 20,
    seed: Annotated[
        str | None, typer.Option("--seed", help="draws people and days; else the newest day does, and each day others")
    ] = None,
    is_every_file: Annotated[
        bool, typer.Option("--all-files", help="read every file of the archive again, not only some")
    ] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Compute the tables of some people and days again from raw, by other code, and compare them to the bit."""
    from profile_pipeline.orchestration.instance import open_instance
    from profile_pipeline.orchestration.keeping.behind import has_new_versions, is_outscored
    from profile_pipeline.orchestration.resources import open_warehouse
    from profile_pipeline.orchestration.verifying.missing import missing
    from profile_pipeline.orchestration.verifying.verify import remedies, verify

    settings, paths = opened(config, data)
    require_warehouse(paths)
    with (
        closing(
            open_warehouse(settings, paths, owner="profile-pipeline verify", say=say, is_read_only=True)
        ) as warehouse,
        open_instance(paths) as instance,
    ):
        verdict = verify(
            warehouse,
            settings,
            n_people=sample,
            has_new_versions=has_new_versions(warehouse, instance, settings),
            is_outscored=partial(is_outscored, instance),
            seed=seed,
            missing=missing(warehouse, settings, paths, instance),
            archive=paths.archive,
            is_every_file=is_every_file,
        )
    mended_by = remedies(verdict.differences, settings)
    if as_json:
        print_json(
            {
                "n_people": verdict.n_people, "days": verdict.days, "n_balances": verdict.n_balances, "behind": verdict.behind,
                "n_rows": verdict.comparison.n_rows, "n_cells": verdict.comparison.n_cells,
                "left_out": sorted(verdict.left_out), "n_files": verdict.archive.n_files, "n_archived_records": verdict.archive.n_records,
                "differences": [d.__dict__ for d in verdict.differences], "remedies": mended_by,
            }
        )  # fmt: skip
    else:
        _tell(verdict)
        for table, found in groupby(sorted(verdict.differences, key=lambda d: d.table), key=lambda d: d.table):
            of_table = list(found)
            out.print(f"[red]bad [/] {table}: {counted(len(of_table), 'difference')}", highlight=False, soft_wrap=True)
            for d in of_table[:SHOWN_OF_EACH]:
                place = ", ".join(part for part in (d.day, d.row, d.column) if part)
                told = f"{place}: found {d.found}, expected {d.expected}"
                out.print(f"     {escape(told)}", highlight=False, soft_wrap=True)
        for remedy in mended_by:
            out.print(f"to mend it: {remedy}", highlight=False, markup=False, soft_wrap=True)
    raise typer.Exit(1 if verdict.differences else 0)


def _tell(verdict: "Verdict") -> None:
    """Say what was compared, and what was left out."""
    days = ", ".join(map(str, verdict.days))
    compared = verdict.comparison
    out.print(f"{counted(verdict.n_people, 'person', 'people')}, snapshots of {days}", highlight=False, soft_wrap=True)
    table = Table("table", "rows", "cells")
    for name, n_rows in compared.n_rows.items():
        table.add_row(name, f"{n_rows:,}", f"{compared.n_cells[name]:,}")
    out.print(table)
    read = verdict.archive
    out.print(
        f"{read.n_files:,} of {counted(read.of_files, 'file')} of the archive read again, {counted(read.n_records, 'record')}"
        + ("" if read.n_files == read.of_files else "; all of them with --all-files"),
        highlight=False,
        soft_wrap=True,
    )
    if read.n_recoverable:
        waiting = counted(read.n_recoverable, "record was", "records were")
        out.print(
            f"left out: {waiting} rejected and could be loaded now: profile-pipeline rejected recover",
            highlight=False,
            soft_wrap=True,
        )
    for line in [*verdict.behind, *sorted(verdict.left_out)]:
        out.print(f"left out: {line}", highlight=False, soft_wrap=True)
    n_cells = sum(compared.n_cells.values())
    balanced = f"{counted(n_cells, 'cell')} compared, {counted(verdict.n_balances, 'balance')} of whole tables drawn up"
    is_all = not verdict.behind and not verdict.left_out
    good = "all as it should be" if is_all else "all that was not left out is as it should be"
    out.print(
        f"{balanced}: {counted(len(verdict.differences), 'difference') if verdict.differences else good}",
        style="bold",
        highlight=False,
        soft_wrap=True,
    )
