"""Delimited text record by record, whatever it holds: the way for files that the fast path is not sure of, and its oracle.

Not here: how a file is written, or the fast path (`csv`).
"""

import io
import itertools
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from profile_pipeline.raw.readers.bytes import LONGEST_LINE_BYTES, open_utf8, refusing_damage
from profile_pipeline.raw.readers.csv import block_of, delimiter_of, has_quotes, split
from profile_pipeline.raw.readers.records import BATCH_RECORDS, Rejects, TextBatch
from profile_pipeline.source_settings import SourceSettings

JOINED_LINES = 50
JOINED_BYTES = 1 << 20


def _physical_lines(path: Path, source: SourceSettings) -> Iterator[bytes]:
    """Lines by LF, CRLF or CR, with their end; of one that is too long only what shows that it is."""
    held, is_cut = b"", False
    with refusing_damage(), open_utf8(path, source.encoding) as stream:
        while block := block_of(stream):
            if is_cut:
                ends = [place for place in (block.find(b"\n"), block.find(b"\r")) if place >= 0]
                if not ends:
                    continue
                block, is_cut = block[min(ends) :], False
            lines = (held + block).splitlines(keepends=True)
            held = lines.pop() if lines[-1][-1:] not in (b"\n", b"\r") else b""
            yield from lines
            if len(held) > LONGEST_LINE_BYTES:
                held, is_cut = held[: LONGEST_LINE_BYTES + 1], True
    if held:
        yield held


def logical_records(path: Path, source: SourceSettings) -> Iterator[tuple[bytes, bool]]:
    """Records without their line end, with whether they are whole; blank lines are none.

    A quote that stays open, or closes where no field ends, damages its first line only: reading goes on with the next.
    """
    lines = _physical_lines(path, source)
    delimiter = delimiter_of(source).encode()
    is_quotable = has_quotes(source)
    again: list[bytes] = []
    while (line := again.pop() if again else next(lines, None)) is not None:
        if not line.strip(b"\r\n"):
            continue
        taken: list[bytes] = []
        n_bytes, is_open = len(line), is_quotable and _stays_open(line, delimiter, is_open=False)
        while is_open and len(taken) < JOINED_LINES and n_bytes < JOINED_BYTES:
            following = again.pop() if again else next(lines, None)
            if following is None:
                break
            taken.append(following)
            n_bytes += len(following)
            is_open = _stays_open(following, delimiter, is_open=True)
        record = b"".join([line, *taken]).rstrip(b"\r\n") if not is_open else line
        if is_open or (taken and not _is_record(record, source)):
            again += reversed(taken)
            yield line.rstrip(b"\r\n"), False
        else:
            yield record, True


def _stays_open(line: bytes, delimiter: bytes, *, is_open: bool) -> bool:
    """Say whether a quoted field is open at the end of a line; quotes within a field that does not begin with one are letters."""
    place, is_start = 0, not is_open
    while True:
        if is_open:
            place = line.find(b'"', place)
            if place < 0:
                return True
            is_open = line[place + 1 : place + 2] == b'"'
            place += 2 if is_open else 1
        elif is_start and line[place : place + 1] == b'"':
            is_open, is_start, place = True, False, place + 1
        else:
            place = line.find(delimiter, place)
            if place < 0:
                return False
            place, is_start = place + len(delimiter), True


def _is_record(record: bytes, source: SourceSettings) -> bool:
    """Say whether bytes of several lines are one record; where they are no text that is for the reader to say."""
    return split(_lines_in(record.decode("utf-8", "replace")), source) is not None


def _lines_in(text: str) -> list[str]:
    """A record's lines with their ends: LF, CRLF or CR, and not what else is a line end in Unicode."""
    return list(io.StringIO(text, newline=""))


def read_lossless(path: Path, source: SourceSettings, names: list[str], rejects: Rejects) -> Iterator[TextBatch]:
    """Read record by record: each ends in a batch or among the rejects."""
    numbers: list[int] = []
    columns: list[list[str]] = [[] for _ in names]
    records = itertools.islice(logical_records(path, source), 1 if source.header is True else 0, None)
    for number, (record, is_whole) in enumerate(records, start=1):
        fields = _fields(record, number, len(names), source, rejects, is_whole=is_whole)
        if fields is None:
            continue
        numbers.append(number)
        for column, value in zip(columns, fields, strict=True):
            column.append(value)
        if len(numbers) == BATCH_RECORDS:
            yield _text_batch(numbers, names, columns, source)
            numbers, columns = [], [[] for _ in names]
    if numbers:
        yield _text_batch(numbers, names, columns, source)


def _fields(
    record: bytes, number: int, n_names: int, source: SourceSettings, rejects: Rejects, *, is_whole: bool
) -> list[str] | None:
    """Return the fields of a record, or reject it."""
    if len(record) > LONGEST_LINE_BYTES:
        rejects.add(number, "too_long", f"more than {LONGEST_LINE_BYTES} bytes", record[:JOINED_BYTES])
    elif not is_whole:
        rejects.add(number, "open_quote", "a quote is opened and not closed", record)
    elif b"\x00" in record:
        rejects.add(number, "bad_text", "NUL byte", record)
    else:
        try:
            fields = split(_lines_in(record.decode("utf-8")), source)
        except UnicodeDecodeError as error:
            rejects.add(number, "bad_encoding", f"byte {error.start}: {error.reason}", record)
            return None
        if fields is not None and len(fields) == n_names:
            return fields
        if fields is None:
            rejects.add(number, "bad_quotes", "text after a closing quote", record)
        else:
            rejects.add(number, "field_count", f"found {len(fields)} fields, expected {n_names}", record)
    return None


def _text_batch(numbers: list[int], names: list[str], columns: list[list[str]], source: SourceSettings) -> TextBatch:
    arrays = {name: pa.array(values, pa.string()) for name, values in zip(names, columns, strict=True)}
    return TextBatch(pa.array(numbers, pa.int64()), arrays, delimiter_of(source), has_quotes(source))
