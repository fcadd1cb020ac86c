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
from profile_pipeline.raw.readers.json_shapes import Shape, learn
from profile_pipeline.raw.readers.json_texts import texts_of
from profile_pipeline.raw.readers.records import BATCH_RECORDS, Rejects, TextBatch
from profile_pipeline.source_settings import SourceSettings

MISSES_A_SHAPE = 64
DEEPEST = 50


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
    """Records as they are read: those of a known shape by shape, the others one by one; `places` puts them in order."""

    numbers: list[int] = field(default_factory=list)
    matched: dict[Shape, list[tuple[str | None, ...]]] = field(default_factory=dict)
    places: dict[Shape, list[int]] = field(default_factory=dict)
    parsed: list[dict[str, Any]] = field(default_factory=list)
    parsed_places: list[int] = field(default_factory=list)

    def turned(self, lists: set[str]) -> TextBatch:
        """Return all records as columns, in their order."""
        parts = [
            pa.table({n: pa.array(v, pa.string()) for n, v in shape.columns(rows).items()})
            for shape, rows in self.matched.items()
        ]
        order = [place for places in self.places.values() for place in places]
        if self.parsed:
            parts.append(pa.table(_columns(self.parsed, lists)))
            order += self.parsed_places
        numbers = pa.array(self.numbers, pa.int64())
        names = dict.fromkeys(name for part in parts for name in part.column_names)
        if len(parts) == 1:
            return TextBatch(numbers, {name: parts[0].column(name).combine_chunks() for name in names})
        back = pa.array(np.argsort(np.array(order)))
        kinds = {name: pa.list_(pa.string()) if name in lists else pa.string() for name in names}
        columns = {}
        for name, kind in kinds.items():
            chunks = [
                _as_kind(part.column(name).combine_chunks(), kind)
                if name in part.column_names
                else pa.nulls(part.num_rows, kind)
                for part in parts
            ]
            columns[name] = pa.concat_arrays(chunks).take(back)
        return TextBatch(numbers, columns)


def _as_kind(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """Give a column of text the kind that it has in other records of the batch: a lone value is a list of one."""
    if column.type == kind:
        return column
    return pa.array([None if value is None else [value] for value in column.to_pylist()], kind)


def read(path: Path, source: SourceSettings, rejects: Rejects) -> Iterator[TextBatch]:
    """Read record by record: each ends in a batch or among the rejects."""
    batch = _Batch()
    shapes: list[Shape] = []
    lists: set[str] = set()
    n_missed = 0
    for number, line in enumerate(texts_of(path, source.encoding), start=1):
        if len(line) > LONGEST_LINE_BYTES:
            rejects.add(number, "too_long", f"more than {LONGEST_LINE_BYTES} bytes", line[:20_000])
            continue
        try:
            text = line.decode("utf-8")
            for shape in shapes:
                if (found := shape.pattern.fullmatch(text)) is not None:
                    batch.matched.setdefault(shape, []).append(found.groups())
                    batch.places.setdefault(shape, []).append(len(batch.numbers))
                    break
            else:
                # A file whose records are all different is not worth learning: each shape is compiled.
                n_missed += 1
                batch.parsed.append(
                    _parsed(text, lists, shapes if n_missed <= MISSES_A_SHAPE * (len(shapes) + 1) else None)
                )
                batch.parsed_places.append(len(batch.numbers))
        except _DuplicateNameError as error:
            rejects.add(number, "duplicate_key", str(error), line)
        except UnicodeDecodeError as error:
            rejects.add(number, "bad_encoding", f"byte {error.start}: {error.reason}", line)
        except UnicodeEncodeError:
            rejects.add(number, "bad_text", "half of a surrogate pair", line)
        except (ValueError, RecursionError) as error:
            rejects.add(number, "bad_json", str(error), line)
        else:
            batch.numbers.append(number)
        if len(batch.numbers) == BATCH_RECORDS:
            yield batch.turned(lists)
            batch = _Batch()
    if batch.numbers:
        yield batch.turned(lists)


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
