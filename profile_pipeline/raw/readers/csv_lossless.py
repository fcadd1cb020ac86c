"""Delimited text record by record, whatever it holds: the way for what splitting by pieces is not sure of, and its oracle.

Not here: how a file is written (`csv`), or pieces of it (`csv_pieces`).
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from profile_pipeline.raw.readers.buffer import Buffer
from profile_pipeline.raw.readers.bytes import LONGEST_LINE_BYTES, open_utf8, refusing_damage
from profile_pipeline.raw.readers.csv import delimiter_of, has_quotes, split
from profile_pipeline.raw.readers.records import BATCH_RECORDS, Rejects, TextBatch
from profile_pipeline.source_settings import SourceSettings

# A record of more lines or bytes than these is none: a quote was left open.
JOINED_LINES = 1_000
JOINED_BYTES = 1 << 20


def skip_header(buffer: Buffer, source: SourceSettings) -> None:
    """Take the line of column names, where the file has one."""
    if source.header is True:
        buffer.skip_blank_lines()
        buffer.skip_line()


@dataclass
class Records:
    """Read records one by one.

    Attributes
    ----------
    n_records
        Those before, and those that were read.
    """

    buffer: Buffer
    source: SourceSettings
    names: list[str]
    rejects: Rejects
    n_records: int = 0

    def __post_init__(self) -> None:
        self._delimiter = delimiter_of(self.source).encode()

    def batches(self, n_bytes: int | None = None) -> Iterator[TextBatch]:
        """Yield records, each in a batch or among the rejects: all that are left, or of so many bytes at least."""
        until = None if n_bytes is None else self.buffer.place + n_bytes
        taken: dict[int, bytes] = {}
        columns: list[list[str]] = [[] for _ in self.names]
        while (until is None or self.buffer.place < until) and (found := self._next()):
            record, is_whole = found
            self.n_records += 1
            if (fields := self._fields(record, is_whole=is_whole)) is not None:
                taken[self.n_records] = record
                for column, value in zip(columns, fields, strict=True):
                    column.append(value)
            # Also where all were rejected: who waits for a batch sees that records are read.
            if self.n_records % BATCH_RECORDS == 0:
                yield self._batch(taken, columns)
                taken, columns = {}, [[] for _ in self.names]
        yield self._batch(taken, columns)

    def _batch(self, taken: dict[int, bytes], columns: list[list[str]]) -> TextBatch:
        arrays = {name: pa.array(values, pa.string()) for name, values in zip(self.names, columns, strict=True)}
        return TextBatch(pa.array(list(taken), pa.int64()), arrays, taken.__getitem__)

    def _next(self) -> tuple[bytes, bool] | None:
        """Take a record without its line end, with whether it is whole; blank lines are none.

        A quote that stays open, or closes where no field ends, damages its first line only: reading goes on with the next.
        """
        buffer = self.buffer
        buffer.skip_blank_lines()
        size = buffer.line_size(0, LONGEST_LINE_BYTES + len(b"\r\n"))
        if size is None:
            # Nothing, or a line whose end lies further on.
            beginning = buffer.look(LONGEST_LINE_BYTES + 1)
            if beginning:
                buffer.skip(len(beginning))
                buffer.skip_line()
            return (beginning, True) if beginning else None
        line = buffer.look(size)
        if has_quotes(self.source) and _quote_after(line, self._delimiter, is_open=False) is True:
            longer = self._joined(size)
            if longer is None:
                buffer.skip(size)
                return line.rstrip(b"\r\n"), False
            line = longer
        buffer.skip(len(line))
        return line.rstrip(b"\r\n"), True

    def _joined(self, size: int) -> bytes | None:
        """Return the lines over which a quoted field goes; None where they are no record."""
        n_lines, is_open = 1, True
        while is_open:
            following = self.buffer.line_size(size, JOINED_BYTES - size)
            if n_lines == JOINED_LINES or following is None:
                return None
            state = _quote_after(self.buffer.look(following, size), self._delimiter, is_open=True)
            if state is None:
                return None
            n_lines, size, is_open = n_lines + 1, size + following, state
        record = self.buffer.look(size)
        # Where they are no text that is for the reader to say.
        text = record.rstrip(b"\r\n").decode("utf-8", "replace")
        return record if split(_lines_in(text), self.source) is not None else None

    def _fields(self, record: bytes, *, is_whole: bool) -> list[str] | None:
        """Return the fields of a record, or reject it."""
        number, n_names = self.n_records, len(self.names)
        if len(record) > LONGEST_LINE_BYTES:
            self.rejects.add(number, "too_long", f"more than {LONGEST_LINE_BYTES} bytes", record[:JOINED_BYTES])
        elif not is_whole:
            self.rejects.add(number, "open_quote", "a quote is opened and not closed", record)
        elif b"\x00" in record:
            self.rejects.add(number, "bad_text", "NUL byte", record)
        else:
            try:
                fields = split(_lines_in(record.decode("utf-8")), self.source)
            except UnicodeDecodeError as error:
                self.rejects.add(number, "bad_encoding", f"byte {error.start}: {error.reason}", record)
                return None
            if fields is not None and len(fields) == n_names:
                return fields
            if fields is None:
                self.rejects.add(number, "bad_quotes", "text after a closing quote", record)
            else:
                self.rejects.add(number, "field_count", f"found {len(fields)} fields, expected {n_names}", record)
        return None


def _quote_after(line: bytes, delimiter: bytes, *, is_open: bool) -> bool | None:
    """Say whether a quoted field is open at the end of a line; None: one closes where no field ends.

    Quotes within a field that does not begin with one are letters.
    """
    place, is_start = 0, not is_open
    while True:
        if is_open:
            place = line.find(b'"', place)
            if place < 0:
                return True
            is_open = line[place + 1 : place + 2] == b'"'
            place += 2 if is_open else 1
            if (
                not is_open
                and line[place : place + 1] not in (b"", b"\r", b"\n")
                and not line.startswith(delimiter, place)
            ):
                return None
        elif is_start and line[place : place + 1] == b'"':
            is_open, is_start, place = True, False, place + 1
        else:
            place = line.find(delimiter, place)
            if place < 0:
                return False
            place, is_start = place + len(delimiter), True


def is_whole_line(line: bytes, source: SourceSettings) -> bool:
    """Say whether a line, without its line feed, is a record by itself whose quotes are in order or letters."""
    is_closed = _quote_after(line, delimiter_of(source).encode(), is_open=False) is False
    return is_closed and split([line.rstrip(b"\r").decode("utf-8", "replace")], source) is not None


def _lines_in(text: str) -> list[str]:
    """A record's lines with their ends: LF, CRLF or CR, and not what else is a line end in Unicode."""
    return list(io.StringIO(text, newline=""))


class RecordReader:
    """Read a whole file record by record: what `csv_pieces.PieceReader` is held against."""

    def __init__(self, path: Path, source: SourceSettings, names: list[str], rejects: Rejects) -> None:
        self._path, self._source, self._names, self._rejects = path, source, names, rejects
        self.n_records = 0

    def batches(self) -> Iterator[TextBatch]:
        """Yield its records, each in a batch or among the rejects."""
        with refusing_damage(), open_utf8(self._path, self._source.encoding) as stream:
            buffer = Buffer(stream)
            skip_header(buffer, self._source)
            records = Records(buffer, self._source, self._names, self._rejects)
            yield from records.batches()
            self.n_records = records.n_records
