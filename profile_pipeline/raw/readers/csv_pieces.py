"""Delimited text in pieces that end where a record does: counted by line ends outside of quotes, and split by pyarrow.

A piece of which both are not sure is cut smaller, and what is left in doubt is read record by record (`csv_lossless`). Not here: how a
file is written (`csv`), or what columns mean.
"""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from profile_pipeline.raw.readers.buffer import Buffer
from profile_pipeline.raw.readers.bytes import LONGEST_LINE_BYTES, open_utf8, refusing_damage
from profile_pipeline.raw.readers.csv import (
    NEWLINE,
    QUOTE,
    RETURN,
    UNIT_SEPARATOR,
    delimiter_of,
    has_quotes,
)
from profile_pipeline.raw.readers.csv_lossless import JOINED_BYTES, JOINED_LINES, Records, is_whole_line, skip_header
from profile_pipeline.raw.readers.records import BATCH_RECORDS, Rejects, TextBatch, UnsureError
from profile_pipeline.source_settings import SourceSettings

PIECE_BYTES, SMALL_PIECE_BYTES = 8 << 20, 64 << 10
FEW_RECORDS = 64
# So many lines of a piece are looked at one by one.
MOST_UNCLEAR = 1_000


@dataclass(frozen=True)
class _Piece:
    """Whole records: the bytes, and where each record that is not blank starts and ends."""

    data: bytes
    starts: np.ndarray
    ends: np.ndarray

    def record(self, place: int) -> bytes:
        """Return a record as it stands, without its line end."""
        return self.data[int(self.starts[place]) : int(self.ends[place])]


@dataclass
class PieceReader:
    """Read a file of delimited text.

    Parameters
    ----------
    names
        Its columns.
    rejects
        Takes the records that can't be read.
    most_doubts
        Of how many small pieces at most records are read one by one, beside one for each 8 MB of the file; None: of any number.

    Attributes
    ----------
    n_records
        Counted so far, apart from the parser; all of them when `batches` is exhausted.
    """

    path: Path
    source: SourceSettings
    names: list[str]
    rejects: Rejects
    most_doubts: int | None = None
    n_records: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._around_quotes = np.frombuffer(b'\r\n"' + delimiter_of(self.source).encode(), np.uint8)

    def batches(self) -> Iterator[TextBatch]:
        """Yield its records, each in a batch or among the rejects.

        Raises
        ------
        UnsureError
            If more pieces than `most_doubts` allows have to be read record by record.
        """
        with refusing_damage(), open_utf8(self.path, self.source.encoding) as stream:
            buffer = Buffer(stream)
            skip_header(buffer, self.source)
            n_bytes, doubtful_until, n_doubts = PIECE_BYTES, 0, 0
            while True:
                try:
                    piece = self._cut(buffer, n_bytes)
                    if piece is None:
                        return
                    found = list(self._parsed(piece))
                except UnsureError:
                    if n_bytes > SMALL_PIECE_BYTES:
                        # Cut smaller until the doubt stands alone: each batch has a price beside that of its records.
                        doubtful_until = buffer.place + n_bytes
                        n_bytes = max(SMALL_PIECE_BYTES, n_bytes // 4)
                        continue
                    n_doubts += 1
                    # In a large file a few more are no sign of damage, and to begin anew would cost most where it is nearly read.
                    if self.most_doubts is not None and n_doubts > self.most_doubts + buffer.place // PIECE_BYTES:
                        raise
                    records = Records(buffer, self.source, self.names, self.rejects, self.n_records)
                    yield from records.batches(SMALL_PIECE_BYTES)
                    self.n_records = records.n_records
                else:
                    buffer.skip(len(piece.data))
                    self.n_records += len(piece.starts)
                    yield from found
                if buffer.place >= doubtful_until:
                    n_bytes = min(PIECE_BYTES, 4 * n_bytes)

    def _cut(self, buffer: Buffer, n_bytes: int) -> _Piece | None:
        """Return the next whole records, of about so many bytes; None at the end.

        Raises
        ------
        UnsureError
            Where quotes do not enclose whole fields or stay open for longer than a record may be; for lone carriage returns and NUL.
        """
        while data := buffer.look(n_bytes):
            is_last = buffer.is_all(len(data))
            bytes_of = np.frombuffer(data, np.uint8)
            newlines = np.flatnonzero(bytes_of == NEWLINE)
            quotes = np.empty(0, np.int64)
            if has_quotes(self.source) and b'"' in data:
                quotes = np.flatnonzero(bytes_of == QUOTE)
                if not self._enclose_fields(bytes_of, quotes) and self._are_whole(data, quotes, newlines):
                    # Where quotes are letters they say nothing of where records end: every line does.
                    quotes = quotes[quotes > newlines[-1]]
            is_end = np.searchsorted(quotes, newlines) % 2 == 0
            ends = newlines[is_end]
            if is_last:
                if len(quotes) % 2:
                    raise UnsureError("an odd number of quotes")
                if not len(ends) or ends[-1] + 1 < len(data):
                    newlines, ends = np.append(newlines, len(data)), np.append(ends, len(data))
            if len(ends):
                size = min(int(ends[-1]) + 1, len(data))
                piece = data[:size]
                self._check(piece, quotes[quotes < size], newlines[newlines <= ends[-1]], ends)
                return _piece(piece, ends)
            if len(quotes) and len(data) > JOINED_BYTES:
                raise UnsureError("a quote that stays open")
            if b"\r" in data:
                self._check_returns(bytes_of[:-1] if data.endswith(b"\r") else bytes_of)
            if len(data) > LONGEST_LINE_BYTES:
                raise UnsureError("a line that is too long")
            n_bytes = min(2 * n_bytes, LONGEST_LINE_BYTES + 1)
        return None

    def _check(self, piece: bytes, quotes: np.ndarray, newlines: np.ndarray, ends: np.ndarray) -> None:
        """See that splitting by lines and quotes alone is right for a piece."""
        if b"\x00" in piece:
            raise UnsureError("NUL bytes")
        if piece.startswith(codecs.BOM_UTF8):
            # A letter here; pyarrow takes it for the mark of a file.
            raise UnsureError("a byte order mark within the file")
        data = np.frombuffer(piece, np.uint8)
        if b"\r" in piece:
            self._check_returns(data)
        if len(piece) > LONGEST_LINE_BYTES and np.diff(ends, prepend=-1).max() > LONGEST_LINE_BYTES:
            raise UnsureError("a line that is too long")
        if not len(quotes):
            return
        if not self._enclose_fields(data, quotes):
            raise UnsureError("quotes within a field")
        if len(newlines) > len(ends):
            n_lines = np.diff(np.searchsorted(newlines, ends, side="right"), prepend=0)
            n_bytes = np.diff(ends, prepend=0)
            if (n_lines > JOINED_LINES).any() or ((n_lines > 1) & (n_bytes >= JOINED_BYTES)).any():
                raise UnsureError("a record of many lines")

    def _enclose_fields(self, data: np.ndarray, quotes: np.ndarray) -> bool:
        """Say whether each quote opens or closes a field: what is before the one and after the other ends a field or is a quote."""
        opens, closes = quotes[::2], quotes[1::2]
        before = data[opens[opens > 0] - 1]
        after = data[closes[closes + 1 < len(data)] + 1]
        return bool(np.isin(before, self._around_quotes).all() and np.isin(after, self._around_quotes).all())

    def _are_whole(self, data: bytes, quotes: np.ndarray, newlines: np.ndarray) -> bool:
        """Say whether each line is a record by itself, though quotes in some are letters; what follows the last line end apart."""
        if not len(newlines):
            return False
        quotes = quotes[quotes < newlines[-1]]
        bytes_of = np.frombuffer(data, np.uint8)
        lines = np.searchsorted(newlines, quotes)
        starts = np.concatenate([[0], newlines[:-1] + 1])
        is_opening = (np.arange(len(quotes)) - np.searchsorted(quotes, starts)[lines]) % 2 == 0
        before = np.where(quotes == starts[lines], NEWLINE, bytes_of[np.maximum(quotes - 1, 0)])
        is_odd = ~np.isin(np.where(is_opening, before, bytes_of[quotes + 1]), self._around_quotes)
        n_quotes, n_odd = np.bincount(lines, minlength=len(newlines)), np.bincount(lines, is_odd, len(newlines))
        begins_field = np.isin(before, self._around_quotes[self._around_quotes != QUOTE])
        n_beginning = np.bincount(lines, begins_field, len(newlines))
        unclear = np.flatnonzero(((n_odd > 0) | (n_quotes % 2 == 1)) & (n_beginning > 0))
        return len(unclear) <= MOST_UNCLEAR and all(
            is_whole_line(data[int(starts[line]) : int(newlines[line])], self.source) for line in unclear
        )

    @staticmethod
    def _check_returns(data: np.ndarray) -> None:
        returns = np.flatnonzero(data == RETURN)
        if len(returns) and (returns[-1] + 1 >= len(data) or (data[returns + 1] != NEWLINE).any()):
            raise UnsureError("carriage returns without line feed")

    def _parsed(self, piece: _Piece) -> Iterator[TextBatch]:
        """Split the records of a piece into fields.

        Raises
        ------
        UnsureError
            If they are not as many as were counted, or one that spans lines has not as many fields as there are columns.
        """
        if not len(piece.starts):
            return
        data, delimiter = piece.data, delimiter_of(self.source)
        if len(delimiter.encode()) > 1:
            if has_quotes(self.source):
                raise UnsureError("a delimiter of several bytes beside quotes")
            if UNIT_SEPARATOR in data:
                raise UnsureError("the byte 0x1f")
            data, delimiter = data.replace(delimiter.encode(), UNIT_SEPARATOR), UNIT_SEPARATOR.decode()
        ragged: dict[int, str] = {}

        def note(row: pacsv.InvalidRow) -> str:
            # Of several lines: a quote was left open. Raised here, it would be printed and forgotten.
            if row.text and "\n" in row.text.strip("\r\n"):
                return "error"
            ragged[row.number - 1] = f"found {row.actual_columns} fields, expected {row.expected_columns}"
            return "skip"

        try:
            table = pacsv.read_csv(
                pa.py_buffer(data),
                read_options=pacsv.ReadOptions(use_threads=False, block_size=len(data), column_names=self.names),
                parse_options=pacsv.ParseOptions(
                    delimiter=delimiter, quote_char='"' if has_quotes(self.source) else False,
                    newlines_in_values=has_quotes(self.source), invalid_row_handler=note,
                ),
                convert_options=pacsv.ConvertOptions(
                    column_types={name: pa.binary() for name in self.names}, strings_can_be_null=False
                ),
            )  # fmt: skip
        except pa.ArrowInvalid as error:
            raise UnsureError(str(error)) from None
        if table.num_rows + len(ragged) != len(piece.starts):
            raise UnsureError("the records counted are not those that were split")
        first = self.n_records + 1
        for place, told in ragged.items():
            self.rejects.add(first + place, "field_count", told, piece.record(place))
        places = np.delete(np.arange(len(piece.starts)), list(ragged))
        # Also where all were rejected: who waits for a batch sees that records are read.
        for start in range(0, max(1, table.num_rows), BATCH_RECORDS):
            part = table.slice(start, BATCH_RECORDS).combine_chunks()
            yield self._as_text(part, piece, places[start : start + BATCH_RECORDS], first)

    def _as_text(self, part: pa.Table, piece: _Piece, places: np.ndarray, first: int) -> TextBatch:
        """Make text of bytes; records that are none are rejected."""
        try:
            columns = {name: part.column(i).cast(pa.string()) for i, name in enumerate(self.names)}
        except pa.ArrowInvalid:
            bad = sorted({row for column in part.columns for row in _rows_without_text(column, 0)})
            for row in bad:
                place = int(places[row])
                record = piece.record(place)
                try:
                    record.decode("utf-8")
                except UnicodeDecodeError as error:
                    told = f"byte {error.start}: {error.reason}"
                    self.rejects.add(first + place, "bad_encoding", told, record)
            good = np.ones(part.num_rows, bool)
            good[bad] = False
            part, places = part.filter(pa.array(good)), places[good]
            columns = {name: part.column(i).cast(pa.string()) for i, name in enumerate(self.names)}
        arrays = {name: column.combine_chunks() for name, column in columns.items()}
        return TextBatch(pa.array(places + first, pa.int64()), arrays, lambda number: piece.record(number - first))


def _piece(data: bytes, ends: np.ndarray) -> _Piece:
    """Find the records that are not blank, without their line ends."""
    starts = np.concatenate([[0], ends[:-1] + 1])
    bytes_of = np.frombuffer(data, np.uint8)
    is_return = (ends > starts) & (bytes_of[np.maximum(ends - 1, 0)] == RETURN)
    ends = ends - is_return
    return _Piece(data, starts[ends > starts], ends[ends > starts])


def _rows_without_text(column: pa.ChunkedArray, offset: int) -> list[int]:
    """Return the rows that are not text. Damage is rare: a half that is text is not looked into."""
    try:
        column.cast(pa.string())
        return []
    except pa.ArrowInvalid:
        if len(column) > FEW_RECORDS:
            middle = len(column) // 2
            left, right = column.slice(0, middle), column.slice(middle)
            return _rows_without_text(left, offset) + _rows_without_text(right, offset + middle)
    return [offset + row for row, value in enumerate(column.to_pylist()) if not _is_text(value)]


def _is_text(value: bytes | None) -> bool:
    try:
        (value or b"").decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
