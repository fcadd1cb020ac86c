"""Delimited text: how it is written, what its first line says, and how one record is split.

Not here: reading a file (`csv_pieces`, `csv_lossless`), or what columns mean.
"""

import csv
from pathlib import Path

from profile_pipeline.raw.mapping import columns_read
from profile_pipeline.raw.readers.bytes import (
    LONGEST_LINE_BYTES,
    FileRefused,
    open_utf8,
    refusing_damage,
)
from profile_pipeline.source_settings import SourceSettings

LONGEST_HEADER_BYTES = 1 << 20
UNIT_SEPARATOR = b"\x1f"
QUOTE, NEWLINE, RETURN = b'"'[0], b"\n"[0], b"\r"[0]
DELIMITERS = (",", ";", "\t", "|")
# The module's own limit is 128 KiB a field, and it would call a longer one a fault of quoting.
csv.field_size_limit(LONGEST_LINE_BYTES)


def delimiter_of(source: SourceSettings) -> str:
    """Return the delimiter of a source."""
    return source.delimiter or ("\t" if source.format == "tsv" else ",")


def has_quotes(source: SourceSettings) -> bool:
    """Say whether fields may be quoted; between delimiters of several characters they never are."""
    return source.has_quotes and len(delimiter_of(source)) == 1


def header_of(path: Path, source: SourceSettings) -> list[str]:
    """Return the column names, of the file or of the settings.

    Raises
    ------
    FileRefused
        If the file is empty, or names a column twice.
    """
    if isinstance(source.header, tuple):
        return list(source.header)
    with refusing_damage(), open_utf8(path, source.encoding) as stream:
        first = b"\n"
        while first and not first.strip(b"\r\n"):
            first = stream.readline(LONGEST_HEADER_BYTES)
    line, *_ = first.strip(b"\r\n").split(b"\r")
    if len(line) >= LONGEST_HEADER_BYTES:
        raise FileRefused(
            "bad_header", f"found a first line longer than {LONGEST_HEADER_BYTES} bytes, expected column names"
        )
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        raise FileRefused("wrong_encoding", f"the header is not {source.encoding}") from None
    if not text.strip():
        raise FileRefused("empty_file", "found no header, expected a line of column names")
    names = split([text], source)
    if names is None:
        raise FileRefused(
            "bad_header", "found a first line that is no list of fields, expected column names: is a quote open?"
        )
    if source.header is False:
        return [f"column{i}" for i in range(1, len(names) + 1)]
    if any((character < " " and character != "\t") or character == "\x7f" for name in names for character in name):
        raise FileRefused("bad_header", "found control characters in the first line, expected column names")
    if twice := {name for name in names if names.count(name) > 1}:
        # What no mapping names is told by its place: the first line may be a record, of a person.
        known = sorted(twice & columns_read(source, ()))
        places = [str(i) for i, name in enumerate(names, start=1) if name in twice.difference(known)]
        told = [*known, *(["what stands at " + ", ".join(places)] if places else [])]
        raise FileRefused("duplicate_column", f"the header names twice: {'; '.join(told)}")
    return names


def split(lines: list[str], source: SourceSettings) -> list[str] | None:
    """Split one record, of one line or several; None where its quotes are not in order."""
    delimiter = delimiter_of(source)
    if not has_quotes(source):
        return lines[0].split(delimiter) if len(lines) == 1 else None
    try:
        rows = list(csv.reader(lines, delimiter=delimiter, strict=True))
    except csv.Error:
        return None
    return rows[0] if len(rows) == 1 else None
