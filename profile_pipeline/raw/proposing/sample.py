"""A file's sample as columns: how it is written, and what each of its columns holds.

Bytes in, values out. Not here: opening the file (`readers.sampling`), or what the columns are for us (`tables`).
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from profile_pipeline.raw.mapping import is_expression
from profile_pipeline.raw.proposing.dialect import (
    Dialect,
    SampleError,
    dialect_of,
    encoding_of,
    refuse_what_is_no_text,
    split_records,
)
from profile_pipeline.raw.proposing.headerless import names_by_content
from profile_pipeline.raw.proposing.json_lists import ListWithin, list_within
from profile_pipeline.raw.proposing.kinds import ColumnKind, kinds_of
from profile_pipeline.raw.proposing.layouts import Layout, layout_of
from profile_pipeline.raw.proposing.logs import LOG_PATTERN, w3c_pattern
from profile_pipeline.raw.readers.json_texts import objects_in, spans_lines
from profile_pipeline.raw.readers.jsonl import flatten
from profile_pipeline.table import quote_identifier

RECORDS_LOOKED_AT = 20_000
VALUES_MERGED = 6_000
_SIMPLE_NAME = re.compile(r"^[^\W\d]\w*$")
_DOTTED_NAME = re.compile(r"^[^\W\d]\w*(\.\w+)*$")


@dataclass(frozen=True)
class Sample:
    """A file as it was looked at.

    Attributes
    ----------
    written
        The settings of a source that say how the file is written: format, delimiter, header, encoding.
    columns
        Their columns, in order.
    is_named
        The file or a well-known layout names the columns; else their names are ours, by what they hold.
    within
        The file is one object, and the records are probably in this list of it.
    """

    file_name: str
    written: dict[str, Any]
    columns: tuple[ColumnKind, ...]
    is_named: bool
    layout: Layout | None = None
    is_log: bool = False
    within: ListWithin | None = None

    @property
    def shape(self) -> tuple[Any, ...]:
        """What files of one source have in common."""
        names = tuple(c.name for c in self.columns)
        return (*sorted((k, str(v)) for k, v in self.written.items() if k != "encoding"), names)


def sample_of_text(content: bytes, file: str | Path) -> Sample:
    """Return the sample of a text file.

    Parameters
    ----------
    file
        The file, as a command names it; of what it holds only its own name tells, and not that of its folder.

    Raises
    ------
    SampleError
        If it holds no table, or no record.
    """
    refuse_what_is_no_text(content)
    file_name = Path(file).name
    encoding = encoding_of(content)
    text = content.decode(encoding, "replace").lstrip("\ufeff")
    within = list_within(text, Path(file))
    if within is not None and within.n_objects is None:
        raise SampleError(within.told)
    dialect = dialect_of(text, encoding, Path(file))
    encoded: dict[str, Any] = {} if encoding == "utf-8" else {"encoding": encoding}
    if dialect.format == "lines":
        return _of_lines(text, file_name, encoded, dialect.n_fields)
    written = {"format": dialect.format} | ({"delimiter": dialect.delimiter} if dialect.delimiter else {}) | encoded
    if dialect.format == "jsonl":
        return _of_json(text, file_name, written, within)
    return _of_fields(text, file_name, written, dialect)


def sample_of_columns(columns: Mapping[str, Sequence[Any]], file_name: str) -> Sample:
    """Return the sample of a Parquet file from its columns, as text or lists of text."""
    texts = {n: [" | ".join(map(str, v)) if isinstance(v, list) else v for v in vs] for n, vs in columns.items()}
    lists = frozenset(n for n, vs in columns.items() if any(isinstance(v, list) for v in vs))
    if not texts or not any(len(values) for values in texts.values()):
        raise SampleError("found no record, expected some")
    return Sample(file_name, {"format": "parquet"}, tuple(kinds_of(texts, _references(texts), lists)), is_named=True)


def _of_fields(text: str, file_name: str, written: dict[str, Any], dialect: Dialect) -> Sample:
    records = _some_records(text, dialect.separator)
    if _has_stray_quotes(text, dialect.separator):
        written["has_quotes"] = False
    layout = None if dialect.has_header else layout_of(file_name, dialect.n_fields)
    if dialect.has_header:
        names = [name.strip() if len(dialect.separator) > 1 else name for name in records[0]]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise SampleError(f"the header names {', '.join(map(repr, twice))} twice: expected each name once")
        records = records[1:]
        if not records:
            raise SampleError("found a header only, expected records below it")
    else:
        names = [f"column{i}" for i in range(1, dialect.n_fields + 1)]
    whole = [record for record in records if len(record) == len(names)]
    if not whole:
        raise SampleError(f"found no record of {len(names)} fields, as the first line has")
    columns = {name: list(values) for name, values in zip(names, zip(*whole, strict=True), strict=True)}
    if not dialect.has_header:
        names = list(layout.header) if layout else names_by_content(kinds_of(columns, dict.fromkeys(columns, "")))
        columns = dict(zip(names, columns.values(), strict=True))
        written["header"] = names
    kinds = kinds_of(columns, _references(columns))
    return Sample(file_name, written, tuple(kinds), dialect.has_header or layout is not None, layout)


def _has_stray_quotes(text: str, separator: str) -> bool:
    """Say whether more fields begin with a quote and go on behind the next one than are quoted whole."""
    if separator == "," or len(separator) > 1 or '"' not in text:
        return False
    cells = [c for line in text.splitlines() if '"' in line for c in line.split(separator) if c.startswith('"')]
    n_whole = sum(len(cell) > 1 and cell.endswith('"') for cell in cells)
    return len(cells) - n_whole > n_whole


def _some_records(text: str, separator: str) -> list[list[str]]:
    """The header and records spread evenly over the text; where fields are quoted, the first ones."""
    if '"' in text:
        return split_records(text, separator, RECORDS_LOOKED_AT)
    lines = [line for line in text.split("\n") if line.strip("\r")]
    step = max(1, len(lines) // RECORDS_LOOKED_AT)
    return split_records("\n".join([lines[0], *lines[1::step]]), separator)


def _of_json(text: str, file_name: str, written: dict[str, Any], within: ListWithin | None) -> Sample:
    content = text.encode("utf-8", "replace")
    if spans_lines(content):
        lines = [found.decode("utf-8", "replace") for found in objects_in(content)]
    else:
        lines = [line for line in text.split("\n") if line.strip()]
    records: list[dict[str, Any]] = []
    lists: set[str] = set()
    for line in lines[:: max(1, len(lines) // RECORDS_LOOKED_AT)]:
        fields: dict[str, Any] = {}
        try:
            found = json.loads(line, parse_int=str, parse_float=str)
            if isinstance(found, dict):
                flatten(found, fields, lists)
                records.append(fields)
        except (ValueError, RecursionError):
            continue
    names = list(dict.fromkeys(name for record in records for name in record))
    if not names:
        raise SampleError("found no object with a field, expected one JSON object a line")
    columns = {name: [_told(record.get(name)) for record in records] for name in names}
    kinds = kinds_of(columns, _references(columns, is_json=True), frozenset(lists))
    return Sample(file_name, written, tuple(kinds), is_named=True, within=within)


def _told(value: Any) -> str | None:
    return " | ".join(map(str, value)) if isinstance(value, list) else value


def _of_lines(text: str, file_name: str, encoded: dict[str, Any], width: int) -> Sample:
    """Lines without a delimiter, taken apart by a pattern: columns aligned by blanks, or a web server's log."""
    lines = [line.rstrip("\r") for line in text.split("\n") if line.strip()][:RECORDS_LOOKED_AT]
    if not width:
        return _matched(lines, file_name, encoded, w3c_pattern(lines) or LOG_PATTERN, None, is_log=True)
    layout = layout_of(file_name, width)
    rows = [parts for line in lines if len(parts := line.split()) == width]
    found = {f"column{i}": list(values) for i, values in enumerate(zip(*rows, strict=True), start=1)}
    names = layout.header if layout else names_by_content(kinds_of(found, dict.fromkeys(found, "")))
    pattern = r"\s*" + r"\s+".join(rf"(?P<{name}>\S+)" for name in names) + r"\s*"
    return _matched(lines, file_name, encoded, pattern, layout, is_log=False)


def _matched(
    lines: Sequence[str], file_name: str, encoded: dict[str, Any], pattern: str, layout: Layout | None, *, is_log: bool
) -> Sample:
    matched = [m for line in lines if (m := re.fullmatch(pattern, line))]
    names = list(re.compile(pattern).groupindex)
    columns = {name: [None if m[name] == "-" else m[name] for m in matched] for name in names}
    written = {"format": "lines", "pattern": pattern} | encoded
    kinds = kinds_of(columns, _references(columns))
    return Sample(file_name, written, tuple(kinds), is_log or layout is not None, layout, is_log)


def _references(names: Iterable[str], *, is_json: bool = False) -> dict[str, str]:
    """How a mapping names each column: as it is, or quoted where it would be read as an expression."""
    pattern = _DOTTED_NAME if is_json else re.compile(".")
    return {n: n if pattern.match(n) and is_expression(n) else quote_identifier(n) for n in names}


def sql_of(kind: ColumnKind) -> str:
    """Return how an expression names a column."""
    is_plain = _SIMPLE_NAME.match(kind.name) and kind.reference == kind.name
    return kind.name if is_plain else quote_identifier(kind.name)


def is_alike(known: Sample, short: Sample) -> bool:
    """Say whether a short look at a file shows what is known of its kind: few records may lack fields, or be named otherwise."""
    if not _is_written_alike(known, short):
        return False
    if not known.is_named:
        return len(known.columns) == len(short.columns)
    n_common, n_all, _ = _fields_of_both(known, short)
    return known.written["format"] == "jsonl" and 2 * n_common > n_all


def has_fields_of(known: Sample, other: Sample) -> bool:
    """Say whether two samples of JSON Lines can be of one kind: fields come and go, and most of those of one are the other's too."""
    n_common, _, n_fewest = _fields_of_both(known, other)
    return known.written["format"] == "jsonl" and _is_written_alike(known, other) and 2 * n_common > n_fewest


def _is_written_alike(known: Sample, other: Sample) -> bool:
    told = [{k: v for k, v in s.written.items() if k not in ("encoding", "header")} for s in (known, other)]
    return told[0] == told[1] and known.is_named == other.is_named


def _fields_of_both(known: Sample, other: Sample) -> tuple[int, int, int]:
    """How many fields both have, how many there are in all, and how many the one with fewer has."""
    names = [{kind.name for kind in s.columns} for s in (known, other)]
    return len(names[0] & names[1]), len(names[0] | names[1]), min(map(len, names))


def merged(samples: Sequence[Sample]) -> Sample:
    """Return one sample for files of one kind: what holds for all of them together; a field that a file lacks is blank there."""
    first = samples[0]
    most = max(1, VALUES_MERGED // len(samples))
    known = [{kind.name: kind for kind in sample.columns} for sample in samples]
    n_looked_at = sum(min(sample.columns[0].n_looked_at, most) for sample in samples)
    columns = []
    for name in dict.fromkeys(name for kinds in known for name in kinds):
        found = [kinds[name] for kinds in known if name in kinds]
        values = tuple(v for kind in found for v in kind.values[:most])
        columns.append(ColumnKind(name, found[0].reference, values, n_looked_at, any(kind.is_list for kind in found)))
    # A file that happens to be all ASCII is read by every encoding.
    encoding = next((s.written["encoding"] for s in samples if "encoding" in s.written), None)
    written = first.written | ({"encoding": encoding} if encoding else {})
    return Sample(first.file_name, written, tuple(columns), first.is_named, first.layout, first.is_log, first.within)
