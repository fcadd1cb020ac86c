"""What every reader hands over: batches of records as text, by their own column names, each with its place in the file.

Not here: reading a format, or what the columns mean.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

import pyarrow as pa

from profile_pipeline.raw.readers.bytes import FileRefused

RECORD_LIMIT = 10_000
BATCH_RECORDS = 100_000
MOST_REJECTED = 2_000_000


class UnsureError(Exception):
    """Part of a file is not what its format says: it has to be read with more care, as its reader's caller decides."""


def kept_text(record: str | bytes) -> str:
    """Return the text of a record as it is kept: cut at 10,000 characters, bytes that are no text escaped."""
    text = record.decode("utf-8", "backslashreplace") if isinstance(record, bytes) else record
    return text.replace("\x00", "\\x00")[:RECORD_LIMIT]


@dataclass
class Rejects:
    """Records that could not be loaded, as they come up."""

    row_numbers: list[int] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    details: list[str] = field(default_factory=list)
    records: list[str] = field(default_factory=list)

    def add(self, row_number: int, reason: str, detail: str, record: str | bytes) -> None:
        """Note one.

        Raises
        ------
        FileRefused
            If they are too many to be held: the file is not what its source says.
        """
        if len(self.row_numbers) == MOST_REJECTED:
            raise FileRefused(
                "too_many_bad", f"more than {MOST_REJECTED:,} records can't be loaded; the last one: {reason}"
            )
        self.row_numbers.append(row_number)
        self.reasons.append(reason)
        self.details.append(detail[:500])
        self.records.append(kept_text(record))

    def table(self) -> pa.Table:
        return pa.table({
            "row_number": pa.array(self.row_numbers, pa.int64()),
            "reason_code": pa.array(self.reasons, pa.string()),
            "detail": pa.array(self.details, pa.string()),
            "record": pa.array(self.records, pa.string()),
        })  # fmt: skip


@dataclass(frozen=True)
class TextBatch:
    """Records of one batch.

    Attributes
    ----------
    row_numbers
        Place of each record in its file, from 1; int64.
    columns
        Their columns as text, null where a record has none; lists stay lists.
    text_of
        Returns a record as it stands in its file, by its place; None where a format has no text of its own.
    """

    row_numbers: pa.Array
    columns: dict[str, pa.Array]
    text_of: Callable[[int], bytes] | None = None

    def record_text(self, row: int) -> str | bytes:
        """Return a record as text, for `raw.rejected_records`."""
        if self.text_of is not None:
            return self.text_of(self.row_numbers[row].as_py())
        values = {name: column[row].as_py() for name, column in self.columns.items()}
        return "; ".join(f"{name}={value}" for name, value in values.items() if value is not None)

    def without(self, rows: set[int]) -> "TextBatch":
        """Return the batch without these rows."""
        if not rows:
            return self
        keep = pa.array([row not in rows for row in range(len(self.row_numbers))])
        columns = {name: column.filter(keep) for name, column in self.columns.items()}
        return replace(self, row_numbers=self.row_numbers.filter(keep), columns=columns)


class TextReader(Protocol):
    """A file while its records are read as text.

    Attributes
    ----------
    n_records
        Records of the file, counted apart from the parser; all of them when `batches` is exhausted.
    """

    n_records: int

    def batches(self) -> Iterator[TextBatch]:
        """Yield all records, each in a batch or among the rejects."""


@dataclass
class CountedBefore:
    """A reader of a file whose records were counted before it is read."""

    n_records: int
    texts: Iterator[TextBatch]

    def batches(self) -> Iterator[TextBatch]:
        """Yield what the reader of its format does."""
        return self.texts
