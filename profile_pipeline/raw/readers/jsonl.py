"""JSON Lines, strictly: one object a line, no name twice, no NaN, digits kept as they are written.

Nested objects become dotted names (`context.device.id`). Not here: what the fields mean.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from profile_pipeline.raw.readers.bytes import lines_of
from profile_pipeline.raw.readers.records import BATCH_RECORDS, Rejects, TextBatch
from profile_pipeline.settings import SourceSettings

LONGEST_LINE_BYTES = 32 << 20
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


def count_records(path: Path, source: SourceSettings) -> int:
    """Count the lines that are not blank."""
    return sum(1 for _ in lines_of(path, source.encoding))


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


def read(path: Path, source: SourceSettings, rejects: Rejects) -> Iterator[TextBatch]:
    """Read line by line: each ends in a batch or among the rejects."""
    numbers: list[int] = []
    records: list[dict[str, Any]] = []
    lists: set[str] = set()
    for number, line in enumerate(lines_of(path, source.encoding), start=1):
        if len(line) > LONGEST_LINE_BYTES:
            rejects.add(number, "too_long", f"{len(line)} bytes, at most {LONGEST_LINE_BYTES}", line[:20_000])
            continue
        try:
            text = line.decode("utf-8")
            record = _DECODER.decode(text)
            if not isinstance(record, dict):
                raise ValueError("found no object")
            fields: dict[str, Any] = {}
            flatten(record, fields, lists)
            if "\\u" in text:
                json.dumps(record, ensure_ascii=False).encode("utf-8")
        except _DuplicateNameError as error:
            rejects.add(number, "duplicate_key", str(error), line)
        except UnicodeDecodeError as error:
            rejects.add(number, "bad_encoding", f"byte {error.start}: {error.reason}", line)
        except UnicodeEncodeError:
            rejects.add(number, "bad_text", "half of a surrogate pair", line)
        except (ValueError, RecursionError) as error:
            rejects.add(number, "bad_json", str(error), line)
        else:
            numbers.append(number)
            records.append(fields)
        if len(numbers) == BATCH_RECORDS:
            yield _text_batch(numbers, records, lists)
            numbers, records = [], []
    if numbers:
        yield _text_batch(numbers, records, lists)


def _text_batch(numbers: list[int], records: list[dict[str, Any]], lists: set[str]) -> TextBatch:
    names = dict.fromkeys(name for shape in dict.fromkeys(map(tuple, records)) for name in shape)
    if all(len(record) == len(names) for record in records) and all(
        tuple(record) == tuple(names) for record in records
    ):
        # Records of one shape, as most are, are turned at once.
        turned: Iterable[Sequence[Any]] = zip(*(record.values() for record in records), strict=True)
    else:
        turned = ([record.get(name) for record in records] for name in names)
    columns = {}
    for name, values in zip(names, turned, strict=True):
        if name in lists:
            listed = [value if isinstance(value, list) or value is None else [value] for value in values]
            columns[name] = pa.array(listed, pa.list_(pa.string()))
        else:
            columns[name] = pa.array(values, pa.string())
    return TextBatch(pa.array(numbers, pa.int64()), columns)
