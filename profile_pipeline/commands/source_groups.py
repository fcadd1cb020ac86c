"""Files of `sources add`: those that are written alike put together, what is proposed for each kind, and what was left out.

Not here: asking, printing or writing (`sources`), or what is proposed for one kind (`raw.proposing`).
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from profile_pipeline.commands.terminal import CommandError
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
from profile_pipeline.raw.readers import parquet
from profile_pipeline.raw.readers.bytes import FileRefused
from profile_pipeline.raw.readers.records import Rejects
from profile_pipeline.raw.readers.sampling import SAMPLE_BYTES, sample_of
from profile_pipeline.raw.readers.trial import Trial, try_files
from profile_pipeline.settings import Settings
from profile_pipeline.shell import word

MOST_FILES, SHOWN_ROWS, FEWEST_BYTES = 64, 10, 64 << 10
# What makes two sources read the same columns alike. Roles, attributes and zones are the user's to change.
_OF_THE_KIND = {"table", "format", "pattern", "delimiter", "header", "has_quotes", "encoding", "time_format", "columns"}
_ORDER = (
    "table", "path", "format", "pattern", "delimiter", "header", "has_quotes", "encoding", "time_format", "timezone", "identical_records", "columns", "attributes", "roles",
)  # fmt: skip


@dataclass
class Group:
    """Files of one source: their samples, and what was made of them.

    Attributes
    ----------
    is_known
        The configuration has a source of this name that reads them already.
    """

    files: list[Path]
    samples: list[Sample]
    copies: list[Path]
    is_whole: bool
    series: set[str] = field(default_factory=set)
    name: str = ""
    is_known: bool = False
    proposal: Proposal | None = None
    trial: Trial | None = None

    def proposed(self) -> tuple[Proposal, Trial]:
        assert self.proposal is not None and self.trial is not None
        return self.proposal, self.trial


@dataclass(frozen=True)
class LeftOut:
    """Files of one kind of which no source was made, and why."""

    files: tuple[Path, ...]
    why: str

    def __str__(self) -> str:
        more = f" and {len(self.files) - 1} more of its kind" if len(self.files) > 1 else ""
        return f"{self.files[0]}{more}: {self.why}"


@dataclass(frozen=True)
class Asked:
    """What the options of the command say, and the configuration that is there."""

    table: str | None
    day: str | None
    name: str | None
    present: Settings | None
    paths: Paths


def groups_of(files: Collection[Path], asked: Asked, scratch: Path) -> tuple[list[Group], list[LeftOut]]:
    """Look at files and propose a source for each kind of them.

    Raises
    ------
    CommandError
        If there is none, with what is wrong with the files; or if one name is asked for several kinds, or for one that has it.
    """
    groups, left_out = _looked_at(files, scratch)
    proposed = [group for group in groups if _is_proposed(group, asked, left_out)]
    if asked.name is not None and len(proposed) > 1:
        raise CommandError(
            f"--name names one source, and the files are of {len(proposed)} kinds. Add them one kind at a time."
        )
    proposals = [group.proposal for group in proposed if group.proposal is not None]
    timezone = asked.present.calendar.timezone if asked.present else naive_zone(proposals) or "UTC"
    taken = set(asked.present.sources) if asked.present else set()
    named = [group for group in proposed if _is_named(group, asked, timezone, taken, left_out)]
    left_out.sort(key=lambda one: one.files)
    if not named:
        raise CommandError("\n".join(map(str, left_out)))
    return named, left_out


# ---- looking


def _looked_at(files: Collection[Path], scratch: Path) -> tuple[list[Group], list[LeftOut]]:
    """Look at files and put those together that are written alike; of many files some are looked at well, the others in short."""
    left_out = [LeftOut((file,), why) for file in sorted(set(files)) if (why := _why_no_file(file))]
    chosen = sorted(set(files) - {file for one in left_out for file in one.files})
    if len(chosen) > MOST_FILES:
        step = (len(chosen) - 1) / (MOST_FILES - 1)
        looked_at = {chosen[round(i * step)] for i in range(MOST_FILES)}
    else:
        looked_at = set(chosen)
    limit = max(FEWEST_BYTES, SAMPLE_BYTES // max(1, len(looked_at)))
    groups: dict[tuple[Any, ...], Group] = {}
    for number, file in enumerate(sorted(chosen, key=lambda file: file not in looked_at)):
        is_looked_at = file in looked_at
        copy = scratch / str(number)
        try:
            sample, is_whole = _sampled(file, copy, limit if is_looked_at else FEWEST_BYTES)
        except (SampleError, FileRefused) as error:
            left_out.append(LeftOut((file,), str(error)))
            continue
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
    return list(groups.values()), left_out


def _nearest(groups: Iterable[Group], file: Path, sample: Sample, *, is_short: bool) -> Group | None:
    """The group whose series of files goes on with this one, or that a short look at it shows."""
    series = series_of(file)
    for group in groups:
        known = group.samples[0]
        if (series in group.series and has_fields_of(known, sample)) or (is_short and is_alike(known, sample)):
            return group
    return None


def _why_no_file(file: Path) -> str | None:
    """Why a path can't be looked at, if so."""
    if file.is_dir():
        return f"found a folder, expected files. Name them, such as {word(file)}/*.csv"
    if not file.exists():
        return "no such file"
    if not file.is_file():
        return "expected a plain file"
    try:
        with file.open("rb"):
            return None
    except PermissionError:
        return f"no permission to read it. Its owner can give it: chmod u+r {word(file)}"


def _sampled(file: Path, copy: Path, limit_bytes: int) -> tuple[Sample, bool]:
    """Look at a file: its sample, and a small copy that the readers can read."""
    looked_at = sample_of(file, limit_bytes=limit_bytes)
    copy.write_bytes(looked_at.content)
    if not looked_at.is_parquet:
        return sample_of_text(looked_at.content, file), looked_at.is_whole
    columns: dict[str, list[Any]] = {name: [] for name in parquet.names_of(copy)}
    for batch in parquet.read(copy, Rejects()):
        for name, values in batch.columns.items():
            columns[name] += values.to_pylist()
    return sample_of_columns(columns, file.name), looked_at.is_whole


# ---- proposing


def _is_proposed(group: Group, asked: Asked, left_out: list[LeftOut]) -> bool:
    """Propose a source for a group; where there is none, its files are left out."""
    try:
        group.proposal = propose(merged(group.samples), table=asked.table, day=asked.day)
    except SampleError as error:
        left_out.append(LeftOut(tuple(group.files), str(error)))
        return False
    return True


def _is_named(group: Group, asked: Asked, timezone: str, taken: set[str], left_out: list[LeftOut]) -> bool:
    """Name the source of a group and try it; where its files can't be read as it says, they are left out."""
    assert group.proposal is not None
    names = [file.name for file in group.files]
    known = _known_as(group.proposal, names, asked.present) if asked.present and asked.name is None else None
    group.is_known = known is not None
    group.name = known or asked.name or source_name(names, group.proposal.settings["table"], taken)
    if not known and group.name in taken:
        raise CommandError(
            f"there is a source called {group.name!r} in {asked.paths.config} already. Choose another name with --name."
        )
    path = asked.present.sources[known].path if asked.present and known else _path_of(group, names, asked.paths)
    group.proposal = _placed(group.proposal, path, timezone, asked)
    try:
        group.trial = _tried(group, timezone, group.copies)
        if group.proposal.settings["table"] == "events":
            types = [event_type for event_type, _ in group.trial.event_types.most_common()]
            group.proposal = _ordered(group.proposal.with_roles_of(types))
            group.trial.rows = _tried(group, timezone, group.copies[:1]).rows
    except FileRefused as refusal:
        left_out.append(LeftOut(tuple(group.files), str(refusal)))
        return False
    taken.add(group.name)
    return True


def _known_as(proposal: Proposal, names: Sequence[str], present: Settings) -> str | None:
    """The source that is there already and reads the columns in the same way, of files that are called so."""
    proposed = proposal.source().model_dump(include=_OF_THE_KIND)
    for known, source in present.sources.items():
        folder = Path(source.path).parent
        is_open = "*" in folder.as_posix() or folder.is_absolute() or folder == Path()
        takes_all = all(matches((folder / name).as_posix(), source.path) for name in names)
        if not is_open and takes_all and source.model_dump(include=_OF_THE_KIND) == proposed:
            return known
    return None


def _path_of(group: Group, names: Sequence[str], paths: Paths) -> str:
    folder = group.files[0].absolute().parent
    is_landed = folder.is_relative_to(paths.landing) and folder != paths.landing
    return pattern_of(folder.relative_to(paths.landing).as_posix() if is_landed else group.name, names)


def _placed(proposal: Proposal, path: str, timezone: str, asked: Asked) -> Proposal:
    """The same with the path of its files, and the zone of its times where they name none."""
    zone = timezone if proposal.has_naive_times and timezone != "UTC" else None
    proposal = proposal.with_settings(path=path, timezone=zone)
    if proposal.has_naive_times:
        why = "as the calendar says" if asked.present else "because the text is Chinese" if timezone != "UTC" else ""
        proposal = proposal.with_note(
            f"times name no zone: taken as {timezone}{f', {why}' if why else ''}; timezone: says otherwise"
        )
    return _ordered(proposal)


def _ordered(proposal: Proposal) -> Proposal:
    """The same with its settings in the order in which they are written."""
    return proposal.with_settings(**dict.fromkeys(_ORDER)).with_settings(
        **{k: proposal.settings.get(k) for k in _ORDER}
    )


def _tried(group: Group, timezone: str, copies: list[Path]) -> Trial:
    assert group.proposal is not None
    return try_files(copies, name=group.name, source=group.proposal.source(), timezone=timezone, n_rows=SHOWN_ROWS)
