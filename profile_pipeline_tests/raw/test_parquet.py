"""Parquet of any type is read as text; damage in it is found, and is of one record where it can be."""

import datetime as dt
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from profile_pipeline.raw.readers.bytes import FileRefused
from profile_pipeline_tests.raw.test_damage import OF_JSON as COLUMNS
from profile_pipeline_tests.raw.test_damage import outcome
from profile_pipeline_tests.raw.test_readers import read, source, written

PARQUET = {
    "event_id": pa.array(["e1", "e2"]), "event_type": pa.array(["view", "view"]), "event_time": pa.array(["2026-01-02", "2026-01-03"]),
}  # fmt: skip


@pytest.mark.parametrize(
    ("column", "texts"),
    [
        (pa.array([b"a", b"b"], pa.binary()), ["a", "b"]),
        (pa.array([b"ab", b"cd"], pa.binary(2)), ["6162", "6364"]),
        (pa.array(["x", None], pa.large_string()), ["x", None]),
        (pa.array(["x", "x"]).dictionary_encode(), ["x", "x"]),
        (pa.array([1, 2], pa.uint64()), ["1", "2"]),
        (pa.array([1.5, 17850.0], pa.float32()), ["1.5", "17850"]),
        (pa.array([True, False]), ["true", "false"]),
        (pa.array([Decimal("1.50"), None], pa.decimal128(9, 2)), ["1.50", None]),
        (pa.array([dt.timedelta(seconds=1), None], pa.duration("us")), ["1000000", None]),
        (pa.array([dt.time(1), None], pa.time64("us")), ["01:00:00.000000", None]),
        (pa.nulls(2), [None, None]),
        (pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int64())), ['[["k", 1]]', None]),
        (pa.array([[{"a": 1}], None]), ['{"a": 1}', None]),
        (pa.array([["x"], ["y"]]), ["x", "y"]),
        (pa.array([1767348000123456789, None], pa.timestamp("ns", "Asia/Shanghai")), ["2026-01-02 10:00:00.123456Z", None]),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)  # fmt: skip
def test_parquet_of_any_type_is_read_as_text(column: pa.Array, texts: list, tmp_path: Path) -> None:
    pq.write_table(pa.table(PARQUET | {"it": column}), tmp_path / "f.parquet")
    _, rows, rejected = read(tmp_path / "f.parquet", source(format="parquet", columns=COLUMNS | {"query": "it"}))
    assert rejected == []
    assert [row["query"] for row in rows] == texts


def test_fields_of_parquet_within_fields_have_dotted_names(tmp_path: Path) -> None:
    nested = pa.array([{"device": {"id": "d1"}}, None])
    pq.write_table(pa.table(PARQUET | {"context": nested}), tmp_path / "f.parquet")
    settings = source(format="parquet", columns=COLUMNS | {"device_id": "context.device.id"})
    _, rows, _ = read(tmp_path / "f.parquet", settings)
    assert [row["device_id"] for row in rows] == ["d1", None]


def test_a_row_of_parquet_whose_bytes_are_no_text_is_rejected_alone(tmp_path: Path) -> None:
    bad = pa.array([b"a", b"\xff\xfe"], pa.binary())
    for column in (bad, bad.view(pa.string()), bad.view(pa.string()).dictionary_encode()):
        pq.write_table(pa.table(PARQUET | {"user_id": column}), tmp_path / "f.parquet")
        columns = COLUMNS | {"user_id": "user_id"}
        assert outcome(tmp_path / "f.parquet", format="parquet", columns=columns) == (["e1"], {"bad_encoding": 1})


@pytest.mark.faults
def test_any_flipped_bit_of_parquet_with_checksums_is_found(tmp_path: Path) -> None:
    rows = {"event_id": [f"e{i}" for i in range(300)], "event_type": ["view"] * 300, "event_time": ["2026-01-02"] * 300}
    pq.write_table(pa.table(rows), tmp_path / "f.parquet", write_page_checksum=True)
    content = (tmp_path / "f.parquet").read_bytes()
    expected = outcome(tmp_path / "f.parquet", format="parquet", columns=COLUMNS)
    for place in range(4, len(content), 97):
        flipped = bytearray(content)
        flipped[place] ^= 1 << place % 8
        try:
            found = outcome(written(tmp_path, bytes(flipped), "flipped"), format="parquet", columns=COLUMNS)
        except FileRefused:
            continue
        # Statistics and the like may be changed without a record being another.
        assert found == expected, place


FOUND = Path(__file__).parent / "found"


@pytest.mark.parametrize("path", sorted(FOUND.glob("*.parquet")), ids=lambda path: path.stem)
def test_a_parquet_file_that_once_got_through_is_refused(path: Path) -> None:
    """Mutations that the fuzz test met: each stopped a reader, or was refused for a fault of ours."""
    with pytest.raises(FileRefused, match="damaged_parquet"):
        outcome(path, format="parquet", columns=COLUMNS)
