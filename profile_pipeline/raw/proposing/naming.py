"""What a source is called, and where its files land: told from the names of its files.

Not here: anything in the files.
"""

import re
from collections.abc import Iterable
from pathlib import PurePath

_PACKED = (".gz", ".bz2", ".zst")
_FORMATS = re.compile(r"([.](csv|tsv|txt|json|jsonl|ndjson|parquet|log))+$", re.IGNORECASE)
_DATE_PARTS = re.compile(
    r"\d+|\b(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|part|sample|full|final|copy|data|export|dump|csv|new|of|the)[a-z]{0,6}\b"
)
_NUMBERED = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4,12})*|\d+")
LONGEST = 40


def suffixes_of(file_name: str) -> str:
    """Return how a file's name ends: `.csv.gz` of `x.2019.csv.gz`."""
    path = PurePath(file_name)
    if path.suffix in _PACKED:
        return PurePath(path.stem).suffix + path.suffix
    return path.suffix


def series_of(file: PurePath) -> str:
    """Return what the files of a series share: folder and name, with numbers, dates and long identifiers left open.

    Examples
    --------
    >>> series_of(PurePath("in/events_20260101.json")), series_of(PurePath("day=2026-01-01/part-0-0d9c1f3e-a4b5.json"))
    ('in/events_#.json', 'day=#-#-#/part-#-#.json')
    """
    return _NUMBERED.sub("#", f"{file.parent.name}/{file.name}")


def source_name(file_names: Iterable[str], table: str, taken: Iterable[str]) -> str:
    """Return a name for a source: what the names of its files say, dates and numbers left out; else its table.

    Examples
    --------
    >>> source_name(["JData_Action_201602.csv"], "events", []), source_name(["2010-12-01.csv"], "events", ["events"])
    ('jdata_action', 'events_2')
    """
    stem = next(iter(file_names))
    stem = _FORMATS.sub("", stem[: len(stem) - len(suffixes_of(stem))])
    words = _DATE_PARTS.sub(" ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", stem).replace("_", " ").lower())
    name = "_".join(re.findall(r"[a-z][a-z0-9]*", words))[:LONGEST].strip("_")
    name = name if len(name) > 2 else table
    known = set(taken)
    return name if name not in known else next(f"{name}_{n}" for n in range(2, 10_000) if f"{name}_{n}" not in known)


def pattern_of(folder: str, file_names: Iterable[str]) -> str:
    """Return `path:` for files of a folder below the landing folder: by their common ending, if they have one."""
    endings = {suffixes_of(name) for name in file_names}
    return f"{folder}/*{endings.pop() if len(endings) == 1 else ''}"
