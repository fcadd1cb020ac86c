"""How a proposed source is shown: its text, ten of its records as they would be loaded, and what would be refused.

Not here: proposing it, or writing it.
"""

from typing import Any

from rich.markup import escape
from rich.table import Table

from profile_pipeline.commands.terminal import cell, out
from profile_pipeline.raw.proposing.propose import Proposal
from profile_pipeline.raw.readers.reasons import remedy_of
from profile_pipeline.raw.readers.trial import Trial
from profile_pipeline.source_settings import GIVEN_BY_LOADING

WIDEST = 28
ALWAYS_SHOWN = ("role",)


def print_proposal(
    name: str, files: list[str], proposal: Proposal, trial: Trial, *, block: str | None, is_whole: bool
) -> None:
    """Print a source, records as it reads them, and what it would refuse; its text, which holds the notes, or else these."""
    what = files[0] if len(files) == 1 else f"{len(files)} files from {files[0]} to {files[-1]}"
    out.print(f"[bold]{escape(name)}[/]: {escape(what)}, {proposal.settings['table']}", highlight=False, soft_wrap=True)
    if block is not None:
        out.print(block, highlight=False, markup=False, soft_wrap=True)
    else:
        for note in proposal.notes:
            out.print(f"- {_on_one_line(note)}", highlight=False, markup=False, soft_wrap=True)
    _print_rows(trial.rows)
    told = "" if is_whole else " of the sample"
    out.print(f"{trial.n_loaded:,} of {trial.n_records:,} records{told} would be loaded", highlight=False)
    if trial.refused:
        out.print("refused:", style="yellow")
        for reason, n in trial.refused.most_common():
            told = f"  {n:,} {reason}, for example {trial.examples[reason]}. To do: {remedy_of(reason)}"
            out.print(told, highlight=False, markup=False, soft_wrap=True)
    if trial.days:
        out.print(f"events from {min(trial.days)} to {max(trial.days)}", highlight=False)
    out.print()


def _print_rows(rows: list[dict[str, Any]]) -> None:
    """Print records; as many columns beside each other as the terminal is wide, the rest below."""
    names = [n for n in (rows[0] if rows else {}) if _is_shown(n) and any(row[n] is not None for row in rows)]
    cells = {n: [_cell(row[n]) for row in rows] for n in names}
    parts: list[list[str]] = [[]]
    used = 0
    for name in names:
        width = max(len(name), *(len(cell) for cell in cells[name])) + 3
        if parts[-1] and used + width > out.width:
            parts.append([])
            used = 0
        parts[-1].append(name)
        used += width
    for part in (part for part in parts if part):
        table = Table(*part, box=None, header_style="dim")
        for place in range(len(rows)):
            table.add_row(*(cell(cells[name][place], no_wrap=True, overflow="ellipsis") for name in part))
        out.print(table)


def _is_shown(name: str) -> bool:
    return name in ALWAYS_SHOWN or name not in (*GIVEN_BY_LOADING, "event_id")


def _on_one_line(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)


def _cell(value: Any) -> str:
    text = "" if value is None else ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    text = _on_one_line(text)
    return text if len(text) <= WIDEST else text[: WIDEST - 1] + "…"


def as_json_tree(proposal: Proposal, trial: Trial, block: str) -> dict[str, Any]:
    """Return a proposal as what `--json` prints."""
    return {
        "settings": proposal.settings,
        "notes": list(proposal.notes),
        "yaml": block,
        "n_records": trial.n_records,
        "n_loaded": trial.n_loaded,
        "refused": {reason: {"n": n, "example": trial.examples[reason]} for reason, n in trial.refused.most_common()},
        "event_types": dict(trial.event_types.most_common()),
        "first_day": min(trial.days, default=None),
        "last_day": max(trial.days, default=None),
        "rows": trial.rows,
    }
