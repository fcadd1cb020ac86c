"""Records that are well written, and of which one still can't know what is meant: they are rejected rather than guessed.

Not here: how a record is written (the readers), or whether its values are of their type (`typing`).
"""

import pyarrow as pa
import pyarrow.compute as pc

from profile_pipeline.raw.mapping import columns_read
from profile_pipeline.raw.readers.bytes import FileRefused
from profile_pipeline.raw.readers.records import Rejects, TextBatch
from profile_pipeline.source_settings import SourceSettings


def check_cases(source: SourceSettings, names: list[str]) -> None:
    """Refuse a file with two columns of one name but for its case, of which the mapping names one: which is meant can't be known."""
    known = columns_read(source, names)
    folded = {name.casefold(): name for name in known & set(names)}
    others = [
        f"{name} and {folded[name.casefold()]}" for name in names if name not in known and name.casefold() in folded
    ]
    if others:
        raise FileRefused("duplicate_column", f"{'; '.join(others)} differ by case only")


def without_header_lines(batch: TextBatch, rejects: Rejects) -> TextBatch:
    """Reject what only repeats the header: files were put together."""
    first = next(iter(batch.columns), "")
    column = batch.columns.get(first)
    if column is None or pa.types.is_list(column.type):
        return batch
    rows = pc.indices_nonzero(pc.fill_null(pc.equal(column, first), False)).to_pylist()
    again = {row for row in rows if all(c[row].as_py() == name for name, c in batch.columns.items())}
    return _rejected(batch, again, "repeated_header", "the header again", rejects)


def _without_other_cases(batch: TextBatch, source: SourceSettings, rejects: Rejects) -> TextBatch:
    """Reject records of JSON with a field whose name differs from a mapped one by case only: which is meant can't be known."""
    known = columns_read(source, batch.columns)
    folded = {name.casefold(): name for name in known}
    others = [name for name in batch.columns if name not in known and name.casefold() in folded]
    for other in others:
        rows = set(pc.indices_nonzero(pc.is_valid(batch.columns[other])).to_pylist())
        told = f"found {other!r}, the mapping names {folded[other.casefold()]!r}"
        batch = _rejected(batch, rows, "case_differs", told, rejects)
    return batch


def _without_objects(batch: TextBatch, source: SourceSettings, rejects: Rejects) -> TextBatch:
    """Reject records of JSON in which a field that the mapping names holds an object: its parts have dotted names."""
    known = columns_read(source, batch.columns)
    for name in sorted(known & batch.columns.keys()):
        parts = [column for column in batch.columns if column.startswith(f"{name}.")]
        rows = {row for part in parts for row in pc.indices_nonzero(pc.is_valid(batch.columns[part])).to_pylist()}
        told = f"{name}: found an object, expected a value"
        batch = _rejected(batch, rows, "not_a_value", told, rejects)
    return batch


def without_ambiguity(batch: TextBatch, source: SourceSettings, rejects: Rejects) -> TextBatch:
    """Reject records of JSON of which one can't know what a field that the mapping names is."""
    return _without_objects(_without_other_cases(batch, source, rejects), source, rejects)


def _rejected(batch: TextBatch, rows: set[int], reason: str, detail: str, rejects: Rejects) -> TextBatch:
    for row in sorted(rows):
        rejects.add(batch.row_numbers[row].as_py(), reason, detail, batch.record_text(row))
    return batch.without(rows)
