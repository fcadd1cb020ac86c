"""The warehouse's ways to write, on small tables."""

import datetime as dt
from contextlib import closing
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from profile_pipeline.table import Column, Table
from profile_pipeline.warehouse.duckdb import Warehouse


def test_what_aborts_a_transaction_is_told_and_not_that_it_is_aborted(tmp_path: Path) -> None:
    table = Table("raw.numbers", "a number", ("number",), (Column("number", "INTEGER", "a number"),))
    with closing(Warehouse(tmp_path / "w.duckdb", owner="a test", say=print, tables=[table])) as w:
        with pytest.raises(duckdb.ConversionException), w.transaction():
            w.insert_from(table, "select * from incoming_arrow", pa.table({"number": ["one"]}))
        with pytest.raises(duckdb.ConversionException), w.transaction():
            w.execute("insert into raw.numbers select 1")
            w.replace_all(table, pa.table({"number": ["one"]}))
        assert w.scalar("select count(*) from raw.numbers") == 0


def test_rows_that_were_inserted_are_let_go_before_their_transaction_ends(tmp_path: Path) -> None:
    table = Table("raw.numbers", "a number", (), (Column("number", "BIGINT", "a number"),))
    with closing(Warehouse(tmp_path / "w.duckdb", owner="a test", say=print, tables=[table])) as w, w.transaction():
        held_before = pa.total_allocated_bytes()
        for _ in range(3):
            w.insert_from(table, "select * from incoming_arrow", pa.table({"number": pa.array(range(10_000))}))
            w.temporary("copied", pa.table({"number": pa.array(range(10_000))}))
            assert pa.total_allocated_bytes() == held_before
        assert w.scalar("select sum(number) from raw.numbers") == 3 * sum(range(10_000))


def test_days_that_are_replaced_together_leave_those_between_them_as_they_were(tmp_path: Path) -> None:
    columns = (Column("day", "DATE", "a day"), Column("number", "INTEGER", "a number"))
    table = Table("raw.numbers", "a number a day", ("day",), columns, partition_column="day")
    first, between, last = (dt.date(2026, 1, day) for day in (1, 2, 3))
    with closing(Warehouse(tmp_path / "w.duckdb", owner="a test", say=print, tables=[table])) as w:
        w.insert(table, pa.table({"day": [first, between, last], "number": [1, 2, 3]}))
        w.replace_days(table, pa.table({"day": [last], "number": [30]}), [first, last])
        assert w.rows("select day, number from raw.numbers order by day") == [(between, 2), (last, 30)]
