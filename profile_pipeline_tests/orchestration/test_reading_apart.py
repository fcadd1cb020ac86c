"""A reader in a process of its own: what a file does to it is that file's fault and nobody else's."""

import os
import signal
from contextlib import nullcontext
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from profile_pipeline.orchestration.building.reading_apart import ReaderApart, ReaderStoppedError
from profile_pipeline.raw.readers.bytes import FileRefused
from profile_pipeline.raw.readers.evaluate import connect
from profile_pipeline.raw.readers.read import MOST_DOUBTS_HERE, read_file, read_here
from profile_pipeline.raw.readers.records import UnsureError
from profile_pipeline_tests.raw.test_readers import source

COLUMNS = {"event_id": "event_id", "event_type": "event_type", "event_time": "event_time", "price": "price"}
PARQUET, CSV, JSON = (source(format=format, columns=COLUMNS) for format in ("parquet", "csv", "jsonl"))
# Each further letter doubles the time that it takes to see that the line does not match.
SLOW = source(
    format="lines", pattern=r"(?P<a>(a|a)*)b", columns={"event_type": "a", "event_time": "'2026-01-02T00:00:00Z'"}
)


# More than a pipe holds is left to be read after the first batch.
MANY_ROWS = 400_000


def written(path: Path, n_rows: int = 120_000) -> Path:
    rows = {
        "event_id": [f"e{i}" for i in range(n_rows)],
        "event_type": ["view"] * n_rows,
        "event_time": ["2026-01-02T10:00:00Z"] * n_rows,
        "price": ["free" if i % 1000 == 7 else "1.5" for i in range(n_rows)],
    }
    pq.write_table(pa.table(rows), path)
    return path


def test_it_reads_what_a_reader_here_reads(tmp_path: Path) -> None:
    path = written(tmp_path / "f.parquet")
    here = read_file(path, name="shop", source=PARQUET, engine=connect())
    expected = pa.concat_tables(here.batches)
    with ReaderApart() as reader:
        for _ in range(2):
            found = reader.read(path, name="shop", source=PARQUET)
            assert pa.concat_tables(found.batches).equals(expected)
            assert (found.n_records, found.rejected.num_rows) == (120_000, 120)
            assert found.rejected.equals(here.rejected)


def test_a_text_that_may_be_damaged_is_read_apart_record_by_record(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_bytes(
        b'event_id,event_type,event_time,price\ne1,view,2026-01-02T10:00:00Z,"15\ne2,view,2026-01-02T10:00:00Z,2\n'
    )
    with pytest.raises(UnsureError):
        list(read_file(path, name="shop", source=CSV, engine=connect(), most_doubts=0).batches)
    here = read_file(path, name="shop", source=CSV, engine=connect(), is_lossless=True)
    expected = pa.concat_tables(here.batches)
    with ReaderApart() as reader:
        found = reader.read(path, name="shop", source=CSV)
        assert pa.concat_tables(found.batches).equals(expected)
        assert found.rejected.equals(here.rejected)
        assert expected["event_id"].to_pylist() == ["e2"]


@pytest.mark.parametrize("n_damaged", [MOST_DOUBTS_HERE, MOST_DOUBTS_HERE + 1])
def test_lines_of_json_that_are_damaged_in_many_places_are_read_apart_and_as_here(
    tmp_path: Path, n_damaged: int
) -> None:
    record = b'{"event_id": "e1", "event_type": "view", "event_time": "2026-01-02T10:00:00Z", "price": "free"}\n'
    path = tmp_path / "f.jsonl"
    path.write_bytes(b'{"event_id": "e1"\n' * n_damaged + record.replace(b"free", b"1") + record * MOST_DOUBTS_HERE)
    here = read_file(path, name="shop", source=JSON, engine=connect())
    expected = pa.concat_tables(here.batches)
    with nullcontext() if n_damaged == MOST_DOUBTS_HERE else pytest.raises(UnsureError):
        assert pa.concat_tables(read_here(path, name="shop", source=JSON, engine=connect()).batches).equals(expected)
    with ReaderApart() as reader:
        found = reader.read(path, name="shop", source=JSON)
        assert pa.concat_tables(found.batches).equals(expected)
        assert (found.n_records, found.rejected.num_rows) == (n_damaged + 1 + MOST_DOUBTS_HERE, here.rejected.num_rows)
        assert found.rejected.equals(here.rejected)


def test_a_file_that_is_bad_as_a_whole_is_refused_as_here(tmp_path: Path) -> None:
    (tmp_path / "f.parquet").write_bytes(b"PAR1 no more")
    with ReaderApart() as reader, pytest.raises(FileRefused, match="damaged_parquet"):
        reader.read(tmp_path / "f.parquet", name="shop", source=PARQUET)


def test_a_fault_of_the_reader_is_told_by_its_kind_alone_and_the_next_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "good.log").write_text("aab\n", encoding="utf-8")
    with ReaderApart() as reader:
        with pytest.raises(FileRefused, match=r"^reader_failed: FileNotFoundError$"):
            reader.read(tmp_path / "gone.log", name="shop", source=SLOW)
        found = reader.read(tmp_path / "good.log", name="shop", source=SLOW)
        assert sum(batch.num_rows for batch in found.batches) == 1


@pytest.mark.faults
def test_a_file_that_stops_its_reader_is_refused_and_the_next_one_is_read(tmp_path: Path) -> None:
    (tmp_path / "slow.log").write_text("a" * 60 + "\n", encoding="utf-8")
    (tmp_path / "good.log").write_text("aab\n", encoding="utf-8")
    with ReaderApart(seconds=2) as reader:
        with pytest.raises(FileRefused, match="reader_stuck"):
            list(reader.read(tmp_path / "slow.log", name="shop", source=SLOW).batches)
        found = reader.read(tmp_path / "good.log", name="shop", source=SLOW)
        assert sum(batch.num_rows for batch in found.batches) == 1


@pytest.mark.faults
def test_a_file_that_fills_the_memory_is_refused(tmp_path: Path) -> None:
    # A few kilobytes: one long text, and a hundred thousand times the number of its place.
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 100_000, pa.int32()), pa.array(["z" * 100_000]))
    rows = {"event_id": column, "event_type": column, "event_time": column, "price": column}
    pq.write_table(pa.table(rows), tmp_path / "f.parquet")
    assert (tmp_path / "f.parquet").stat().st_size < 1 << 20
    with ReaderApart(memory_bytes=600 << 20) as reader:
        with pytest.raises(FileRefused, match="reader_died"):
            list(reader.read(tmp_path / "f.parquet", name="shop", source=PARQUET).batches)
        found = reader.read(written(tmp_path / "g.parquet", 10), name="shop", source=PARQUET)
        assert sum(batch.num_rows for batch in found.batches) == 9


@pytest.mark.faults
@pytest.mark.parametrize("how", [signal.SIGSEGV, signal.SIGKILL])
def test_a_reader_that_crashes_makes_its_file_a_bad_one(how: signal.Signals, tmp_path: Path) -> None:
    path = written(tmp_path / "f.parquet")
    with ReaderApart() as reader:
        batches = reader.read(path, name="shop", source=PARQUET).batches
        assert next(batches).num_rows == 99_900
        assert reader.process_id is not None
        os.kill(reader.process_id, how)
        with pytest.raises(FileRefused, match=f"reader_died: signal {how.value}"):
            list(batches)
        assert sum(batch.num_rows for batch in reader.read(path, name="shop", source=PARQUET).batches) == 119_880


@pytest.mark.faults
@pytest.mark.parametrize("inherited", [signal.SIG_DFL, signal.SIG_IGN])
def test_a_reader_that_somebody_stops_is_no_fault_of_its_file(inherited: signal.Handlers, tmp_path: Path) -> None:
    path = written(tmp_path / "f.parquet", MANY_ROWS)
    before = signal.signal(signal.SIGTERM, inherited)
    try:
        with ReaderApart() as reader:
            batches = reader.read(path, name="shop", source=PARQUET).batches
            next(batches)
            assert reader.process_id is not None
            os.kill(reader.process_id, signal.SIGTERM)
            with pytest.raises(ReaderStoppedError):
                list(batches)
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.faults
def test_a_file_that_was_not_read_to_its_end_does_not_spoil_the_next(tmp_path: Path) -> None:
    path = written(tmp_path / "f.parquet")
    with ReaderApart() as reader:
        next(reader.read(path, name="shop", source=PARQUET).batches)
        assert sum(batch.num_rows for batch in reader.read(path, name="shop", source=PARQUET).batches) == 119_880


def test_no_reader_outlives_who_asked_it(tmp_path: Path) -> None:
    with ReaderApart() as reader:
        next(reader.read(written(tmp_path / "f.parquet"), name="shop", source=PARQUET).batches)
        process_id = reader.process_id
        assert process_id is not None
    with pytest.raises(ProcessLookupError):
        os.kill(process_id, 0)
