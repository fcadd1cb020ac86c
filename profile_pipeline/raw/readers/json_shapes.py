"""Lines of JSON that are written like one seen before: taken apart all at once, by where their quotes are.

A shape is made from a record that the strict parser has read: the pieces of its line between the values. A line has the shape if
between its values it has these pieces to the byte, and its values are strings without escapes, numbers, true, false or null. That is
JSON beyond doubt, and says of each name what the strict parser says; numbers are kept as they are written. Whatever has no known
shape is parsed strictly. Not here: parsing, or what the fields mean.
"""

import codecs
import json
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from profile_pipeline.raw.readers.bytes import LONGEST_LINE_BYTES
from profile_pipeline.raw.readers.json_texts import Texts

MOST_SHAPES = 8
# Room behind the last line, so that a word can be looked at wherever a line ends, and quotes behind every line.
_ROOM = b'""' + bytes(64)
# What is no string and longer is read by the parser.
LONGEST_OTHER = 40
_QUOTE, _RETURN, _BACKSLASH, _SPACE = b'"\r\\ '
_NULL = int.from_bytes(b"null", "little")
_STOPS = np.zeros(256, bool)
_STOPS[list(b",} \t\r\n\x00")] = True
_OTHER = r"^(?:-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false)$"
_TOKEN = re.compile(r'"[^"]*"|[{}:,]|[^\s{}:,"]+')


@dataclass(frozen=True)
class Shape:
    """How a record is written: `names` are dotted, in order; `pieces` stand before, between and after their values."""

    names: tuple[str, ...]
    pieces: tuple[bytes, ...]


def shape_of(text: str) -> Shape | None:
    """Return the shape of a record that is strict JSON, or None where it holds a list, an escape, nothing, or a dotted name twice."""
    if "\\" in text or any(character < " " for character in text.rstrip("\r")):
        return None
    names: list[str] = []
    if not _named(json.loads(text), "", names) or not names or len(set(names)) < len(names):
        return None
    pieces, end, before = [], 0, ""
    for token in _TOKEN.finditer(text):
        if before == ":" and token[0] != "{":
            pieces.append(text[end : token.start()].encode())
            end = token.end()
        before = token[0]
    return Shape(tuple(names), (*pieces, text[end:].rstrip("\r").encode()))


def _named(record: dict[str, Any], prefix: str, names: list[str]) -> bool:
    for name, value in record.items():
        if isinstance(value, list):
            return False
        if not isinstance(value, dict):
            names.append(prefix + name)
        elif not _named(value, f"{prefix}{name}.", names):
            return False
    return True


def learn(text: str, shapes: list[Shape]) -> bool:
    """Add the shape of a record that is known to be strict JSON; say whether it is a new one."""
    shape = shape_of(text) if len(shapes) < MOST_SHAPES else None
    if shape is None or shape in shapes:
        return False
    shapes.append(shape)
    return True


@dataclass(frozen=True)
class Matched:
    """Lines of one shape: their places among the lines, ascending, and what they say by name."""

    rows: np.ndarray
    columns: dict[str, pa.Array]


class Lines:
    """Lines of JSON that wait to be taken apart."""

    def __init__(self, lines: Texts) -> None:
        n_bytes = len(lines.block)
        self._block = lines.block + _ROOM
        self._data = np.frombuffer(self._block, np.uint8)
        # The eight bytes from each place on, as a number.
        self._words = np.lib.stride_tricks.as_strided(self._data[:8].view("<u8"), (n_bytes + 1,), (1,))
        self._starts = lines.starts
        self._ends = lines.ends - (self._data[lines.ends - 1] == _RETURN)
        self._quotes = np.flatnonzero(self._data == _QUOTE)
        self._waiting = np.flatnonzero(self._are_plain(lines) & (self._ends - self._starts <= LONGEST_LINE_BYTES))

    def _are_plain(self, lines: Texts) -> np.ndarray:
        """Say which lines are text without escapes and control characters."""
        data = self._data[: len(lines.block)]
        are_plain = np.ones(len(lines), bool)
        are_control = data < _SPACE
        # One behind each line, mostly, is all there is: to count them is faster than to find out where they are.
        if np.count_nonzero(are_control) > len(lines) - (lines.ends[-1] == len(lines.block)):
            are_plain[self._lines_at(np.flatnonzero(are_control))] = False
        if _BACKSLASH in lines.block:
            are_plain[self._lines_at(np.flatnonzero(data == _BACKSLASH))] = False
        are_plain[self._lines_at(np.array(_places_of_no_text(lines.block), np.int64))] = False
        return are_plain

    def _lines_at(self, places: np.ndarray) -> np.ndarray:
        """Return the lines of places; their ends are not in them."""
        lines = np.searchsorted(self._starts, places, side="right") - 1
        places, lines = places[lines >= 0], lines[lines >= 0]
        return lines[places < self._ends[lines]]

    def leave(self, row: int) -> None:
        """Take out a line that has been read otherwise, with all before it."""
        self._waiting = self._waiting[self._waiting > row]

    def take(self, shape: Shape) -> Matched | None:
        """Take the lines of a shape out of those that wait; None where none has it."""
        at = _Places(
            self._waiting,
            self._starts[self._waiting],
            self._ends[self._waiting],
            np.searchsorted(self._quotes, self._starts[self._waiting]),
        )
        values: list[_Values] = []
        for piece in shape.pieces[:-1]:
            self._pass_piece(piece, at, values)
            values.append(self._pass_value(at, values))
        self._pass_piece(shape.pieces[-1], at, values)
        _keep(at.place == at.end, at, values)
        if not len(at.row):
            return None
        self._waiting = np.setdiff1d(self._waiting, at.row, assume_unique=True)
        columns = {
            name: self._texts(value.start, value.end, value.is_given)
            for name, value in zip(shape.names, values, strict=True)
        }
        return Matched(at.row, columns)

    def _pass_piece(self, piece: bytes, at: "_Places", values: "list[_Values]") -> None:
        """Keep the lines that go on with a piece, and go behind it."""
        n = len(piece)
        _keep(at.place + n <= at.end, at, values)
        for offset in [*range(0, n - 8, 8), max(0, n - 8)]:
            word = piece[offset : offset + 8]
            found = self._words[at.place + offset]
            if len(word) < 8:
                found &= np.uint64((1 << 8 * len(word)) - 1)
            _keep(found == int.from_bytes(word, "little"), at, values)
        at.place = at.place + n
        at.quote = at.quote + piece.count(b'"')

    def _pass_value(self, at: "_Places", values: "list[_Values]") -> "_Values":
        """Keep the lines that go on with a value, and go behind it."""
        is_text = self._data[at.place] == _QUOTE
        start = at.place + is_text
        end = self._quotes[at.quote + 1]
        is_null = np.zeros(len(start), bool)
        is_good = end < at.end
        if len(other := np.flatnonzero(~is_text)):
            is_null[other] = self._words[start[other]] & np.uint64(0xFFFFFFFF) == _NULL
            end[other] = start[other]
            is_good[other] = is_null[other]
            other = other[~is_null[other]]
        if len(other):
            # Where none of these bytes ends it, it is taken for empty, which is no value.
            following = np.lib.stride_tricks.sliding_window_view(self._data, LONGEST_OTHER + 1)[start[other]]
            end[other] += _STOPS[following].argmax(axis=1)
            told = self._texts(start[other], end[other])
            is_good[other] = pc.match_substring_regex(told, _OTHER).to_numpy(zero_copy_only=False)
        at.place = end + is_text + 4 * is_null
        at.quote = at.quote + 2 * is_text
        value = _Values(start, end, ~is_null)
        _keep(is_good, at, [*values, value])
        return value

    def _texts(self, start: np.ndarray, end: np.ndarray, is_given: np.ndarray | None = None) -> pa.Array:
        """Return what stands between places, ascending, as a column of text."""
        n = len(start)
        offsets = np.empty(2 * n + 1, np.int32)
        offsets[: 2 * n : 2], offsets[1::2], offsets[2 * n :] = start, end, end[-1:]
        # Values and what lies between them share the bytes; taken out, the values have bytes of their own.
        both = pa.StringArray.from_buffers(2 * n, pa.py_buffer(offsets), pa.py_buffer(self._block))
        texts = both.take(pa.array(np.arange(0, 2 * n, 2, dtype=np.int32)))
        if is_given is None or is_given.all():
            return texts
        given = pa.py_buffer(np.packbits(is_given, bitorder="little"))
        return pa.StringArray.from_buffers(n, *texts.buffers()[1:], given)


def _places_of_no_text(block: bytes) -> list[int]:
    """Return the first place of each line at which its bytes are no text."""
    places: list[int] = []
    start = 0
    while True:
        try:
            codecs.utf_8_decode(memoryview(block)[start:], "strict", True)
            return places
        except UnicodeDecodeError as error:
            places.append(start + error.start)
        start = block.find(b"\n", places[-1]) + 1
        if start == 0:
            return places


@dataclass
class _Places:
    """How far lines have been looked at: line, place, where the line ends, and which quote comes next."""

    row: np.ndarray
    place: np.ndarray
    end: np.ndarray
    quote: np.ndarray


@dataclass
class _Values:
    """Where the values of a name stand; those that are null are not given."""

    start: np.ndarray
    end: np.ndarray
    is_given: np.ndarray


def _keep(are_kept: np.ndarray, *parts: "_Places | list[_Values]") -> None:
    """Leave out lines of all that is known of them."""
    if are_kept.all():
        return
    for part in parts:
        for one in part if isinstance(part, list) else [part]:
            for name, array in vars(one).items():
                setattr(one, name, array[are_kept])
