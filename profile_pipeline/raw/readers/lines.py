"""Lines of text taken apart by a regular expression with named groups: server logs and the like.

Each group is a column; a group that takes no part in the match, or holds a lone hyphen as logs write it, is null. A line that the
expression does not match whole is rejected. Not here: what the columns mean.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from profile_pipeline.raw.readers.bytes import lines_of
from profile_pipeline.raw.readers.records import BATCH_RECORDS, Rejects, TextBatch
from profile_pipeline.source_settings import SourceSettings

# A pattern of a person can take time that grows fast with the line's length; longer lines are no log.
LONGEST_LINE_BYTES = 64 << 10


def names_of(source: SourceSettings) -> list[str]:
    """Return the columns: the named groups of the pattern, in order."""
    return list(re.compile(source.pattern or "").groupindex)


def read(path: Path, source: SourceSettings, rejects: Rejects) -> Iterator[TextBatch]:
    """Read line by line: each ends in a batch or among the rejects."""
    pattern = re.compile(source.pattern or "")
    names = list(pattern.groupindex)
    numbers: list[int] = []
    rows: list[tuple[str | None, ...]] = []
    for number, line in enumerate(lines_of(path, source.encoding), start=1):
        if len(line) > LONGEST_LINE_BYTES:
            rejects.add(number, "too_long", f"more than {LONGEST_LINE_BYTES} bytes", line[:20_000])
            continue
        try:
            text = line.rstrip(b"\r").decode("utf-8")
        except UnicodeDecodeError as error:
            rejects.add(number, "bad_encoding", f"byte {error.start}: {error.reason}", line)
            continue
        found = pattern.fullmatch(text)
        if found is None:
            rejects.add(number, "no_match", "the line is not as `pattern` says", line)
        elif "\x00" in text:
            rejects.add(number, "bad_text", "NUL byte", line)
        else:
            numbers.append(number)
            rows.append(tuple(None if value == "-" else value for value in map(found.group, names)))
        if len(numbers) == BATCH_RECORDS:
            yield _text_batch(numbers, names, rows)
            numbers, rows = [], []
    if numbers:
        yield _text_batch(numbers, names, rows)


def _text_batch(numbers: list[int], names: list[str], rows: list[tuple[str | None, ...]]) -> TextBatch:
    columns = {name: pa.array(values, pa.string()) for name, values in zip(names, zip(*rows, strict=True), strict=True)}
    return TextBatch(pa.array(numbers, pa.int64()), columns)
