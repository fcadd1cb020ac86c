"""Every engine computes the reference job as its words say it, on literal rows; figures are drawn of what was measured."""

import datetime as dt
import importlib
import json
from pathlib import Path

import duckdb
import pytest

from benchmarks import draw
from benchmarks.overhead import Noted, run
from benchmarks.peers.reference import Job
from benchmarks.run import checksum

ENGINES = ("duckdb_sql", "through_dagster", "pandas_frames", "polars_frames")
# event_id, event_time (UTC), received_at, row_number, event_type, quantity, price, user_id, anonymous_id, device_id
ROWS = [
    ("e1", "2026-01-05 01:00", "2026-01-05 01:01", 1, "view", None, 100, "u1", "a1", None),
    ("e2", "2026-01-05 01:30", "2026-01-05 01:31", 2, "purchase", 2, 250, "u1", None, None),
    (
        "e3",
        "2026-01-05 02:00:01",
        "2026-01-05 02:01",
        3,
        "purchase",
        None,
        70,
        "u1",
        None,
        None,
    ),  # a second after the gap
    ("e3", "2026-01-04 20:00", "2026-01-05 02:02", 4, "view", None, None, "u1", None, None),  # received later: loses
    ("e4", "2026-01-05 15:59", "2026-01-05 16:00", 5, "view", None, None, None, "a1", None),
    (
        "e5",
        "2026-01-05 16:10",
        "2026-01-05 16:11",
        6,
        "view",
        None,
        None,
        None,
        "a1",
        None,
    ),  # local midnight lies between
    ("e6", "2026-01-05 03:00", "2026-01-05 03:00", 7, "view", -1, None, "u1", None, None),  # invalid
    ("e7", "2026-01-05 03:00", "2026-01-05 03:00", 8, "view", None, None, None, None, None),  # nobody's
    ("e8", "2026-02-09 16:00", "2026-02-09 16:00", 9, "view", None, None, "u1", None, None),  # after the last day
    ("e9", "2026-02-09 15:59", "2026-02-09 15:59", 10, "view", None, None, None, None, "d1"),
]
SESSIONS = [
    ("anonymous:a1", dt.datetime(2026, 1, 5, 15, 59), dt.datetime(2026, 1, 5, 16, 10), 2),
    ("device:d1", dt.datetime(2026, 2, 9, 15, 59), dt.datetime(2026, 2, 9, 15, 59), 1),
    ("user:u1", dt.datetime(2026, 1, 5, 1, 0), dt.datetime(2026, 1, 5, 1, 30), 2),
    ("user:u1", dt.datetime(2026, 1, 5, 2, 0, 1), dt.datetime(2026, 1, 5, 2, 0, 1), 1),
]
TILES = [
    ("anonymous:a1", dt.date(2026, 1, 5), 1, 1, 0, 0, 1),
    ("anonymous:a1", dt.date(2026, 1, 6), 1, 1, 0, 0, 0),
    ("device:d1", dt.date(2026, 2, 9), 1, 1, 0, 0, 1),
    ("user:u1", dt.date(2026, 1, 5), 3, 1, 2, 570, 2),
]
SUMS = [("device:d1", 1, 1, 0, 0, 1, 1)]


@pytest.mark.parametrize("engine", ENGINES)
def test_the_reference_job_is_what_its_words_say(engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if engine == "polars_frames":
        pytest.importorskip("polars", reason="Polars is an extra: pip install -e '.[bench]'")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    connection = duckdb.connect()
    connection.execute(
        "create table raw (event_id varchar, event_time timestamp, received_at timestamp, row_number bigint, event_type varchar,"
        " quantity bigint, price bigint, user_id varchar, anonymous_id varchar, device_id varchar)"
    )
    connection.executemany("insert into raw values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", ROWS)
    connection.execute(f"copy raw to '{tmp_path / 'raw.parquet'}'")
    out = tmp_path / "out"
    out.mkdir()
    job = Job(tmp_path / "raw.parquet", out, dt.date(2026, 1, 5), dt.date(2026, 2, 9))
    importlib.import_module(f"benchmarks.peers.{engine}").compute(job)

    def rows(columns: str, name: str) -> list[tuple]:
        return connection.execute(f"select {columns} from '{job.result(name)}' order by all").fetchall()

    assert rows("alias_id, started_at::timestamp, ended_at::timestamp, n_events", "sessions") == SESSIONS
    measures = "n_events, n_views, n_purchases, amount_cents, n_sessions"
    assert rows(f"alias_id, event_date::date, {measures}", "tiles") == TILES
    assert rows(f"alias_id, {measures}, n_active_days", "sums") == SUMS


def test_a_checksum_tells_other_rows_and_not_their_order_or_type(tmp_path: Path) -> None:
    connection = duckdb.connect()
    for name, query in (
        ("a", "select 'x' as alias_id, 1 as n_events union all select 'y', 2"),
        ("b", "select 2::utinyint as n_events, 'y' as alias_id union all select 1, 'x'"),
        ("c", "select 'x' as alias_id, 2 as n_events union all select 'y', 1"),
    ):
        connection.execute(f"copy ({query}) to '{tmp_path / name}.parquet'")
    a, b, c = (checksum(tmp_path / f"{name}.parquet") for name in "abc")
    assert a == b
    assert a != c


def test_noted_statements_run_again_with_what_they_were_given() -> None:
    connection = duckdb.connect()
    arrow = connection.sql("select 41 as n").to_arrow_table()
    for noted in (
        Noted("register", "incoming", arrow),
        Noted("execute", "create table t as select n + $one as n from incoming", {"one": 1}),
        Noted("unregister", "incoming"),
    ):
        run(connection, noted)
    assert connection.execute("select n from t").fetchall() == [(42,)]


def test_a_cost_that_grows_as_the_square_has_the_exponent_two() -> None:
    assert draw.growth([(10, 1.0), (30, 9.0), (100, 100.0)]) == "2.00"


def test_of_each_part_the_newest_result_is_drawn_whole_and_said_of_when_and_where_it_is(tmp_path: Path) -> None:
    for name, commit, cpu in (("2026-01-01", None, 9.0), ("2026-01-02", "a1b2c3d", 7.0)):
        parts = {"stages": {"judge": {"cpu_s": cpu}}}
        if commit is None:
            parts["stages"]["sessions"] = {"cpu_s": 1.0}
            parts["peers"] = {"duckdb_sql": {"cpu_s": 1.0}}
        told = {
            "begun_at": f"{name}T03:04:05+00:00",
            "commit": commit,
            "machine": {"cores": 2, "processor": "A", "memory_gb": 24.7 if commit else 8.0, "system": "Linux"},
            "sizes": {"1000": parts},
        }
        (tmp_path / f"{name}.json").write_text(json.dumps(told))
    sizes, _, taken = draw.newest(tmp_path)
    assert sizes[1000] == {"stages": {"judge": {"cpu_s": 7.0}}, "peers": {"duckdb_sql": {"cpu_s": 1.0}}}
    assert taken == {
        (1000, "stages"): "2026-01-02 03:04 at a1b2c3d",
        (1000, "peers"): "2026-01-01 03:04 on another machine",
    }
