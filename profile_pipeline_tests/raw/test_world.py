import datetime as dt
import gzip
from pathlib import Path

import duckdb
import pytest

from profile_pipeline.raw.world.write import WorldError, write_world

N_USERS, N_DAYS = 300, 64


@pytest.fixture(scope="module")
def events(landed: Path) -> duckdb.DuckDBPyConnection:
    """Browser events that parse, with local times; machines that say so left out."""
    connection = duckdb.connect(":memory:")
    folder = landed / "landing" / "web"
    connection.execute(
        "create table events as select *, try_cast(ts as timestamp) + interval 8 hour as local_time, try_cast(received as timestamp) as received_at"
        " from read_csv($files, all_varchar = true, ignore_errors = true) where ua not like '%Bot%' and cookie not like 'cbot%'",
        {"files": str(folder / "*.csv.gz")},
    )
    return connection


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_world(tmp_path / name, n_users=20, n_days=15, seed=5, say=lambda _: None)
    first = {p.relative_to(tmp_path / "a"): p.read_bytes() for p in sorted((tmp_path / "a").rglob("*")) if p.is_file()}
    second = {p.relative_to(tmp_path / "b"): p.read_bytes() for p in sorted((tmp_path / "b").rglob("*")) if p.is_file()}
    assert first == second


def test_how_many_days_are_drawn_at_once_changes_no_byte(tmp_path: Path) -> None:
    for days_at_once in (1, 4):
        write_world(
            tmp_path / str(days_at_once), n_users=40, n_days=15, seed=5, say=lambda _: None, days_at_once=days_at_once
        )
    found = [
        {p.relative_to(root): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}
        for root in (tmp_path / "1", tmp_path / "4")
    ]
    assert found[0] == found[1]


def test_another_seed_gives_another_world(tmp_path: Path) -> None:
    for name, seed in (("a", 5), ("b", 6)):
        write_world(tmp_path / name, n_users=20, n_days=15, seed=seed, say=lambda _: None)
    name = "landing/web/web_2026-03-30.csv.gz"
    assert (tmp_path / "a" / name).read_bytes() != (tmp_path / "b" / name).read_bytes()


def test_the_truth_lies_apart_from_what_lands(landed: Path) -> None:
    assert {p.name for p in (landed / "truth").iterdir()} >= {"people.parquet", "aliases.parquet", "absence.parquet"}
    assert not [p for p in (landed / "landing").rglob("*") if "truth" in str(p.relative_to(landed))]


def test_weeks_repeat_and_nights_are_quiet(events: duckdb.DuckDBPyConnection) -> None:
    correlation = events.execute(
        "with days as (select cast(local_time as date) as day, count(*) as n from events where local_time between '2026-02-10' and '2026-03-30' group by day),"
        " pairs as (select n, lag(n, 7) over (order by day) as before from days) select corr(n, before) from pairs"
    ).fetchall()[0][0]
    night = events.execute(
        "select avg(case when hour(local_time) < 6 then 1 else 0 end) from events where local_time is not null"
    ).fetchall()[0][0]
    assert correlation > 0.5
    assert night < 0.10


def test_some_events_come_weeks_late_and_some_twice(events: duckdb.DuckDBPyConnection) -> None:
    late = "received_at > local_time - interval 8 hour + interval 1 day and local_time > '2026-01-01'"
    n_late, latest, n = events.execute(
        f"select count(*) filter (where {late}), max(date_diff('day', local_time - interval 8 hour, received_at)) filter (where {late}), count(*) from events"
    ).fetchall()[0]
    assert 0.0005 < n_late / n < 0.01
    assert 10 < latest <= 60
    assert events.execute("select count(*) - count(distinct id) from events where id is not null").fetchall()[0][0] > 50


def test_who_is_used_to_low_prices_pays_less(events: duckdb.DuckDBPyConnection, landed: Path) -> None:
    paid = dict(
        events.execute(
            "select p.segment, avg(try_cast(unit_price as double)) from events join read_parquet($people) as p on p.user_id = events.uid"
            " where action = 'order' and p.segment in ('bargain_hunter', 'big_spender') group by 1",
            {"people": str(landed / "truth" / "people.parquet")},
        ).fetchall()
    )
    assert paid["bargain_hunter"] < 0.95 * paid["big_spender"]


def test_a_third_of_the_events_come_before_a_sign_in(events: duckdb.DuckDBPyConnection) -> None:
    share = events.execute("select avg(case when uid is null then 1 else 0 end) from events").fetchall()[0][0]
    assert 0.30 < share < 0.40


def test_sessions_cross_midnight(events: duckdb.DuckDBPyConnection) -> None:
    crossing = "select session from events where session is not null group by session having count(distinct cast(local_time as date)) = 2"
    assert len(events.execute(crossing).fetchall()) > 3


def test_people_use_several_devices_and_some_devices_are_shared(landed: Path) -> None:
    aliases = str(landed / "truth" / "aliases.parquet")
    connection = duckdb.connect(":memory:")
    several = connection.execute(
        "select avg(case when n > 1 then 1 else 0 end) from (select pid, count(*) filter (where alias_id not like 'user:%') as n from read_parquet($a) group by pid)",
        {"a": aliases},
    ).fetchall()[0][0]
    shared = connection.execute(
        "select avg(case when n > 1 then 1 else 0 end) from (select alias_id, count(distinct pid) as n from read_parquet($a) where alias_id not like 'user:%' group by 1)",
        {"a": aliases},
    ).fetchall()[0][0]
    assert 0.2 < several < 0.4
    assert 0.03 < shared < 0.08


def test_one_record_in_two_hundred_is_broken(landed: Path) -> None:
    n_lines = sum(len(gzip.decompress(p.read_bytes()).splitlines()) for p in (landed / "landing" / "app").iterdir())
    n_cut = sum(
        1
        for p in (landed / "landing" / "app").iterdir()
        for line in gzip.decompress(p.read_bytes()).splitlines()
        if not line.endswith(b"}}")
    )
    assert 0.0002 < n_cut / n_lines < 0.002


def test_too_small_a_world_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WorldError, match="expected at least 20 people and 15 days"):
        write_world(tmp_path, n_users=3, n_days=64, seed=1, say=lambda _: None)


def test_the_world_ends_on_its_fixed_day(landed: Path) -> None:
    days = sorted(p.name for p in (landed / "landing" / "web").iterdir())
    assert days[-1] == "web_2026-03-30.csv.gz"
    assert len(days) == N_DAYS
    assert dt.date(2026, 3, 30).isoweekday() == 1
