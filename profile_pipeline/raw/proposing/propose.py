"""A source proposed for a file: the settings as they would stand in `profile.yaml`, and what a person should know of them.

Not here: looking at the file, running the reader, or writing the text (`yaml_text`).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from profile_pipeline.raw.proposing.dialect import SampleError
from profile_pipeline.raw.proposing.event_times import unread_times, with_event_time
from profile_pipeline.raw.proposing.event_types import is_doubtful_view, role_of, roles_for
from profile_pipeline.raw.proposing.layouts import roles_of_codes
from profile_pipeline.raw.proposing.left_out import left_out
from profile_pipeline.raw.proposing.sample import Sample
from profile_pipeline.raw.proposing.tables import IDENTIFYING, assign
from profile_pipeline.raw.proposing.writing import OURS, Writer
from profile_pipeline.source_settings import KEY_COLUMNS, SourceSettings

CHINESE = re.compile("[\u4e00-\u9fff]")
TYPES_MADE_HERE = {"page_part": "other", "tag": "other"}


@dataclass(frozen=True)
class Proposal:
    """A source as it would stand in `profile.yaml`.

    Attributes
    ----------
    settings
        Values of `SourceSettings`, in the order in which they are written; `path` is to be filled in.
    currency
        The currency that signs or codes in the file name, for the setting of that name.
    has_naive_times
        Its times name no zone: `timezone` says whose they are.
    notes
        What a person should know, a sentence each.
    """

    settings: dict[str, Any]
    sample: Sample
    currency: str | None
    has_naive_times: bool
    is_chinese: bool
    codes: dict[str, str]
    notes: tuple[str, ...]

    def source(self) -> SourceSettings:
        """Return the settings, validated."""
        return SourceSettings.model_validate(self.settings)

    def with_settings(self, **settings: Any) -> "Proposal":
        """Return the same proposal with other settings; None takes one out."""
        return replace(self, settings={k: v for k, v in (self.settings | settings).items() if v is not None})

    def with_note(self, note: str) -> "Proposal":
        """Return the same proposal with a note more."""
        return replace(self, notes=(*self.notes, note))

    def with_roles_of(self, event_types: Iterable[str]) -> "Proposal":
        """Return the same proposal with a role for each type of event that was found."""
        types = list(event_types)
        roles = roles_for(types, self.codes)
        unknown = [t for t in roles if roles[t] == "other" and self.codes.get(t) != "other"]
        notes = self.notes
        if unknown:
            notes = (
                *notes,
                f"what {_listed(unknown)} is can't be told by name: give each a role under roles: (see docs/your-data.md)",
            )
        seen = [t for t in types if is_doubtful_view(t) and t not in self.codes]
        if seen:
            notes = (*notes, f"taken for views: {_listed(seen)}; roles: says otherwise")
        return replace(self.with_settings(roles=roles or None), notes=notes)


def propose(sample: Sample, *, table: str | None = None, day: str | None = None) -> Proposal:
    """Propose a source for a file.

    Parameters
    ----------
    table
        The table it is; None: told from the file.
    day
        Day of events whose file does not say it, YYYY-MM-DD.

    Raises
    ------
    SampleError
        If it is none of our tables, or lacks what the table needs.
    """
    found = with_event_time(sample, assign(sample, table, has_day=day is not None), day)
    notes = list(found.guesses)
    if not sample.is_named:
        notes.append("the file has no header: columns are named by what they hold; look at the rows below")
    writer = Writer(sample, found, notes)
    columns = writer.columns()
    missing = [name for name in KEY_COLUMNS[found.table] if name not in columns]
    if missing:
        raise SampleError(_lacking(found.table, missing, sample))
    if found.table == "events" and not any(OURS.get(m, m) in columns for m in IDENTIFYING):
        notes.append("no column identifies a person: these events count for pages and items, and for no profile")
    settings: dict[str, Any] = {"table": found.table, "path": "*"} | sample.written
    settings |= writer.times() | writer.identical_records(columns) | {"columns": columns} | writer.attributes()
    currency = writer.currency()
    notes += left_out(sample, SourceSettings.model_validate(settings), told=writer.amount_beside_price())
    return Proposal(
        settings=settings,
        sample=sample,
        currency=currency,
        has_naive_times=writer.has_naive_times(),
        is_chinese=any(CHINESE.search(k.name) or CHINESE.search("".join(k.values[:50])) for k in sample.columns),
        codes=TYPES_MADE_HERE | roles_of_codes(k.name for k in sample.columns),
        notes=tuple(notes),
    )


def _lacking(table: str, missing: list[str], sample: Sample) -> str:
    names = ", ".join(kind.name for kind in sample.columns[:12])
    if missing == ["event_time"] and (unread := unread_times(sample)):
        return f"this looks like events, but {unread}"
    if missing == ["event_time"]:
        timed = [kind.name for kind in sample.columns if kind.is_after_2000]
        told = f" Several read as times ({', '.join(timed)}): name one of them event_time." if len(timed) > 1 else ""
        return (
            f"this looks like events, but no column says when: found {names}.{told}"
            " If all of them are of one day, give it with --day YYYY-MM-DD; else add a column with the time"
        )
    return (
        f"found {names}, expected {' and '.join(missing)} of the table {table}. Another table can be named with --table"
    )


def _listed(names: Iterable[str], limit: int = 6) -> str:
    found = list(names)
    return ", ".join(map(repr, found[:limit])) + (f" and {len(found) - limit} more" if len(found) > limit else "")


def naive_zone(proposals: Iterable[Proposal]) -> str | None:
    """Return the zone that times without one are probably of: China's, where a file is in Chinese."""
    return "Asia/Shanghai" if any(p.is_chinese and p.has_naive_times for p in proposals) else None


def role_counts(proposal: Proposal, event_types: dict[str, int]) -> dict[str, int]:
    """Return how many events of each role there are."""
    found: dict[str, int] = {}
    for event_type, n in event_types.items():
        role = proposal.settings.get("roles", {}).get(event_type) or role_of(event_type)
        found[role] = found.get(role, 0) + n
    return found
