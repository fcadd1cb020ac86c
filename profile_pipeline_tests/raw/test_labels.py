"""Label files: what is taken as what, and what is refused."""

import datetime as dt
import gzip
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from profile_pipeline.raw.readers.labels import LabelRows, LabelsError, format_of, read_labels

ZONE = "Asia/Shanghai"


def read(path: Path, text: str | bytes) -> LabelRows:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_labels(path, timezone=ZONE)


def test_a_plain_date_is_a_date_and_a_timestamp_a_moment_in_its_zone_or_the_calendars(tmp_path: Path) -> None:
    rows = read(
        tmp_path / "l.csv",
        "person,time,label\na,2026-03-01,1\nb,2026-03-01 07:30,1\nc,2026-03-01T07:30:00Z,0\nd,2026-03-01T07:30:00+08:00,0\n",
    )
    assert rows.stated_date.to_pylist() == [dt.date(2026, 3, 1), None, None, None]
    early, noon = dt.datetime(2026, 2, 28, 23, 30), dt.datetime(2026, 3, 1, 7, 30)
    assert rows.stated_at.to_pylist() == [None, early, noon, early]
    assert rows.given.column("time").to_pylist()[1] == "2026-03-01 07:30"


def test_what_is_written_as_numbers_is_numbers_and_codes_stay_text(tmp_path: Path) -> None:
    text = (
        "person,time,label,code,price,sure,gap,none\n007,2026-03-01,1,007,1.50,true,,\n8,2026-03-02,0,8,2e3,false,5,\n"
    )
    given = read(tmp_path / "l.csv", text).given
    assert given.to_pydict() == {
        "person": ["007", "8"], "time": ["2026-03-01", "2026-03-02"], "label": [1, 0], "code": ["007", "8"],
        "price": [1.5, 2000.0], "sure": [True, False], "gap": [None, 5], "none": [None, None],
    }  # fmt: skip


def test_json_lines_and_parquet_say_the_same_as_csv(tmp_path: Path) -> None:
    csv = read(tmp_path / "l.csv.gz", gzip.compress(b"person,time,label\n1,2026-03-01,1\n2,2026-03-02T08:00:00,0\n"))
    jsonl = read(
        tmp_path / "l.jsonl",
        '{"person": 1, "time": "2026-03-01", "label": 1}\n{"label": 0, "time": "2026-03-02T08:00:00", "person": "2"}\n',
    )
    moment = dt.datetime(2026, 3, 2, 8)
    pq.write_table(
        pa.table({
            "person": pa.array([2.0, None]), "time": pa.array([moment, moment], pa.timestamp("ns")), "label": pa.array([0, 1], pa.int8()),
        }),
        tmp_path / "l.parquet",
    )  # fmt: skip
    parquet = read_labels(tmp_path / "l.parquet", timezone=ZONE)
    assert csv.person.to_pylist() == jsonl.person.to_pylist() == ["1", "2"]
    assert (csv.stated_date, csv.stated_at) == (jsonl.stated_date, jsonl.stated_at)
    assert parquet.person.to_pylist() == ["2", None]
    assert parquet.stated_at[0] == csv.stated_at[1]
    assert parquet.given.schema.field("label").type == pa.int8()


def test_a_parquet_date_is_a_date_and_moments_that_are_all_midnight_are_pointed_out(tmp_path: Path) -> None:
    day = dt.datetime(2026, 3, 1)
    found = {}
    for kind in (pa.date32(), pa.timestamp("us")):
        times = pa.array([day.date() if kind == pa.date32() else day], kind)
        pq.write_table(pa.table({"person": ["a"], "time": times, "label": [1]}), tmp_path / "l.parquet")
        rows = read_labels(tmp_path / "l.parquet", timezone=ZONE)
        found[str(kind)] = (rows.stated_date[0].as_py() is None, rows.is_midnight_always)
    assert found == {"date32[day]": (False, False), "timestamp[us]": (True, True)}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("user,time,label\na,2026-03-01,1\n", ["expected also person", "Rename yours"]),
        ("persons,time,label\na,2026-03-01,1\n", ["Is persons the person?"]),
        ("person,time,label\n", ["found no row"]),
        ("person,time,label\na,yesterday,1\nb,,0\n", ["found 2 times", "'yesterday' in row 1", "'' in row 2"]),
        ("person,time,label\na,2026-02-30,1\n", ["'2026-02-30' in row 1", "expected a date such as"]),
        ("person,time,label\na,2026-03-01\n", ["found 1 record that", "record 1: field_count"]),
        ("person,time,label,label\na,2026-03-01,1,1\n", ["names twice", "what stands at 3, 4"]),
        ("", ["empty_file"]),
    ],
)
def test_a_wrong_file_is_one_message_with_found_expected_and_remedy(tmp_path: Path, text: str, told: list[str]) -> None:
    with pytest.raises(LabelsError) as error:
        read(tmp_path / "l.csv", text)
    assert [part for part in told if part not in str(error.value)] == []


def test_a_file_of_another_kind_and_a_damaged_one_are_refused(tmp_path: Path) -> None:
    assert [format_of(name) for name in ("a.CSV", "a.jsonl.zst", "a.xlsx", "churn")] == ["csv", "jsonl", None, None]
    with pytest.raises(LabelsError, match="expected a file that ends in"):
        read(tmp_path / "l.xlsx", "x")
    with pytest.raises(LabelsError, match="damaged_parquet"):
        read(tmp_path / "l.parquet", "no parquet")
    with pytest.raises(LabelsError, match="damaged_compression"):
        read(tmp_path / "l.csv.gz", gzip.compress(b"person,time,label\n" * 99)[:30])


def test_a_file_that_is_not_there_is_told_from_one_of_another_kind(tmp_path: Path) -> None:
    for name, found in (("nosuch.csv", "is not there"), ("folder.csv", "is no file"), ("nosuch.xlsx", "ends in .csv")):
        (tmp_path / "folder.csv").mkdir(exist_ok=True)
        with pytest.raises(LabelsError, match=f"{name}.* {found}"):
            read_labels(tmp_path / name, timezone=ZONE)


def test_the_index_of_a_data_frame_is_no_column_and_a_type_that_the_engine_lacks_is_named(tmp_path: Path) -> None:
    frame = pd.DataFrame({"person": ["a", "b"], "time": ["2026-03-01"] * 2, "label": [1, 0]}, index=[7, 9])
    frame.to_parquet(tmp_path / "l.parquet")
    assert read_labels(tmp_path / "l.parquet", timezone=ZONE).given.column_names == ["person", "time", "label"]
    table = pa.Table.from_pandas(frame).append_column("half", pa.array([1.5, 2.5], pa.float16()))
    pq.write_table(table, tmp_path / "l.parquet")
    with pytest.raises(LabelsError, match=r"found the columns half \(halffloat\)"):
        read_labels(tmp_path / "l.parquet", timezone=ZONE)
