"""Commands about sources: a file looked at, a mapping proposed, shown on its own records, and written into `profile.yaml`.

Not here: what is proposed (`raw.proposing`), or how files are read (`raw.readers`).
"""

import datetime as dt
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from profile_pipeline.commands.landing_commands import landing_commands
from profile_pipeline.commands.proposals import as_json_tree, print_proposal
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
from profile_pipeline.raw.proposing.dialect import SampleError
from profile_pipeline.raw.proposing.naming import pattern_of, series_of, source_name
from profile_pipeline.raw.proposing.propose import Proposal, naive_zone, propose
from profile_pipeline.raw.proposing.sample import (
    Sample,
    has_fields_of,
    is_alike,
    merged,
    sample_of_columns,
    sample_of_text,
)
from profile_pipeline.raw.proposing.starter import Calendar, calendar_of, calendar_without_events, new_profile
from profile_pipeline.raw.proposing.yaml_text import insert_sources, source_text
from profile_pipeline.raw.readers import parquet
from profile_pipeline.raw.readers.bytes import FileRefused
from profile_pipeline.raw.readers.records import Rejects
from profile_pipeline.raw.readers.sampling import SAMPLE_BYTES, sample_of
from profile_pipeline.raw.readers.trial import Trial, try_files
from profile_pipeline.raw.tables import RECORD_TABLES
from profile_pipeline.settings import Settings
from profile_pipeline.settings_file import load_settings
from profile_pipeline.shell import word

MOST_FILES, SHOWN_ROWS, FEWEST_BYTES = 64, 10, 64 << 10


@dataclass
class Group:
    """Files of one source: their samples, and what was made of them."""

    files: list[Path]
    samples: list[Sample]
    copies: list[Path]
    is_whole: bool
    series: set[str] = field(default_factory=set)
    name: str = ""
    proposal: Proposal | None = None
    trial: Trial | None = None

    def proposed(self) -> tuple[Proposal, Trial]:
        assert self.proposal is not None and self.trial is not None
        return self.proposal, self.trial


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
    with tempfile.TemporaryDirectory(prefix="profile-pipeline-") as scratch:
        groups = _looked_at(files, Path(scratch))
        if name is not None and len(groups) > 1:
            raise CommandError(
                f"--name names one source, and the files are of {len(groups)} kinds. Add them one kind at a time."
            )
        _propose_all(groups, table, str(day_of(day)) if day else None, name, present, paths)
    text = _new_text(groups, present, paths)
    blocks = {g.name: source_text(g.name, g.proposed()[0].settings, g.proposed()[0].notes) for g in groups}
    warnings = [w for g in groups for w in _warnings(g, present)]
    if as_json:
        is_written = yes and not dry_run
        if is_written:
            _write(paths.config, text)
        sources = {g.name: as_json_tree(*g.proposed(), blocks[g.name]) for g in groups}
        print_json(
            {
                "sources": sources,
                "warnings": warnings,
                "config": paths.config,
                "is_new": present is None,
                "is_written": is_written,
            }
        )
        return
    for g in groups:
        print_proposal(
            g.name,
            [f.name for f in g.files],
            *g.proposed(),
            block=blocks[g.name] if present is not None else None,
            is_whole=g.is_whole,
        )
    for warning in warnings:
        out.print(warning, style="yellow", highlight=False, markup=False, soft_wrap=True)
    if present is None:
        out.print(f"{paths.config} would be new:", style="bold", highlight=False, markup=False, soft_wrap=True)
        out.print(text, highlight=False, markup=False, soft_wrap=True)
    if dry_run:
        out.print("nothing is written (--dry-run)")
        return
    verb = "Write" if present is None else "Put this into"
    if not yes and not typer.confirm(f"{verb} {paths.config}?"):
        raise typer.Exit(1)
    _write(paths.config, text)
    _print_next(groups, paths, config=config, data=data)


# ---- looking


def _looked_at(files: list[Path], scratch: Path) -> list[Group]:
    """Look at files and put those together that are written alike; of many files some are looked at well, the others in short."""
    for file in files:
        _check_is_file(file)
    chosen = sorted(dict.fromkeys(files))
    if len(chosen) > MOST_FILES:
        step = (len(chosen) - 1) / (MOST_FILES - 1)
        looked_at = {chosen[round(i * step)] for i in range(MOST_FILES)}
    else:
        looked_at = set(chosen)
    limit = max(FEWEST_BYTES, SAMPLE_BYTES // len(looked_at))
    groups: dict[tuple[Any, ...], Group] = {}
    for number, file in enumerate(sorted(chosen, key=lambda file: file not in looked_at)):
        is_looked_at = file in looked_at
        copy = scratch / str(number)
        try:
            sample, is_whole = _sampled(file, copy, limit if is_looked_at else FEWEST_BYTES)
        except (SampleError, FileRefused) as error:
            raise CommandError(f"{file}: {error}") from None
        group = groups.get(sample.shape) or _nearest(groups.values(), file, sample, is_short=not is_looked_at)
        if group is None:
            group = groups[sample.shape] = Group([], [], [], is_whole=True)
        group.files.append(file)
        group.series.add(series_of(file))
        if is_looked_at or not group.samples:
            group.samples.append(sample)
            group.copies.append(copy)
            group.is_whole = group.is_whole and is_whole
        else:
            copy.unlink()
            group.is_whole = False
    for group in groups.values():
        group.files.sort()
    return list(groups.values())


def _nearest(groups: Iterable[Group], file: Path, sample: Sample, *, is_short: bool) -> Group | None:
    """The group whose series of files goes on with this one, or that a short look at it shows."""
    series = series_of(file)
    for group in groups:
        known = group.samples[0]
        if (series in group.series and has_fields_of(known, sample)) or (is_short and is_alike(known, sample)):
            return group
    return None


def _check_is_file(file: Path) -> None:
    if file.is_dir():
        raise CommandError(f"{file}: found a folder, expected files. Name them, such as {word(file)}/*.csv")
    if not file.exists():
        raise CommandError(f"{file}: no such file")
    if not file.is_file():
        raise CommandError(f"{file}: expected a plain file")
    try:
        with file.open("rb"):
            pass
    except PermissionError:
        raise CommandError(f"{file}: no permission to read it. Its owner can give it: chmod u+r {word(file)}") from None


def _sampled(file: Path, copy: Path, limit_bytes: int) -> tuple[Sample, bool]:
    """Look at a file: its sample, and a small copy that the readers can read."""
    looked_at = sample_of(file, limit_bytes=limit_bytes)
    copy.write_bytes(looked_at.content)
    if not looked_at.is_parquet:
        return sample_of_text(looked_at.content, file.name), looked_at.is_whole
    columns: dict[str, list[Any]] = {name: [] for name in parquet.names_of(copy)}
    for batch in parquet.read(copy, Rejects()):
        for name, values in batch.columns.items():
            columns[name] += values.to_pylist()
    return sample_of_columns(columns, file.name), looked_at.is_whole


# ---- proposing


def _propose_all(
    groups: list[Group], table: str | None, day: str | None, name: str | None, present: Settings | None, paths: Paths
) -> None:
    for group in groups:
        try:
            group.proposal = propose(merged(group.samples), table=table, day=day)
        except SampleError as error:
            raise CommandError(f"{group.files[0]}: {error}") from None
    proposals = [g.proposal for g in groups if g.proposal is not None]
    timezone = present.calendar.timezone if present else naive_zone(proposals) or "UTC"
    taken = set(present.sources) if present else set()
    for group, proposal in zip(groups, proposals, strict=True):
        names = [file.name for file in group.files]
        group.name = name or source_name(names, proposal.settings["table"], taken)
        if group.name in taken:
            raise CommandError(
                f"there is a source called {group.name!r} in {paths.config} already. Choose another name with --name."
            )
        taken.add(group.name)
        folder = group.files[0].absolute().parent
        is_landed = folder.is_relative_to(paths.landing) and folder != paths.landing
        at = folder.relative_to(paths.landing).as_posix() if is_landed else group.name
        zone = timezone if proposal.has_naive_times and timezone != "UTC" else None
        proposal = proposal.with_settings(path=pattern_of(at, names), timezone=zone)
        if proposal.has_naive_times:
            why = "as the calendar says" if present else "because the text is Chinese" if timezone != "UTC" else ""
            proposal = proposal.with_note(
                f"times name no zone: taken as {timezone}{f', {why}' if why else ''}; timezone: says otherwise"
            )
        group.proposal = _ordered(proposal)
        group.trial = _tried(group, timezone, group.copies)
        if proposal.settings["table"] == "events":
            group.proposal = _ordered(group.proposal.with_roles_of(t for t, _ in group.trial.event_types.most_common()))
            group.trial.rows = _tried(group, timezone, group.copies[:1]).rows


def _ordered(proposal: Proposal) -> Proposal:
    """The same with its settings in the order in which they are written."""
    order = (
        "table", "path", "format", "pattern", "delimiter", "header", "has_quotes", "encoding", "time_format", "timezone", "identical_records", "columns", "attributes", "roles",
    )  # fmt: skip
    return proposal.with_settings(**dict.fromkeys(order)).with_settings(**{k: proposal.settings.get(k) for k in order})


def _tried(group: Group, timezone: str, copies: list[Path]) -> Trial:
    assert group.proposal is not None
    try:
        return try_files(copies, name=group.name, source=group.proposal.source(), timezone=timezone, n_rows=SHOWN_ROWS)
    except FileRefused as refusal:
        raise CommandError(f"{group.files[0]}: {refusal}") from None


# ---- writing


def _new_text(groups: list[Group], present: Settings | None, paths: Paths) -> str:
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


def _calendar(groups: list[Group]) -> Calendar:
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
    landed_as = proposal.settings["path"].replace("*", "x")
    rivals = [name for name, source in present.sources.items() if matches(landed_as, source.path)]
    if rivals:
        found.append(
            f"{group.name}: the source {rivals[0]} stands before it and claims files at {proposal.settings['path']} too: give one another path"
        )
    if present.currency and proposal.currency and present.currency != proposal.currency:
        found.append(
            f"{group.name}: amounts are in {proposal.currency}, and amounts in another currency than {present.currency} do not count"
        )
    return found


def _print_next(groups: list[Group], paths: Paths, *, config: Path | None, data: Path | None) -> None:
    """Say what to type next."""
    out.print(f"written to {paths.config}", highlight=False, markup=False, soft_wrap=True)
    out.print("next:", style="bold")
    for group in groups:
        folder = paths.landing / str(Path(group.proposed()[0].settings["path"]).parent)
        for line in landing_commands(group.files, folder):
            out.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)
    print_next("run", config, data, before="  ")
