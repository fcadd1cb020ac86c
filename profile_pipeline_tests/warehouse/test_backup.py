"""Copies of the warehouse, and putting one in the place of another."""

import resource
import threading
import time
from pathlib import Path

import duckdb
import pytest

from profile_pipeline.table import Column, Table
from profile_pipeline.warehouse.backup import NotWritableError, copy_database
from profile_pipeline.warehouse.duckdb import Warehouse
from profile_pipeline.warehouse.lease import lease
from profile_pipeline.warehouse.opening import WarehouseError
from profile_pipeline.warehouse.replacing import put_in_place, wal_of

LEFT, RIGHT = (
    Table(name, "a number", ("n",), (Column("n", "INTEGER", "number", is_nullable=False),))
    for name in ("raw.left_side", "raw.right_side")
)


def opened(path: Path) -> Warehouse:
    return Warehouse(path, owner="a test", say=lambda _: None, tables=(LEFT, RIGHT))


def counts(path: Path) -> tuple[int, int]:
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.execute(
            "select (select count(*) from raw.left_side), (select count(*) from raw.right_side)"
        ).fetchall()[0]


def test_copies_taken_while_somebody_writes_hold_whole_transactions_only(tmp_path: Path) -> None:
    path, stop = tmp_path / "profile.duckdb", threading.Event()

    def write() -> None:
        n = 0
        while not stop.is_set():
            w = opened(path)
            for _ in range(3):
                n += 1
                with w.transaction():
                    w.execute("insert into raw.left_side values ($n)", {"n": n})
                    time.sleep(0.002)
                    w.execute("insert into raw.right_side values ($n)", {"n": n})
            w.close()
            time.sleep(0.01)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        found = []
        while not path.exists():
            time.sleep(0.01)
        for number in range(5):
            copy = tmp_path / f"copy{number}.duckdb"
            with lease(path.with_suffix(".duckdb.lease"), owner="a backup", timeout_seconds=30, say=lambda _: None):
                copy_database(path, copy)
            found.append(counts(copy))
            time.sleep(0.1)
    finally:
        stop.set()
        writer.join()
    assert all(left == right for left, right in found)
    assert found[0] < found[-1]


def test_a_copy_holds_what_the_log_holds_and_not_what_was_not_committed(tmp_path: Path) -> None:
    path, crashed = tmp_path / "profile.duckdb", tmp_path / "crashed.duckdb"
    w = opened(path)
    w.execute("insert into raw.left_side values (1)")
    w.connection.execute("begin transaction").fetchall()
    w.execute("insert into raw.left_side values (2)")
    # What a killed process leaves: the file, and a log.
    crashed.write_bytes(path.read_bytes())
    wal_of(crashed).write_bytes(wal_of(path).read_bytes())
    w.connection.execute("rollback").fetchall()
    w.close()
    assert wal_of(crashed).stat().st_size > 0
    copy_database(crashed, tmp_path / "copy.duckdb")
    assert counts(tmp_path / "copy.duckdb") == (1, 0)
    assert not wal_of(tmp_path / "copy.duckdb").exists()


def test_a_copy_has_the_types_and_the_rules_of_the_original(tmp_path: Path) -> None:
    path, copy = tmp_path / "profile.duckdb", tmp_path / "copy.duckdb"
    w = opened(path)
    w.execute("create table raw.odd (a decimal(18,4), b varchar[], c json, d blob, e ubigint not null)")
    w.execute("""insert into raw.odd values (1.5, ['x', null], '{"k": [1]}', '\\xAA'::blob, 18446744073709551615)""")
    w.close()
    copy_database(path, copy)
    told = []
    for place in (path, copy):
        with duckdb.connect(str(place), read_only=True) as connection:
            columns = connection.execute(
                "select schema_name, table_name, column_name, data_type, is_nullable from duckdb_columns() where not internal order by all"
            ).fetchall()
            told.append((columns, connection.execute("select * from raw.odd").fetchall()))
    assert told[0] == told[1]


def test_a_damaged_database_is_not_copied(tmp_path: Path) -> None:
    path = tmp_path / "profile.duckdb"
    w = opened(path)
    w.execute("insert into raw.left_side select * from range(200000)")
    w.close()
    written = bytearray(path.read_bytes())
    # Of several places one at least lies in a block in use.
    for place in range(20_000, len(written), 50_000):
        written[place] ^= 1
    path.write_bytes(written)
    with pytest.raises(WarehouseError, match="can't be copied"):
        copy_database(path, tmp_path / "copy.duckdb")


@pytest.mark.parametrize("n_bytes", [1_000, 20_000, 1_000_000])
def test_a_copy_for_which_there_is_no_room_is_no_fault_of_the_database(n_bytes: int, tmp_path: Path) -> None:
    path, target = tmp_path / "profile.duckdb", tmp_path / "a 'quoted' copy.duckdb"
    w = opened(path)
    w.execute("insert into raw.left_side select hash(range) % 2147483647 from range(400000)")
    w.close()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        with pytest.raises(NotWritableError) as told:
            copy_database(path, target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert f'"{target}"' in str(told.value)
    assert "doctor" not in str(told.value)


def test_a_copy_to_where_there_is_no_folder_is_no_fault_of_the_database(tmp_path: Path) -> None:
    path = tmp_path / "profile.duckdb"
    w = opened(path)
    w.execute("insert into raw.left_side values (1)")
    w.close()
    with pytest.raises(NotWritableError, match="No such file or directory"):
        copy_database(path, tmp_path / "none" / "copy.duckdb")


def test_the_log_of_what_is_replaced_is_not_played_on_what_replaces_it(tmp_path: Path) -> None:
    path, new = tmp_path / "profile.duckdb", tmp_path / "new.duckdb"
    for place, numbers in ((path, "(1)"), (new, "(2), (3)")):
        w = opened(place)
        w.execute(f"insert into raw.left_side values {numbers}")
        w.close()
    wal_of(path).write_bytes(b"what another database has left")
    put_in_place(new, path)
    assert counts(path) == (2, 0)
    assert not new.exists()
    assert not wal_of(path).exists()
