"""The command that holds the tables against the records they were made of.

Not here: what is compared, or how (`orchestration.verifying`).
"""

from contextlib import closing
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

if TYPE_CHECKING:
    from profile_pipeline.orchestration.verifying import Verdict

SHOWN_OF_EACH = 3


def verify(
    sample: Annotated[int, typer.Option("--sample", min=1, help="how many people to look at")] = 20,
    seed: Annotated[
        str | None, typer.Option("--seed", help="draws people and days; else the newest day does, and each day others")
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Compute the tables of some people and days again from raw, by other code, and compare them to the bit."""
    from profile_pipeline.orchestration.behind import has_new_versions
    from profile_pipeline.orchestration.instance import open_instance
    from profile_pipeline.orchestration.resources import open_warehouse
    from profile_pipeline.orchestration.verifying import remedy, verify

    settings, paths = opened(config, data)
    require_warehouse(paths)
    with (
        closing(
            open_warehouse(settings, paths, owner="profile-pipeline verify", say=say, is_read_only=True)
        ) as warehouse,
        open_instance(paths) as instance,
    ):
        is_new = has_new_versions(warehouse, instance)
        verdict = verify(warehouse, settings, n_people=sample, has_new_versions=is_new, seed=seed)
    if as_json:
        print_json(
            {
                "n_people": verdict.n_people, "days": verdict.days, "n_balances": verdict.n_balances, "behind": verdict.behind,
                "n_rows": verdict.comparison.n_rows, "n_cells": verdict.comparison.n_cells,
                "differences": [d.__dict__ | {"remedy": remedy(d, settings)} for d in verdict.differences],
            }
        )  # fmt: skip
    else:
        _tell(verdict)
        for table, found in groupby(sorted(verdict.differences, key=lambda d: d.table), key=lambda d: d.table):
            of_table = list(found)
            out.print(f"[red]bad [/] {table}: {len(of_table):,} differences", highlight=False, soft_wrap=True)
            for d in of_table[:SHOWN_OF_EACH]:
                place = ", ".join(part for part in (d.day, d.row, d.column) if part)
                told = f"{place}: found {d.found}, expected {d.expected}"
                out.print(f"     {escape(told)}", highlight=False, soft_wrap=True)
            for command in sorted({remedy(d, settings) for d in of_table})[:SHOWN_OF_EACH]:
                out.print(f"     {command}", style="dim", highlight=False, markup=False, soft_wrap=True)
    raise typer.Exit(1 if verdict.differences else 0)


def _tell(verdict: "Verdict") -> None:
    """Say what was compared, and what was left out."""
    days = ", ".join(map(str, verdict.days))
    compared = verdict.comparison
    out.print(f"{verdict.n_people:,} people, snapshots of {days}", highlight=False, soft_wrap=True)
    table = Table("table", "rows", "cells")
    for name, n_rows in compared.n_rows.items():
        table.add_row(name, f"{n_rows:,}", f"{compared.n_cells[name]:,}")
    out.print(table)
    for line in verdict.behind:
        out.print(f"left out: {line}", highlight=False, soft_wrap=True)
    n_cells = sum(compared.n_cells.values())
    balanced = f"{n_cells:,} cells compared, {verdict.n_balances} balances of whole tables drawn up"
    out.print(
        f"{balanced}: {f'{len(verdict.differences):,} differences' if verdict.differences else 'all as it should be'}",
        style="bold",
        highlight=False,
        soft_wrap=True,
    )
