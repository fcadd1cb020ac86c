"""A warehouse that is only read, and texts that read stand-ins of their tables."""

from pathlib import Path
from typing import Any

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


@pytest.mark.parametrize(
    ("given", "n_bytes"), [({"threads": 2}, 1_700_000_000), ({"threads": 1}, 850_000_000), ({"memory_limit": "300MB"}, 300_000_000)]
)  # fmt: skip
def test_the_engine_holds_so_much_a_thread_where_no_limit_is_set(
    tmp_path: Path, given: dict[str, Any], n_bytes: int
) -> None:
    warehouse = Warehouse(tmp_path / "w.duckdb", owner="test", say=print, **given)
    held = warehouse.scalar("select parse_formatted_bytes(current_setting('memory_limit'))")
    warehouse.close()
    assert held == pytest.approx(n_bytes, rel=0.08)  # told with one decimal, cut
