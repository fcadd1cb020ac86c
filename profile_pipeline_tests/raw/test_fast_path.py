"""The fast path of delimited text against the lossless one: equal rows and rejects, or the file takes the slow path."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profile_pipeline.raw.readers import csv, csv_lossless
from profile_pipeline.raw.readers.bytes import FileRefused
from profile_pipeline.raw.readers.records import Rejects
from profile_pipeline.source_settings import SourceSettings
from profile_pipeline_tests.torture import examples

N_EXAMPLES = examples(300, torture=6_000)
SETTINGS = SourceSettings(table="users", path="*", format="csv", columns={"user_id": "a"})

PLAIN = st.text(alphabet="ab é\x85\u2028\ufeff", max_size=4)
ODD = st.text(alphabet='ab",\n\r\x00\x1f ', max_size=5)


def quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


CELLS = st.one_of(PLAIN, st.one_of(PLAIN, ODD).map(quoted), ODD)
LINES = st.lists(CELLS, min_size=1, max_size=4).map(",".join)
ROWS = st.lists(st.one_of(PLAIN, ODD.map(quoted)), min_size=3, max_size=3).map(",".join)
TABLES = st.tuples(
    st.one_of(st.lists(ROWS, max_size=12), st.lists(st.one_of(ROWS, LINES), max_size=12)),
    st.sampled_from(["\n", "\r\n", "\n\n"]),
    st.booleans(),
).map(lambda t: (t[1].join(["a,b,c", *t[0]]) + (t[1] if t[2] else "")).encode())


@contextmanager
def blocks_of(n_bytes: int) -> Iterator[None]:
    """Read in small blocks, so that what lies across two of them is met."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv, "BLOCK_BYTES", n_bytes)
        yield


def found(batches: Iterator, rejects: Rejects) -> tuple[list, list]:
    rows = [
        (number, *(batch.columns[name][i].as_py() for name in "abc"))
        for batch in batches
        for i, number in enumerate(batch.row_numbers.to_pylist())
    ]
    return rows, sorted(zip(rejects.row_numbers, rejects.reasons, strict=True))


def by_fast_path(path: Path) -> tuple[list, list] | None:
    rejects = Rejects()
    try:
        n_records = csv.count_records(path, SETTINGS)
        rows, bad = found(csv.read_fast(path, SETTINGS, list("abc"), rejects), rejects)
    except csv.UnsureError:
        return None
    return (rows, bad) if n_records == len(rows) + len(bad) else None


def check_paths_agree(content: bytes, n_bytes: int) -> None:
    with tempfile.TemporaryDirectory() as folder, blocks_of(n_bytes):
        path = Path(folder) / "f.csv"
        path.write_bytes(content)
        try:
            names = csv.header_of(path, SETTINGS)
        except FileRefused:
            return
        if names != ["a", "b", "c"]:
            return
        rejects = Rejects()
        n_records = sum(1 for _ in csv_lossless.logical_records(path, SETTINGS)) - 1
        slow = found(csv_lossless.read_lossless(path, SETTINGS, list("abc"), rejects), rejects)
        assert n_records == len(slow[0]) + len(slow[1])
        fast = by_fast_path(path)
        assert fast is None or fast == slow


@pytest.mark.faults
@settings(max_examples=N_EXAMPLES, deadline=None)
@given(TABLES, st.sampled_from([1, 3, 16, 1 << 20]))
def test_both_paths_find_the_same_records(content: bytes, n_bytes: int) -> None:
    check_paths_agree(content, n_bytes)


@pytest.mark.faults
@settings(max_examples=N_EXAMPLES, deadline=None)
@given(
    st.lists(st.binary(min_size=1, max_size=3), max_size=4),
    TABLES,
    st.lists(st.integers(8, 60), min_size=4, max_size=4),
    st.sampled_from([1, 16, 1 << 20]),
)
def test_both_paths_find_the_same_records_of_damaged_files(
    pieces: list[bytes], content: bytes, places: list[int], n_bytes: int
) -> None:
    for piece, place in zip(pieces, places, strict=False):
        content = content[:place] + piece + content[place:]
    check_paths_agree(content, n_bytes)
