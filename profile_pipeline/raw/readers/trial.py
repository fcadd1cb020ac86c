"""A file read as a load would read it, and only told of: what would be loaded, what would be refused and why.

Not here: sampling a file, or storing anything.
"""

import contextlib
import datetime as dt
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from profile_pipeline.raw.readers.bytes import FileRefused
from profile_pipeline.raw.readers.evaluate import connect
from profile_pipeline.raw.readers.read import read_file
from profile_pipeline.source_settings import SourceSettings


@dataclass
class Trial:
    """What a load of files would do.

    Attributes
    ----------
    rows
        The first typed rows, at most as many as asked for.
    refused
        reason_code -> records; what was wrong with one of them is in `examples`.
    days
        Day in the calendar's zone -> events on it.
    """

    n_records: int = 0
    n_loaded: int = 0
    rows: list[dict] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    event_types: Counter[str] = field(default_factory=Counter)
    days: Counter[dt.date] = field(default_factory=Counter)

    @property
    def loaded_share(self) -> float:
        return self.n_loaded / self.n_records if self.n_records else 0.0


def try_files(paths: list[Path], *, name: str, source: SourceSettings, timezone: str, n_rows: int) -> Trial:
    """Read files with the settings of a source.

    Raises
    ------
    FileRefused
        If one is bad as a whole.
    """
    found = Trial()
    for path in paths:
        one = _tried(path, name, source, timezone, n_rows - len(found.rows))
        found.n_records += one.n_records
        found.n_loaded += one.n_loaded
        found.rows += one.rows
        found.refused += one.refused
        found.examples = one.examples | found.examples
        found.event_types += one.event_types
        found.days += one.days
    return found


def _tried(path: Path, name: str, source: SourceSettings, timezone: str, n_rows: int) -> Trial:
    found = Trial()
    with contextlib.closing(connect()) as engine:
        read = read_file(path, name=name, source=source, engine=engine)
        for batch in read.batches:
            found.n_loaded += batch.num_rows
            found.rows += batch.slice(0, max(0, n_rows - len(found.rows))).to_pylist()
            if source.table == "events":
                found.event_types += _counted(batch.column("event_type"))
                found.days += _counted(_local_days(batch.column("event_time"), timezone))
        for rejected in read.rejected.to_pylist():
            found.refused[rejected["reason_code"]] += 1
            found.examples.setdefault(rejected["reason_code"], rejected["detail"])
        found.n_records = read.n_records
    if found.n_records != found.n_loaded + found.refused.total():
        raise FileRefused("count_differs", "the records counted are not those that were read")
    return found


def _local_days(times: pa.ChunkedArray, timezone: str) -> pa.ChunkedArray:
    local = pc.local_timestamp(pc.cast(pc.assume_timezone(times, "UTC"), pa.timestamp("us", timezone)))
    return pc.cast(local, pa.date32(), safe=False)


def _counted(values: pa.ChunkedArray) -> Counter:
    return Counter({entry["values"]: entry["counts"] for entry in pc.value_counts(values).to_pylist()})
