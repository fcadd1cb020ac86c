"""Commands about sources: a file looked at, a mapping proposed, shown on its own records, and written into `profile.yaml`.

Not here: what is proposed (`raw.proposing`), or how files are read (`raw.readers`).
"""

import datetime as dt
import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from profile_pipeline.commands.landing_commands import landing_commands
from profile_pipeline.commands.proposals import as_json_tree, print_proposal
from profile_pipeline.commands.source_groups import Asked, Group, LeftOut, groups_of
from profile_pipeline.commands.terminal import (
    CommandError,
    ConfigOption,
    DataOption,
    JsonOption,
    day_of,
    out,
    print_json,
    print_next,
)
from profile_pipeline.paths import Paths
from profile_pipeline.raw.landing import matches
from profile_pipeline.raw.proposing.propose import naive_zone
from profile_pipeline.raw.proposing.starter import Calendar, calendar_of, calendar_without_events, new_profile
from profile_pipeline.raw.proposing.yaml_text import insert_sources, source_text
from profile_pipeline.raw.tables import RECORD_TABLES
from profile_pipeline.settings import Settings
from profile_pipeline.settings_file import load_settings


def add(
    files: Annotated[list[Path], typer.Argument(help="files; those that are written alike become one source")],
    table: Annotated[
        str | None, typer.Option(help="events, users, items, relations or contacts; else told from the file")
    ] = None,
    name: Annotated[str | None, typer.Option(help="name of the source; else told from the file's name")] = None,
    day: Annotated[str | None, typer.Option(help="day of events whose file does not say it, YYYY-MM-DD")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="write without asking")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="write nothing")] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Look at files, propose a mapping, show what it makes of them, and write it into profile.yaml."""
    if table is not None and table not in RECORD_TABLES:
        raise CommandError(f"found the table {table!r}, expected one of {', '.join(RECORD_TABLES)}")
    paths = Paths.from_environment(config=config, data=data)
    present = load_settings(paths.config) if paths.config.exists() else None
    asked = Asked(table, str(day_of(day)) if day else None, name, present, paths)
    with tempfile.TemporaryDirectory(prefix="profile-pipeline-") as scratch:
        groups, left_out = groups_of(files, asked, Path(scratch))
    new = [group for group in groups if not group.is_known]
    text = _new_text(new, present, paths) if new else ""
    blocks = {g.name: source_text(g.name, g.proposed()[0].settings, g.proposed()[0].notes) for g in new}
    warnings = [w for g in groups for w in _warnings(g, present)]
    if as_json:
        is_written = bool(new) and yes and not dry_run
        if is_written:
            _write(paths.config, text)
        sources = {g.name: as_json_tree(*g.proposed(), blocks[g.name]) for g in new}
        print_json(
            {
                "sources": sources,
                "known": {g.name: g.files for g in groups if g.is_known},
                "left_out": [{"files": one.files, "why": one.why} for one in left_out],
                "warnings": warnings,
                "config": paths.config,
                "is_new": present is None,
                "is_written": is_written,
            }
        )
        return
    _print_proposals(groups, blocks, warnings, paths, is_new=present is None)
    if present is None:
        out.print(f"{paths.config} would be new:", style="bold", highlight=False, markup=False, soft_wrap=True)
        out.print(text, highlight=False, markup=False, soft_wrap=True)
    _print_left_out(left_out)
    if dry_run:
        out.print("nothing is written (--dry-run)")
        return
    verb = "Write" if present is None else "Put this into"
    if new and not yes and not typer.confirm(f"{verb} {paths.config}?"):
        raise typer.Exit(1)
    if new:
        _write(paths.config, text)
        out.print(f"written to {paths.config}", highlight=False, markup=False, soft_wrap=True)
    _print_next(groups, paths, config=config, data=data)


# ---- writing


def _new_text(groups: Sequence[Group], present: Settings | None, paths: Paths) -> str:
    """The text of the configuration with the sources in it."""
    blocks = {g.name: source_text(g.name, g.proposed()[0].settings, g.proposed()[0].notes) for g in groups}
    if present is not None:
        return insert_sources(paths.config.read_bytes().decode("utf-8"), blocks)
    currencies = {p.currency for g in groups if (p := g.proposed()[0]).currency}
    return new_profile(
        {g.name: g.proposed()[0] for g in groups},
        {g.name: g.proposed()[1].event_types for g in groups},
        _calendar(groups),
        currencies.pop() if len(currencies) == 1 else None,
    )


def _calendar(groups: Sequence[Group]) -> Calendar:
    """The days found; where there are no events, the week before the newest file was written."""
    timezone = naive_zone(g.proposed()[0] for g in groups) or "UTC"
    days: Counter[dt.date] = sum((g.proposed()[1].days for g in groups), Counter())
    if days:
        return calendar_of(days, timezone=timezone, is_of_sample=not all(g.is_whole for g in groups))
    newest = max(file.stat().st_mtime for g in groups for file in g.files)
    return calendar_without_events(dt.datetime.fromtimestamp(newest, dt.UTC).date(), timezone)


def _write(config: Path, text: str) -> None:
    """Write the configuration at once and whole, after it has been read back."""
    target = config.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("wb", dir=target.parent, prefix=f".{target.name}-", delete=False) as file:
        file.write(text.encode("utf-8"))
    temporary = Path(file.name)
    try:
        load_settings(temporary)
        if target.exists():
            shutil.copymode(target, temporary)
        else:
            temporary.chmod(0o644)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _warnings(group: Group, present: Settings | None) -> list[str]:
    """What would go wrong with this source in the configuration that is there."""
    proposal, trial = group.proposed()
    found = []
    if trial.loaded_share < 0.95:
        found.append(
            f"{group.name}: only {trial.loaded_share:.0%} of {trial.n_records:,} records would be loaded; mend the mapping before you load"
        )
    if present is None:
        return found
    start, end = present.calendar.start, present.calendar.end
    outside = sum(n for day, n in trial.days.items() if day < start or (end is not None and day > end))
    if outside:
        found.append(
            f"{group.name}: {outside:,} of {trial.days.total():,} events lie outside of the calendar ({start} to {end or 'today'}) and would not count;"
            f" the file has {min(trial.days)} to {max(trial.days)}: set calendar: in profile.yaml"
        )
    if group.is_known:
        roles = present.sources[group.name].roles
        return found + [
            f"{group.name}: roles: names none for {event_type!r}: give it one in profile.yaml"
            for event_type in proposal.settings.get("roles", {})
            if event_type not in roles
        ]
    landed_as = proposal.settings["path"].replace("*", "x")
    rivals = [name for name, source in present.sources.items() if matches(landed_as, source.path)]
    if rivals:
        found.append(
            f"{group.name}: the source {rivals[0]} stands before it and claims files at {proposal.settings['path']} too: give one another path"
        )
    if proposal.currency and present.currency is None:
        found.append(
            f"{group.name}: amounts are in {proposal.currency}, and profile.yaml names no currency: write `currency: {proposal.currency}` into it"
        )
    elif proposal.currency and present.currency != proposal.currency:
        found.append(
            f"{group.name}: amounts are in {proposal.currency}, and amounts in another currency than {present.currency} do not count"
        )
    return found


# ---- telling


def _print_proposals(
    groups: Sequence[Group], blocks: dict[str, str], warnings: list[str], paths: Paths, *, is_new: bool
) -> None:
    for g in groups:
        names = [f.name for f in g.files]
        if g.is_known:
            what, them = (names[0], "it") if len(names) == 1 else (f"{len(names)} files from {names[0]} on", "them")
            told = f"{what}: files of this kind are there already as {g.name}: put {them} into {_landing_of(g, paths)}"
            out.print(told, style="bold", highlight=False, markup=False, soft_wrap=True)
        else:
            print_proposal(g.name, names, *g.proposed(), block=None if is_new else blocks[g.name], is_whole=g.is_whole)
    for warning in warnings:
        out.print(warning, style="yellow", highlight=False, markup=False, soft_wrap=True)


def _print_left_out(left_out: Sequence[LeftOut]) -> None:
    if left_out:
        out.print("left out:", style="yellow")
    for one in left_out:
        out.print(f"  {one}", highlight=False, markup=False, soft_wrap=True)


def _print_next(groups: Sequence[Group], paths: Paths, *, config: Path | None, data: Path | None) -> None:
    """Say what to type next."""
    out.print("next:", style="bold")
    for group in groups:
        for line in landing_commands(group.files, _landing_of(group, paths)):
            out.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)
    print_next("run", config, data, before="  ")


def _landing_of(group: Group, paths: Paths) -> Path:
    return paths.landing / Path(group.proposed()[0].settings["path"]).parent
