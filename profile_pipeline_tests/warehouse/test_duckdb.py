"""The warehouse's ways to write, on small tables."""

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
