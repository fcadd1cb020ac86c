"""The data dictionary: every table with grain, key and columns, and where each column comes from and goes to, drawn. One file, no network.

Not here: the tables (`<stage>/tables.py`), their lineage (`orchestration.lineage` and `declared_lineage`), or counting rows.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader

from profile_pipeline.table import Table

STAGE_WORDS = {
    "raw": "收集 collect",
    "cleaned": "清洗 clean",
    "features": "特征提取 extract features",
    "models": "训练 train",
    "evaluation": "评估 evaluate",
    "profiles": "画像 profile",
    "applications": "应用 recommend, market, protect",
}
# What a model has learnt comes from more than a hundred columns: the drawing of a column shows more of them.
MOST_TOLD = 8
BOX_WIDTH, BOX_HEIGHT, ROW_HEIGHT, GAP = 220, 22, 28, 90

ColumnName = tuple[str, str]


@dataclass(frozen=True)
class Entry:
    """What the dictionary tells of one table.

    Parameters
    ----------
    reads
        Tables that it is made from.
    sources
        By column, the (table, column) pairs that it comes from; none where files, settings or the calendar give it.
    n_rows
        Rows now, or None where nobody has counted.
    newest, n_newest
        The newest partition and its rows.
    """

    table: Table
    reads: tuple[str, ...] = ()
    sources: Mapping[str, Sequence[ColumnName]] | None = None
    n_rows: int | None = None
    newest: dt.date | None = None
    n_newest: int | None = None


def render_dictionary(entries: Sequence[Entry], *, weeks: Sequence[str] = ()) -> str:
    """Return the page as HTML.

    Parameters
    ----------
    entries
        All tables, in the order of the stages.
    weeks
        Folders of report pages beside the dictionary, to link to.
    """
    environment = Environment(
        loader=PackageLoader("profile_pipeline.applications", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    sources = _known_sources(entries)
    uses: dict[ColumnName, list[ColumnName]] = defaultdict(list)
    for target, found in sources.items():
        for source in found:
            uses[source].append(target)
    stages: dict[str, list[dict[str, Any]]] = {}
    for entry in entries:
        readers = [other.table.name for other in entries if entry.table.name in other.reads]
        told = {"entry": entry, "drawing": _drawing(entry.table.name, entry.reads, readers)}
        stages.setdefault(entry.table.schema, []).append(told)
    return environment.get_template("dictionary.html").render(
        stages=stages,
        words=STAGE_WORDS,
        sources=sources,
        uses=uses,
        most_told=MOST_TOLD,
        weeks=weeks,
        n_tables=len(entries),
        n_columns=sum(len(entry.table.columns) for entry in entries),
        lineage={".".join(target): [".".join(s) for s in found] for target, found in sources.items() if found},
    )


def _known_sources(entries: Sequence[Entry]) -> dict[ColumnName, list[ColumnName]]:
    """Return the sources of every column, without names that are no column of a table here."""
    known = {(entry.table.name, name) for entry in entries for name in entry.table.column_names}
    return {
        (entry.table.name, name): [s for s in (entry.sources or {}).get(name, ()) if s in known]
        for entry in entries
        for name in entry.table.column_names
    }


def _drawing(name: str, reads: Sequence[str], readers: Sequence[str]) -> dict[str, Any]:
    """Place a table between those that it reads, on the left, and those that read it, on the right."""
    height = ROW_HEIGHT * max(len(reads), len(readers), 1)

    def placed(names: Sequence[str], x: int) -> list[dict[str, Any]]:
        top = (height - ROW_HEIGHT * len(names)) / 2
        return [{"name": n, "x": x, "y": top + ROW_HEIGHT * i + ROW_HEIGHT / 2} for i, n in enumerate(names)]

    middle, right = BOX_WIDTH + GAP, 2 * (BOX_WIDTH + GAP)
    return {
        "boxes": [*placed(sorted(reads), 0), *placed([name], middle), *placed(sorted(readers), right)],
        "lines": [
            *((BOX_WIDTH, box["y"], middle, height / 2) for box in placed(sorted(reads), 0)),
            *((middle + BOX_WIDTH, height / 2, right, box["y"]) for box in placed(sorted(readers), right)),
        ],
        "width": 3 * BOX_WIDTH + 2 * GAP,
        "height": height,
        "box_width": BOX_WIDTH,
        "box_height": BOX_HEIGHT,
    }
