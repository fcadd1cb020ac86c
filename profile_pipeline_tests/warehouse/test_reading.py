"""A warehouse that is only read, and texts that read stand-ins of their tables."""

from pathlib import Path

import duckdb
import pytest

from profile_pipeline.features.tables import USER_DAYS
from profile_pipeline.warehouse.duckdb import Warehouse
from profile_pipeline.warehouse.sql import reading


def test_a_text_reads_what_stands_in_for_its_tables_and_nothing_else_of_it_changes() -> None:
    text = "with b as (select * from features.behavior where n > 1), d as (select x.n from features.demand as x) select b.n, d.n as m from b join d on true"
    connection = duckdb.connect(":memory:")
    connection.execute("create schema features; create table features.demand as select 5 as n")
    connection.execute("create temp table mine as select unnest([1, 2]) as n")
    read = reading(text, {"features.behavior": "mine"})
    assert connection.execute(read).fetchall() == [(2, 5)]
    assert "features.demand" in read


def test_a_warehouse_that_is_only_read_takes_temporary_tables_and_no_others(tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    writing = Warehouse(path, owner="writer", say=print)
    writing.execute("create table kept as select 1 as n")
    writing.close()
    before = path.read_bytes()
    warehouse = Warehouse(path, owner="reader", say=print, tables=(USER_DAYS,), is_read_only=True)
    warehouse.temporary("mine", "select n + 1 as n from kept")
    assert warehouse.rows("select n from mine") == [(2,)]
    with pytest.raises(duckdb.InvalidInputException, match="read-only"):
        warehouse.execute("delete from kept")
    assert not warehouse.has_table("features.user_days")
    warehouse.close()
    assert path.read_bytes() == before
