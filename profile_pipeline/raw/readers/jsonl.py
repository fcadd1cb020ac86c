"""Records of JSON, strictly: objects, no name twice, no NaN, digits kept as they are written.

Nested objects become dotted names (`context.device.id`). Not here: where a record begins and ends (`json_texts`), or what the fields mean.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from profile_pipeline.raw.readers.bytes import LONGEST_LINE_BYTES
from profile_pipeline.raw.readers.json_shapes import Lines, Shape, learn
from profile_pipeline.raw.readers.json_texts import Texts, texts_of
from profile_pipeline.raw.readers.records import BATCH_RECORDS, Rejects, TextBatch, UnsureError
from profile_pipeline.source_settings import SourceSettings

MISSES_A_SHAPE = 64
DEEPEST = 50
# Records can be long: so many together are a batch, however few they are.
BATCH_BYTES = 64 << 20


class _DuplicateNameError(ValueError):
    pass


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _DuplicateNameError("a name stands twice in one object")
    return found


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_float=str, parse_int=str)


def flatten(record: dict[str, Any], into: dict[str, Any], lists: set[str], prefix: str = "", depth: int = 0) -> None:
    """Put each leaf under its dotted name; lists stay lists, of text, and their names are added to `lists`.

    Raises
    ------
    ValueError
        If objects are nested more than 50 deep.
    """
    if depth > DEEPEST:
        raise ValueError(f"nested more than {DEEPEST} deep")
    for name, value in record.items():
        kind = type(value)
        if kind is str or value is None:
            into[prefix + name] = value
        elif kind is dict:
            flatten(value, into, lists, f"{prefix}{name}.", depth + 1)
        elif kind is bool:
            into[prefix + name] = "true" if value else "false"
        else:
            lists.add(prefix + name)
            into[prefix + name] = [v if isinstance(v, str) else json.dumps(v, ensure_ascii=False) for v in value]


@dataclass
class _Batch:
    """Records as they are read: those of a known shape at once, the others one by one."""

    numbers: list[np.ndarray] = field(default_factory=list)
    parts: list[dict[str, pa.Array]] = field(default_factory=list)
    n_records: int = 0

    def add(self, numbers: np.ndarray, columns: dict[str, pa.Array]) -> None:
        self.numbers.append(numbers)
        self.parts.append(columns)
        self.n_records += len(numbers)

    def turned(self, lists: set[str]) -> TextBatch:
        """Return all records as columns, in their order."""
        numbers = np.concatenate(self.numbers)
        order = None if (np.diff(numbers) > 0).all() else pa.array(np.argsort(numbers))
        columns = {}
        for name in dict.fromkeys(name for part in self.parts for name in part):
            kind = pa.list_(pa.string()) if name in lists else pa.string()
            chunks = [
                _as_kind(part[name], kind) if name in part else pa.nulls(len(places), kind)
                for places, part in zip(self.numbers, self.parts, strict=True)
            ]
            column = pa.concat_arrays(chunks)
            columns[name] = column if order is None else column.take(order)
        return TextBatch(pa.array(np.sort(numbers), pa.int64()), columns)


def _as_kind(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """Give a column of text the kind that it has in other records of the batch: a lone value is a list of one."""
    if column.type == kind:
        return column
    return pa.array([None if value is None else [value] for value in column.to_pylist()], kind)


class JsonReader:
    """Reads a file, and learns on the way how its records are written.

    Parameters
    ----------
    most_doubts
        How many records at most are no such JSON; None: any number.

    Attributes
    ----------
    n_records
        Texts of records, cut out before they are parsed; all of them when `batches` is exhausted.
    """

    def __init__(self, path: Path, source: SourceSettings, rejects: Rejects, *, most_doubts: int | None = None) -> None:
        self._path, self._encoding, self._rejects = path, source.encoding, rejects
        self._most_doubts, self._n_doubts = most_doubts, 0
        self._shapes: list[Shape] = []
        self._lists: set[str] = set()
        self._n_missed = 0
        self.n_records = 0

    def batches(self) -> Iterator[TextBatch]:
        """Yield all records, each in a batch or among the rejects.

        Raises
        ------
        UnsureError
            If more than `most_doubts` of them can't be parsed.
        """
        batch, n_bytes = _Batch(), 0
        for texts in texts_of(self._path, self._encoding):
            self._read(texts, batch)
            self.n_records += len(texts)
            n_bytes += len(texts.block)
            if batch.n_records >= BATCH_RECORDS or (batch.n_records and n_bytes >= BATCH_BYTES):
                yield batch.turned(self._lists)
                batch, n_bytes = _Batch(), 0
        if batch.n_records:
            yield batch.turned(self._lists)

    def _read(self, texts: Texts, batch: _Batch) -> None:
        """Add what texts say to a batch, or to the rejects."""
        first = self.n_records + 1
        lines, is_read = Lines(texts), np.zeros(len(texts), bool)

        def take(shape: Shape) -> None:
            if (matched := lines.take(shape)) is not None:
                batch.add(first + matched.rows, matched.columns)
                is_read[matched.rows] = True

        for shape in self._shapes:
            take(shape)
        numbers: list[int] = []
        records: list[dict[str, Any]] = []
        for row in range(len(texts)):
            if is_read[row]:
                continue
            n_shapes = len(self._shapes)
            if (record := self._parsed(first + row, texts[row])) is not None:
                numbers.append(first + row)
                records.append(record)
            else:
                self._n_doubts += 1
                if self._most_doubts is not None and self._n_doubts > self._most_doubts:
                    raise UnsureError("records that are no JSON")
            is_read[row] = True
            for shape in self._shapes[n_shapes:]:
                lines.leave(row)
                take(shape)
        if numbers:
            batch.add(np.array(numbers), _columns(records, self._lists))

    def _parsed(self, number: int, line: bytes) -> dict[str, Any] | None:
        """Parse a record strictly, and learn its shape; one that can't be parsed is rejected."""
        if len(line) > LONGEST_LINE_BYTES:
            self._rejects.add(number, "too_long", f"more than {LONGEST_LINE_BYTES} bytes", line[:20_000])
            return None
        # A file whose records are all different is not worth learning: each shape is looked for in all lines.
        self._n_missed += 1
        shapes = self._shapes if self._n_missed <= MISSES_A_SHAPE * (len(self._shapes) + 1) else None
        try:
            return _parsed(line.decode("utf-8"), self._lists, shapes)
        except _DuplicateNameError as error:
            self._rejects.add(number, "duplicate_key", str(error), line)
        except UnicodeDecodeError as error:
            self._rejects.add(number, "bad_encoding", f"byte {error.start}: {error.reason}", line)
        except UnicodeEncodeError:
            self._rejects.add(number, "bad_text", "half of a surrogate pair", line)
        except (ValueError, RecursionError) as error:
            self._rejects.add(number, "bad_json", str(error), line)
        return None


def _parsed(text: str, lists: set[str], shapes: list[Shape] | None) -> dict[str, Any]:
    """Parse a record strictly, and learn its shape where there is a list to add it to."""
    record = _DECODER.decode(text)
    if not isinstance(record, dict):
        raise ValueError("found no object")
    fields: dict[str, Any] = {}
    flatten(record, fields, lists)
    if "\\u" in text:
        json.dumps(record, ensure_ascii=False).encode("utf-8")
    if shapes is not None:
        learn(text, shapes)
    return fields


def _columns(records: list[dict[str, Any]], lists: set[str]) -> dict[str, pa.Array]:
    names = dict.fromkeys(name for shape in dict.fromkeys(map(tuple, records)) for name in shape)
    columns = {}
    for name in names:
        values = [record.get(name) for record in records]
        if name in lists:
            listed = [value if isinstance(value, list) or value is None else [value] for value in values]
            columns[name] = pa.array(listed, pa.list_(pa.string()))
        else:
            columns[name] = pa.array(values, pa.string())
    return columns
