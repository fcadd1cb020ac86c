"""Commands about records that could not be loaded. `show` is the one place where their text is told.

Not here: what is done with them (`orchestration.keeping.recovering`), or why they are rejected (`raw.readers.reasons`).
"""

import datetime as dt
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from profile_pipeline.commands.terminal import (
    CommandError,
    ConfigOption,
    DataOption,
    JsonOption,
    cell,
    opened,
    out,
    print_json,
    print_next,
    require_warehouse,
    say,
)
from profile_pipeline.paths import Paths
from profile_pipeline.raw.readers.reasons import OF_RECORDS, remedy_of
from profile_pipeline.settings import Settings
from profile_pipeline.wording import counted

if TYPE_CHECKING:
    from profile_pipeline.warehouse.duckdb import Warehouse

SourceOption = Annotated[str | None, typer.Option("--source", help="of this entry of `sources:`")]
ReasonOption = Annotated[str | None, typer.Option("--reason", help="rejected for this reason, such as bad_time")]
FileOption = Annotated[
    str | None, typer.Option("--file", help="of this file: its path as delivered, or the beginning of its id")
]
DismissedOption = Annotated[
    bool, typer.Option("--dismissed", help="those that were dismissed, instead of those that wait")
]


def list_rejected(
    source: SourceOption = None,
    reason: ReasonOption = None,
    file: FileOption = None,
    dismissed: DismissedOption = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Count the rejected records by source and reason, and say what can be done."""
    from profile_pipeline.orchestration.keeping.recovering import Selection, rejected_groups

    with _warehouse(*opened(config, data)) as w:
        _require_known(w, source, reason, file)
        groups = rejected_groups(w, Selection(source, reason, file, dismissed))
    if as_json:
        print_json([group | {"remedy": remedy_of(group["reason_code"])} for group in groups])
        return
    if not groups:
        out.print("no such record")
        return
    table = Table("source", "reason", "records", "files", "the first of them", title_justify="left")
    for g in groups:
        first = f"{g['first_file']} at {g['first_row']:,}"
        table.add_row(g["source"], g["reason_code"], f"{g['n_records']:,}", f"{g['n_files']:,}", cell(first))
    out.print(table)
    for code in dict.fromkeys(g["reason_code"] for g in groups):
        out.print(f"{code}: {remedy_of(code)}", highlight=False, markup=False, soft_wrap=True)


def show_rejected(
    source: SourceOption = None,
    reason: ReasonOption = None,
    file: FileOption = None,
    dismissed: DismissedOption = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="at most so many")] = 20,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Print rejected records as they were delivered: they may hold personal data."""
    from profile_pipeline.orchestration.keeping.recovering import Selection, rejected_groups, rejected_records

    selection = Selection(source, reason, file, dismissed)
    with _warehouse(*opened(config, data)) as w:
        _require_known(w, source, reason, file)
        records = rejected_records(w, selection, limit=limit)
        n_all = sum(group["n_records"] for group in rejected_groups(w, selection))
    if n_all > len(records):
        say(f"{len(records):,} of {n_all:,} records shown; all of them: --limit {n_all}")
    if as_json:
        print_json(records)
        return
    if not records:
        out.print("no such record")
    for r in records:
        out.print(
            f"{r['path']} at {r['row_number']:,}: {r['reason_code']}: {r['detail']}",
            style="bold",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
        out.print(
            r["record"] or "",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )


def recover_rejected(
    source: SourceOption = None,
    reason: ReasonOption = None,
    file: FileOption = None,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Read rejected records again with the mapping as it is now; what is right is loaded, and `run` builds on."""
    from profile_pipeline.orchestration.keeping.recovering import Selection
    from profile_pipeline.orchestration.running import Runner

    settings, paths = opened(config, data)
    with _warehouse(settings, paths) as w:
        _require_known(w, source, reason, file)
    n_recovered, n_still = Runner(settings, paths, say).recover(Selection(source, reason, file))
    out.print(f"{counted(n_recovered, 'record')} recovered, {counted(n_still, 'stays', 'stay')} rejected")
    if n_recovered:
        print_next("run", config, data)


def dismiss_rejected(
    source: SourceOption = None,
    reason: ReasonOption = None,
    file: FileOption = None,
    everything: Annotated[
        bool, typer.Option("--all", help="all of them; else give a source, a reason or a file")
    ] = False,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Note that rejected records were looked at and stay out; they go on counting as rejected."""
    from profile_pipeline.orchestration.keeping.recovering import Selection, dismiss

    if not everything and not (source or reason or file):
        raise CommandError("which records? Give --source, --reason or --file, or --all")
    with _warehouse(*opened(config, data)) as w:
        _require_known(w, source, reason, file)
        n = dismiss(w, Selection(source, reason, file), now=dt.datetime.now(dt.UTC).replace(tzinfo=None))
    out.print(f"{counted(n, 'record')} dismissed")


def _require_known(w: "Warehouse", source: str | None, reason: str | None, file: str | None) -> None:
    """Refuse what names no source, reason or file: it would look as if there were nothing to do."""
    known = [name for (name,) in w.rows("select distinct source from raw.files where source is not null order by 1")]
    if source is not None and source not in known:
        raise CommandError(f"found --source {source}, expected a source of which files were loaded: {', '.join(known)}")
    found = [code for (code,) in w.rows("select distinct reason_code from raw.rejected_records order by 1")]
    if reason is not None and reason not in (*found, *OF_RECORDS):
        raise CommandError(
            f"found --reason {reason}, expected one for which records were rejected: {', '.join(found) or 'there is none'}"
        )
    of_file = "select 1 from raw.files where path = $file or starts_with(file_id, $file) limit 1"
    if file is not None and not w.rows(of_file, {"file": file}):
        raise CommandError(
            f"found --file {file}, expected the path of a loaded file as `rejected list` shows it, or the beginning of its id"
        )


def _warehouse(settings: Settings, paths: Paths) -> "closing[Warehouse]":
    from profile_pipeline.orchestration.resources import open_warehouse

    require_warehouse(paths)
    return closing(open_warehouse(settings, paths, owner="profile-pipeline rejected", say=say))
