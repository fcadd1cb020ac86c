"""Delimited text: how it is written, and a fast path by pyarrow. Records are counted apart from it, by the line ends outside of quotes.

Not here: files that the fast path is not sure of (`csv_lossless`), or what columns mean.
"""

import csv
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from profile_pipeline.raw.mapping import columns_read
from profile_pipeline.raw.readers.bytes import (
    BLOCK_BYTES,
    LONGEST_LINE_BYTES,
    FileRefused,
    open_utf8,
    refusing_damage,
)
from profile_pipeline.raw.readers.records import BATCH_RECORDS, Rejects, TextBatch
from profile_pipeline.source_settings import SourceSettings

LONGEST_HEADER_BYTES = 1 << 20
# A block is allocated whole: for a small file a small one.
FAST_BLOCK_BYTES, SMALL_BLOCK_BYTES = 8 << 20, 1 << 20
FEW_RECORDS = 64
UNIT_SEPARATOR = b"\x1f"
QUOTE, NEWLINE, RETURN = b'"'[0], b"\n"[0], b"\r"[0]
DELIMITERS = (",", ";", "\t", "|")
# The module's own limit is 128 KiB a field, and it would call a longer one a fault of quoting.
csv.field_size_limit(LONGEST_LINE_BYTES)


class UnsureError(Exception):
    """The fast path and the count disagree: the file is read record by record."""


def delimiter_of(source: SourceSettings) -> str:
    """Return the delimiter of a source."""
    return source.delimiter or ("\t" if source.format == "tsv" else ",")


def has_quotes(source: SourceSettings) -> bool:
    """Say whether fields may be quoted; between delimiters of several characters they never are."""
    return source.has_quotes and len(delimiter_of(source)) == 1


def count_records(path: Path, source: SourceSettings) -> int:
    """Count records, the header apart, by line ends outside of quotes; blank lines are none.

    Raises
    ------
    UnsureError
        If the file needs the lossless path: quotes that do not enclose whole fields, lone carriage returns, NUL bytes.
    """
    n_lines, is_quoted, has_content = 0, False, False
    is_quotable = has_quotes(source)
    last_byte = NEWLINE
    allowed = np.frombuffer(b'\r\n"' + delimiter_of(source).encode(), np.uint8) if is_quotable else None
    with refusing_damage(), open_utf8(path, source.encoding) as stream:
        while block := block_of(stream):
            if b"\x00" in block:
                raise UnsureError("NUL bytes")
            data = np.frombuffer(block, np.uint8)
            if b"\r" in block:
                returns = np.flatnonzero(data == RETURN)
                if returns[-1] + 1 >= len(data) or (data[returns + 1] != NEWLINE).any():
                    raise UnsureError("carriage returns without line feed")
            quotes = np.flatnonzero(data == QUOTE) if allowed is not None else np.empty(0, np.int64)
            if allowed is not None and len(quotes):
                _check_quotes(data, quotes, allowed, last_byte, is_quoted=is_quoted)
            ends = np.flatnonzero(data == NEWLINE)
            ends = ends[(np.searchsorted(quotes, ends) + is_quoted) % 2 == 0]
            before = np.concatenate([[-1], ends])
            for_length = np.diff(before) - 1
            if len(ends):
                lengths = for_length.copy()
                is_return = (ends > 0) & (data[np.maximum(ends - 1, 0)] == RETURN)
                lengths -= is_return & (lengths > 0)
                has_text = lengths > 0
                has_text[0] = has_text[0] or has_content
                n_lines += int(has_text.sum())
                has_content = len(data) - 1 > ends[-1] and bool((data[ends[-1] + 1 :] != RETURN).any())
            else:
                has_content = has_content or bool((data != RETURN).any())
            is_quoted = is_quoted != bool(len(quotes) % 2)
            last_byte = int(data[-1])
    if is_quoted:
        raise UnsureError("an odd number of quotes")
    n_lines += int(has_content and last_byte != NEWLINE)
    return max(0, n_lines - (1 if source.header is True else 0))


def block_of(stream: BinaryIO) -> bytes:
    """Read a block that does not end between what has to be seen together: a quote or carriage return and what follows."""
    block = stream.read(BLOCK_BYTES)
    while block[-1:] in (b'"', b"\r") and (more := stream.read(1)):
        block += more
    return block


def _check_quotes(
    data: np.ndarray, quotes: np.ndarray, allowed: np.ndarray, last_byte: int, *, is_quoted: bool
) -> None:
    """See that each quote opens or closes a field: what is before the one and after the other ends a field or is a quote."""
    opens, closes = quotes[int(is_quoted) :: 2], quotes[1 - int(is_quoted) :: 2]
    before = np.where(opens > 0, data[np.maximum(opens - 1, 0)], last_byte)
    after = data[closes[closes + 1 < len(data)] + 1]
    if not (np.isin(before, allowed).all() and np.isin(after, allowed).all()):
        raise UnsureError("quotes within a field")


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
    if len(first) == LONGEST_HEADER_BYTES:
        raise FileRefused(
            "bad_header", f"found a first line longer than {LONGEST_HEADER_BYTES} bytes, expected column names"
        )
    line = first.strip(b"\r\n").split(b"\r")[0]
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


def read_fast(path: Path, source: SourceSettings, names: list[str], rejects: Rejects) -> Iterator[TextBatch]:
    """Read by pyarrow; records with a wrong number of fields or bytes that are no text are rejected.

    Raises
    ------
    UnsureError
        If a damaged record spans lines: then a quote was left open.
    """
    bad: dict[int, str] = {}
    n_header = 1 if source.header is True else 0

    def ragged(row: pacsv.InvalidRow) -> str:
        if row.text and "\n" in row.text.strip("\r\n"):
            # Raised here, it would be printed and forgotten: the reader is told to stop instead.
            return "error"
        text = (row.text or "").replace(UNIT_SEPARATOR.decode(), delimiter_of(source))
        bad[row.number - n_header] = text
        told = f"found {row.actual_columns} fields, expected {row.expected_columns}"
        rejects.add(row.number - n_header, "field_count", told, text)
        return "skip"

    delimiter = delimiter_of(source)
    block_bytes = min(FAST_BLOCK_BYTES, max(SMALL_BLOCK_BYTES, path.stat().st_size))
    with refusing_damage(), open_utf8(path, source.encoding) as stream:
        if len(delimiter) > 1:
            stream = io.BufferedReader(_OneByteDelimiter(stream, delimiter.encode()), BLOCK_BYTES)  # type: ignore[assignment]
            delimiter = UNIT_SEPARATOR.decode()
        try:
            reader = pacsv.open_csv(
                stream,
                read_options=pacsv.ReadOptions(
                    use_threads=False, block_size=block_bytes, column_names=names, skip_rows=n_header,
                ),
                parse_options=pacsv.ParseOptions(
                    delimiter=delimiter, quote_char='"' if has_quotes(source) else False, newlines_in_values=has_quotes(source), invalid_row_handler=ragged,
                ),
                convert_options=pacsv.ConvertOptions(column_types={name: pa.binary() for name in names}, strings_can_be_null=False),
            )  # fmt: skip
            n_seen = 0
            for batch in reader:
                candidates = np.arange(n_seen + 1, n_seen + 1 + batch.num_rows + len(bad))
                numbers = candidates[~np.isin(candidates, list(bad))][: batch.num_rows]
                n_seen = int(numbers[-1]) if len(numbers) else n_seen
                for text in _as_text(batch, numbers, names, rejects):
                    yield replace(text, delimiter=delimiter_of(source), has_quotes=has_quotes(source))
        except pa.ArrowInvalid as error:
            raise UnsureError(str(error)) from None


def _as_text(batch: pa.RecordBatch, numbers: np.ndarray, names: list[str], rejects: Rejects) -> Iterator[TextBatch]:
    row_numbers = pa.array(numbers, pa.int64())
    for start in range(0, batch.num_rows, BATCH_RECORDS):
        part, places = batch.slice(start, BATCH_RECORDS), row_numbers.slice(start, BATCH_RECORDS)
        try:
            columns = {name: part.column(i).cast(pa.string()) for i, name in enumerate(names)}
        except pa.ArrowInvalid:
            good = _reject_bytes(part, places, rejects)
            part, places = part.filter(good), places.filter(good)
            columns = {name: part.column(i).cast(pa.string()) for i, name in enumerate(names)}
        yield TextBatch(places, columns)


def _reject_bytes(part: pa.RecordBatch, places: pa.Array, rejects: Rejects) -> pa.Array:
    """Reject the records that are not text; return which rows are."""
    bad = sorted({row for column in part.columns for row in _rows_without_text(column, 0)})
    good = np.ones(part.num_rows, bool)
    good[bad] = False
    for row in bad:
        record = b",".join(column[row].as_py() or b"" for column in part.columns)
        try:
            record.decode("utf-8")
        except UnicodeDecodeError as error:
            rejects.add(places[row].as_py(), "bad_encoding", f"byte {error.start}: {error.reason}", record)
    return pa.array(good)


def _rows_without_text(column: pa.Array, offset: int) -> list[int]:
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


class _OneByteDelimiter(io.RawIOBase):
    """A stream whose delimiter of several bytes is turned into one byte, which must not stand in it otherwise."""

    def __init__(self, source: BinaryIO, delimiter: bytes) -> None:
        self._source, self._delimiter = source, delimiter
        self._held, self._rest = b"", b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]
        while not self._held:
            block = self._source.read(BLOCK_BYTES)
            if UNIT_SEPARATOR in block:
                raise UnsureError("the byte 0x1f")
            # A delimiter may lie across two blocks: what could be its beginning waits for the next one.
            whole = self._rest + block
            if len(self._rest) > FAST_BLOCK_BYTES:
                raise UnsureError("a line longer than a block")
            border = max(0, whole.rfind(b"\n") + 1) if block else len(whole)
            self._held, self._rest = whole[:border].replace(self._delimiter, UNIT_SEPARATOR), whole[border:]
            if not block:
                break
        n = min(len(buffer), len(self._held))
        buffer[:n], self._held = self._held[:n], self._held[n:]
        return n
