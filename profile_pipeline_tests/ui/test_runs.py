"""What the UI starts does what it says: a backfill, many runs at once, a file dropped, a check that blocks."""

import gzip
import statistics
import time
from collections.abc import Callable
from typing import Any

import duckdb
import pytest

from benchmarks.ui_process import Ui, until
from profile_pipeline_tests.conftest import LAST_DAY, World
from profile_pipeline_tests.ui.conftest import HISTORY, SNAPSHOTS

# The first test waits for the world and the servers.
pytestmark = [pytest.mark.ui, pytest.mark.timeout(1800)]
N_DROPS = 3
HEADER = "id,ts,received,cookie,uid,session,action,sku,category,qty,unit_price,currency,stars,q,url,referrer,utm_campaign,device,ua,ip,country,city"


def with_warehouse(world: World, do: Callable[[duckdb.DuckDBPyConnection], Any]) -> Any:
    """Open the live file when no run holds it."""

    def opened() -> list[Any]:
        try:
            with duckdb.connect(str(world.paths.warehouse)) as connection:
                return [do(connection)]
        except duckdb.IOException:
            return []

    return until(opened, 300, "the warehouse stayed in use")[0]


def rows(world: World, sql: str) -> list[tuple]:
    return with_warehouse(world, lambda connection: connection.execute(sql).fetchall())


def materialized(ui: Ui, run_id: str) -> set[tuple[str, str | None]]:
    return {(".".join(m["assetKey"]["path"]), m["partition"]) for m in ui.run(run_id)["assetMaterializations"]}


def test_thirty_days_are_one_run(ui: Ui, built: World, backfill: str, tell: Any) -> None:
    done = ui.wait_for_backfill(backfill)
    assert done["status"] == "COMPLETED_SUCCESS"
    assert [run["status"] for run in done["runs"]] == ["SUCCESS"]
    run = ui.run(done["runs"][0]["runId"])
    tell(f"30 days x {len(SNAPSHOTS)} assets as one run: {run['endTime'] - run['startTime']:.1f} s")
    assert materialized(ui, run["runId"]) == {(table, day) for table in SNAPSHOTS for day in HISTORY}
    for table in ("features.behavior", "profiles.user_profiles", "applications.recommendations"):
        days = rows(
            built, f"select distinct cast(as_of_date as varchar) from {table} where as_of_date <> date '{LAST_DAY}'"
        )
        assert set(HISTORY) <= {day for (day,) in days}


def test_ten_runs_at_once_all_succeed_and_change_nothing(ui: Ui, built: World, backfill: str, tell: Any) -> None:
    ui.wait_for_backfill(backfill)
    before = rows(built, "select * from features.demand order by all")
    began = time.monotonic()
    ids = [ui.launch(["features.demand"], partition=day) for day in HISTORY[:10]]
    assert ui.wait_for(ids) == ["SUCCESS"] * 10
    tell(f"ten runs at once: {time.monotonic() - began:.1f} s")
    assert [materialized(ui, run_id) for run_id in ids] == [{("features.demand", day)} for day in HISTORY[:10]]
    assert rows(built, "select * from features.demand order by all") == before


def test_a_dropped_file_is_in_the_profile_without_a_hand(ui: Ui, built: World, backfill: str, tell: Any) -> None:
    ui.wait_for_backfill(backfill)
    user = rows(
        built,
        f"select user_ids[1] from profiles.user_profiles where as_of_date = date '{LAST_DAY}' and len(user_ids) = 1 order by profile_id limit 1",
    )[0][0]

    def n_searches() -> int:
        # A new file takes the place of the published one: each look opens it anew.
        with duckdb.connect(str(built.paths.serving), read_only=True) as connection:
            return connection.execute(
                "select n_searches_30d from profiles.user_profiles where list_contains(user_ids, ?)", [user]
            ).fetchall()[0][0]

    taken = []
    for number in range(N_DROPS):
        before, began = n_searches(), time.monotonic()
        line = f"dropped{number},{LAST_DAY}T02:0{number}:00Z,{LAST_DAY}T02:0{number}:01Z,dropped,{user},s,search,,,,,,,茶,,,,,Mozilla,,CN,"
        hidden = built.paths.landing / "web" / f".drop{number}"
        hidden.parent.mkdir(parents=True, exist_ok=True)
        hidden.write_bytes(gzip.compress(f"{HEADER}\n{line}\n".encode()))
        hidden.rename(hidden.with_name(f"drop{number}.csv.gz"))
        until(lambda expected=before + 1: n_searches() == expected, 600, "the profile was not updated")
        taken.append(time.monotonic() - began)
    tell(
        f"from a dropped file to the profile: median {statistics.median(taken):.1f} s of {', '.join(f'{s:.1f}' for s in taken)} (budget 60 s)"
    )
    assert rows(built, "select count(*) from raw.pending") == [(0,)]


def test_a_failing_check_blocks_what_is_downstream(ui: Ui, built: World, backfill: str) -> None:
    ui.wait_for_backfill(backfill)
    until(lambda: not ui.runs(statuses=["QUEUED", "STARTING", "STARTED"]), 300, "runs did not end")
    day, other = HISTORY[0], HISTORY[20]
    doubled = f"(select * from features.behavior where as_of_date = date '{other}' order by profile_id limit 1)"
    with_warehouse(built, lambda connection: connection.execute(f"insert into features.behavior {doubled}").fetchall())
    run_id = ui.launch(["features.behavior", "features.demand"], partition=day)
    assert ui.wait_for([run_id]) == ["FAILURE"]
    assert materialized(ui, run_id) == {("features.behavior", day)}
    mended = ui.launch(["features.behavior", "features.demand"], partition=other)
    assert ui.wait_for([mended]) == ["SUCCESS"]
    assert materialized(ui, mended) == {("features.behavior", other), ("features.demand", other)}
