"""A JSON file cut into the texts of its records: one a line, or the objects of an array, or objects that span lines.

Which of them a file is shows at its beginning. A text may be anything, the parser judges it. Not here: parsing.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from profile_pipeline.raw.readers.buffer import Buffer
from profile_pipeline.raw.readers.bytes import (
    BLOCK_BYTES,
    LONGEST_LINE_BYTES,
    FileRefused,
    lines_of,
    open_utf8,
    refuse_nothing,
    refusing_damage,
)

# Whole strings, so that no brace within one counts; a quote alone begins a string that has not been read to its end.
_MARK = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|["{}\[\]]', re.DOTALL)
_BETWEEN = b" \t\r\n,"
_NEWLINE, _RETURN, _SPACE = b"\n\r "
TOGETHER_BYTES = 4 << 20
# After damage what follows is looked at again; beyond this the rest is one damaged record.
MOST_BYTES_AGAIN = 16 << 20


@dataclass(frozen=True)
class Texts:
    """Texts of records, each a stretch of one block."""

    block: bytes
    starts: np.ndarray
    ends: np.ndarray

    @classmethod
    def of(cls, texts: Sequence[bytes]) -> "Texts":
        """Put texts into a block."""
        lengths = np.fromiter(map(len, texts), np.int64, len(texts))
        ends = np.cumsum(lengths + 1) - 1
        return cls(b"\n".join(texts), ends - lengths, ends)

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, row: int) -> bytes:
        return self.block[self.starts[row] : self.ends[row]]


def texts_of(path: Path, encoding: str) -> Iterator[Texts]:
    """Return the texts of records, in order, by some megabytes.

    Raises
    ------
    FileRefused
        If there is nothing in the file, and it is not packed; or an object that spans lines has no end within 32 MiB.
    """
    first = next(lines_of(path, encoding), b"").strip()
    if not first:
        refuse_nothing(path)
        return iter(())
    if spans_lines(first):
        return _together(_objects_of(path, encoding))
    return _lines_of(path, encoding)


def _lines_of(path: Path, encoding: str) -> Iterator[Texts]:
    """Return lines that are not blank; of one that is too long only what shows that it is."""
    with refusing_damage(), open_utf8(path, encoding) as stream:
        buffer, n_bytes = Buffer(stream), TOGETHER_BYTES
        while block := buffer.look(n_bytes):
            ends = np.flatnonzero(np.frombuffer(block, np.uint8) == _NEWLINE)
            if buffer.is_all(len(block)):
                ends = np.append(ends, len(block))
            if len(ends):
                block = block[: ends[-1] + 1]
                buffer.skip(len(block))
                if len(texts := _not_blank(block, np.concatenate([[0], ends[:-1] + 1]), ends)):
                    yield texts
                n_bytes = TOGETHER_BYTES
            elif len(block) < LONGEST_LINE_BYTES + len(b"x\r"):
                n_bytes = min(2 * n_bytes, LONGEST_LINE_BYTES + len(b"x\r"))
            else:
                yield Texts.of([block[: LONGEST_LINE_BYTES + 1]])
                while (block := buffer.look(BLOCK_BYTES)) and b"\n" not in block:
                    buffer.skip(len(block))
                buffer.skip(block.find(b"\n") + 1)
                n_bytes = TOGETHER_BYTES


def _not_blank(block: bytes, starts: np.ndarray, ends: np.ndarray) -> Texts:
    data = np.frombuffer(block, np.uint8)
    ends = ends - ((ends > starts) & (data[np.maximum(ends - 1, 0)] == _RETURN))
    is_text = ends > starts
    # Only what begins with a space can be blank.
    for row in np.flatnonzero(is_text & (data[np.minimum(starts, len(data) - 1)] <= _SPACE)).tolist():
        is_text[row] = bool(block[starts[row] : ends[row]].strip())
    return Texts(block, starts[is_text], ends[is_text])


def _together(texts: Iterator[bytes]) -> Iterator[Texts]:
    held, n_bytes = [], 0
    for text in texts:
        held.append(text)
        n_bytes += len(text)
        if n_bytes >= TOGETHER_BYTES:
            yield Texts.of(held)
            held, n_bytes = [], 0
    if held:
        yield Texts.of(held)


def objects_in(content: bytes) -> list[bytes]:
    """Return the whole objects of arrays, or one after another; of text that was cut, those before the cut."""
    cut = _Cut()
    return [text for text in (*cut.fed(content), *cut.rest()) if text.startswith(b"{") and _is_json(text)]


def holds_object(content: bytes) -> bool:
    """Say whether an object begins and ends within a text that may be cut."""
    return any(text.startswith(b"{") and _is_json(text) for text in _Cut().fed(content))


def spans_lines(content: bytes) -> bool:
    """Say whether the first line of a text begins an array of objects, or an object that goes on in the next lines."""
    first = content.lstrip().partition(b"\n")[0].strip()
    return first == b"{" or re.match(rb"\[\s*(\{|$)", first) is not None


def _objects_of(path: Path, encoding: str) -> Iterator[bytes]:
    """Return the objects of arrays or one after another, and what else stands between them as texts of their own."""
    cut = _Cut()
    with refusing_damage(), open_utf8(path, encoding) as stream:
        # What is held of an object is looked through again with each block: the larger, the more.
        while block := stream.read(max(BLOCK_BYTES, len(cut.held))):
            yield from cut.fed(block)
    yield from cut.rest()


class _Cut:
    """Cuts objects out of bytes that come in blocks."""

    def __init__(self) -> None:
        self.held = b""
        # Where in `held` the object begins, how far it was looked at, and how deep that place lies in it; 0: between objects.
        self.start = self.place = self.depth = 0
        self.n_arrays = self.n_bytes_again = 0

    def fed(self, block: bytes) -> Iterator[bytes]:
        self.held += block
        yield from self._scanned()
        if len(self.held) - self.start > LONGEST_LINE_BYTES:
            # What follows can't be told apart without holding it.
            raise FileRefused("too_long", f"an object is longer than {LONGEST_LINE_BYTES} bytes, or is not closed")
        self.held, self.place, self.start = self.held[self.start :], self.place - self.start, 0

    def _scanned(self) -> Iterator[bytes]:
        while (mark := _MARK.search(self.held, self.place)) is not None:
            found = mark[0]
            if found == b'"':
                break
            self.place = mark.end()
            if self.depth == 0 and found in (b"{", b"[", b"]"):
                yield from self._between(mark.start())
                self.start = mark.start() if found == b"{" else mark.end()
                self.depth = int(found == b"{")
                self.n_arrays += {b"[": 1, b"]": -1}.get(found, 0)
            elif found in (b"{", b"["):
                self.depth += 1
            elif found in (b"}", b"]") and self.depth:
                self.depth -= 1
                if self.depth == 0:
                    yield from self._ended(mark.end())

    def _between(self, end: int) -> Iterator[bytes]:
        if text := self.held[self.start : end].strip(_BETWEEN):
            yield text

    def _ended(self, end: int) -> Iterator[bytes]:
        text, self.start = self.held[self.start : end], end
        if b"\n" in text.strip() and self.n_bytes_again < MOST_BYTES_AGAIN and not _is_json(text):
            yield self._first_line_of(end - len(text))
            return
        yield text

    def _first_line_of(self, start: int) -> bytes:
        """Take the first line of what is no object for damaged, and go on with the next."""
        end = self.held.find(b"\n", start)
        end = len(self.held) if end < 0 else end
        self.n_bytes_again += len(self.held) - end
        self.start = self.place = end
        self.depth = 0
        return self.held[start:end]

    def rest(self) -> Iterator[bytes]:
        """Return what is left at the end of the file; an object or an array that is not closed is damage."""
        was_cut = False
        while self.depth and self.n_bytes_again < MOST_BYTES_AGAIN:
            was_cut = True
            yield self._first_line_of(self.start)
            yield from self._scanned()
        if text := self.held[self.start :].strip(_BETWEEN):
            was_cut = True
            yield text
        if self.n_arrays > 0 and not was_cut:
            yield b"["


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return False
    return True
