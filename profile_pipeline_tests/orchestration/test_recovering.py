"""Rejected records: what was refused for a wrong mapping enters, once it is mended, as if it had been right the first time."""

import contextlib
import datetime as dt
import json
import os
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from profile_pipeline.orchestration.building.dismissed import keep_dismissed
from profile_pipeline.orchestration.building.load_report import NothingCountsError
from profile_pipeline.orchestration.keeping.behind import has_new_versions
from profile_pipeline.orchestration.keeping.recovering import Selection, dismiss
from profile_pipeline.orchestration.running import Runner
from profile_pipeline.orchestration.steps import RunFailedError
from profile_pipeline.paths import Paths
from profile_pipeline.settings_file import load_settings
from profile_pipeline_tests.conftest import ROOT

RIGHT = """
calendar: {start: 2026-02-23, end: 2026-03-03}
stable_seconds: 0
sources:
  shop:
    table: events
    path: shop/*.csv
    format: csv
    identical_records: each
    columns: {event_time: ts, event_type: action, user_id: uid, item_id: item, price: "regexp_replace(price, '[$]', '')"}
  crm:
    table: users
    path: crm/*.csv
    format: csv
    columns: {user_id: uid, birth_date: "case when born <> '-' then born end", updated_at: changed}
"""
WRONG = RIGHT.replace("\"regexp_replace(price, '[$]', '')\"", "price").replace(
    "\"case when born <> '-' then born end\"", "born"
)
TABLES = (
    "cleaned.events",
    "cleaned.excluded_events",
    "cleaned.users",
    "cleaned.sessions",
    "features.user_features",
    "profiles.user_profiles",
)
SECRET = "canary-item"


def deliver(data: Path) -> None:
    """Nine days of eight people; every third price has a sign, and two records can't be read by any mapping."""
    for folder in ("shop", "crm"):
        (data / "landing" / folder).mkdir(parents=True)
    for n in range(9):
        day = dt.date(2026, 2, 23) + dt.timedelta(days=n)
        lines = [
            f"{day}T{8 + u:02d}:00:00Z,purchase,u{u},i{(u * n) % 5},{'$' if (u + n) % 3 == 0 else ''}9.50"
            for u in range(8)
        ]
        # The same line twice: the second is another record, by its number.
        lines += [f"{day}T20:00:00Z,page_view,u1,i1,$1.00"] * 2
        if n == 4:
            lines += [f"no time,page_view,u1,{SECRET},1.00", "too,few"]
        text = "\n".join(["ts,action,uid,item,price", *lines, ""])
        (data / "landing" / "shop" / f"{day}.csv").write_text(text, encoding="utf-8")
    people = [f"u{u},{'-' if u % 2 else '1990-01-0' + str(u + 1)},2026-02-20T00:00:00Z" for u in range(8)]
    (data / "landing" / "crm" / "people.csv").write_text("\n".join(["uid,born,changed", *people, ""]), encoding="utf-8")


def runner(data: Path, config: str) -> Runner:
    path = data / "profile.yaml"
    data.mkdir(parents=True, exist_ok=True)
    path.write_text(config, encoding="utf-8")
    return Runner(load_settings(path), Paths(config=path, data=data), lambda _: None)


def build(data: Path, config: str) -> None:
    r = runner(data, config)
    r.ingest()
    r.build_all()
    r.instance.dispose()


def recover(data: Path, config: str, selection: Selection) -> tuple[int, int]:
    r = runner(data, config)
    try:
        return r.recover(selection)
    finally:
        r.instance.dispose()


def rows(data: Path, query: str) -> list[tuple]:
    with duckdb.connect(str(data / "profile.duckdb"), read_only=True) as connection:
        return connection.execute(query).fetchall()


def contents(data: Path) -> dict[str, list[tuple]]:
    return {table: rows(data, f"select * from {table} order by all") for table in TABLES}


def command(data: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "profile_pipeline.cli", "rejected", *arguments], capture_output=True, text=True, cwd=ROOT,
        env=os.environ | {"PROFILE_PIPELINE_DATA": str(data), "PROFILE_PIPELINE_CONFIG": str(data / "profile.yaml"), "COLUMNS": "200"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def once_refused(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose mapping was wrong when its files came."""
    data = tmp_path_factory.mktemp("refused") / "data"
    deliver(data)
    build(data, WRONG)
    return data


@pytest.fixture
def refused(once_refused: Path, tmp_path: Path) -> Path:
    """A copy of it, to work on."""
    shutil.copytree(once_refused, tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same files under the mapping that is right."""
    data = tmp_path_factory.mktemp("right") / "data"
    deliver(data)
    build(data, RIGHT)
    return data


@pytest.mark.parametrize("is_built_before", [True, False])
def test_recovered_records_enter_as_if_they_had_been_right_the_first_time(
    right: Path, once_refused: Path, tmp_path: Path, is_built_before: bool
) -> None:
    data = tmp_path / "data"
    if is_built_before:
        shutil.copytree(once_refused, data)
    else:
        deliver(data)
        r = runner(data, WRONG)
        r.ingest()
        r.instance.dispose()
    n_rejected = rows(data, "select count(*) from raw.rejected_records")[0][0]
    assert recover(data, RIGHT, Selection()) == (n_rejected - 2, 2)
    build(data, RIGHT)
    assert contents(data) == contents(right)
    told = "select n_records, n_loaded, n_rejected from raw.files order by path"
    assert rows(data, told) == rows(right, told)
    assert rows(data, "select reason_code from raw.rejected_records order by all") == [("bad_time",), ("field_count",)]
    open_rows = "select count(*) from cleaned.ledger where n_loaded <> n_cleaned + n_excluded or n_waiting <> 0"
    assert rows(data, open_rows) == [(0,)]


def test_the_first_rows_of_a_source_keep_with_what_mapping_they_were_recovered(tmp_path: Path) -> None:
    data = tmp_path / "data"
    load_refused(data, RIGHT, [f"at {GOOD}"])
    assert rows(data, "select name from raw.built_with where name = 'sources.shop'") == []
    assert recover(
        data, RIGHT.replace("event_time: ts", "event_time: \"replace(ts, 'at ', '')\""), Selection(source="shop")
    ) == (1, 0)
    assert rows(data, "select name from raw.built_with where name = 'sources.shop'") == [("sources.shop",)]


def test_a_second_recovery_finds_nothing_more(refused: Path) -> None:
    recover(refused, RIGHT, Selection())
    before = rows(refused, "select count(*) from raw.events")
    assert recover(refused, RIGHT, Selection()) == (0, 2)
    assert rows(refused, "select count(*) from raw.events") == before


def test_only_the_selected_records_are_recovered(refused: Path) -> None:
    assert recover(refused, RIGHT, Selection(source="crm")) == (4, 0)
    n, _ = recover(refused, RIGHT, Selection(file="shop/2026-02-23.csv"))
    assert n == 5
    assert rows(refused, "select count(distinct file_id) from raw.rejected_records where source = 'shop'") == [(8,)]


def test_an_archived_file_that_was_damaged_is_found_before_it_is_read(refused: Path) -> None:
    ((file_id,),) = rows(refused, "select file_id from raw.files where path = 'crm/people.csv'")
    path = refused / "archive" / file_id[:2] / file_id
    path.write_bytes(path.read_bytes().replace(b"u1,", b"u9,"))
    with pytest.raises(RunFailedError, match="is not what was delivered"):
        recover(refused, RIGHT, Selection(source="crm"))
    assert rows(refused, "select count(*) from raw.rejected_records where source = 'crm'") == [(4,)]


def test_what_was_dismissed_is_listed_apart_and_not_recovered(refused: Path) -> None:
    assert command(refused, "dismiss").returncode == 1
    done = command(refused, "dismiss", "--source", "shop", "--file", "shop/2026-02-27.csv")
    n_dismissed = rows(refused, "select count(*) from raw.rejected_records where dismissed_at is not null")[0][0]
    assert done.stdout.strip() == f"{n_dismissed} records dismissed"
    assert n_dismissed > 0
    dismissed = json.loads(command(refused, "list", "--dismissed", "--json").stdout)
    assert sum(g["n_records"] for g in dismissed) == n_dismissed
    recover(refused, RIGHT, Selection())
    assert rows(refused, "select count(*) from raw.rejected_records where dismissed_at is not null") == [(n_dismissed,)]
    assert rows(refused, "select count(*) from raw.files where n_records <> n_loaded + n_rejected") == [(0,)]


def test_a_record_that_stays_rejected_is_so_for_what_is_wrong_with_it_now(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "landing" / "shop").mkdir(parents=True)
    good = "2026-02-24T08:00:00Z,purchase,u1,i1,1"
    text = f"ts,action,uid,item,price\n{good}\nat {good.replace('i1,1', 'i1,many')}\n"
    (data / "landing" / "shop" / "a.csv").write_text(text, encoding="utf-8")
    r = runner(data, RIGHT)
    r.ingest()
    r.instance.dispose()
    assert rows(data, "select reason_code from raw.rejected_records") == [("bad_time",)]
    mended = RIGHT.replace("event_time: ts", "event_time: \"replace(ts, 'at ', '')\"")
    assert recover(data, mended, Selection()) == (0, 1)
    ((reason, detail),) = rows(data, "select reason_code, detail from raw.rejected_records")
    assert reason == "bad_number"
    assert "many" in detail


GOOD, BAD = "2026-02-24T08:00:00Z,purchase,u0,i1,1", "2026-02-24T08:00:00Z,purchase,u0,i1,many"
# By quotes the first line and the second are one record, of a number that is none.
JOINED = ['2026-02-24T08:00:00Z,purchase,u1,i1,"1', '2026-02-24T08:00:00Z,purchase,u2,i2,2"']
SHOP = "format: csv\n    identical_records"
UNQUOTED = RIGHT.replace(SHOP, f"has_quotes: false\n    {SHOP}").replace("[$]", '[$\\"]')


def load_refused(data: Path, config: str, lines: list[str]) -> None:
    """Load a file of the shop of which some records, or all, are rejected."""
    (data / "landing" / "shop").mkdir(parents=True, exist_ok=True)
    text = "\n".join(["ts,action,uid,item,price", *lines, ""])
    (data / "landing" / "shop" / "a.csv").write_text(text, encoding="utf-8")
    r = runner(data, config)
    with contextlib.suppress(NothingCountsError):
        r.ingest()
    r.instance.dispose()


@pytest.mark.parametrize("lines", [[GOOD, *JOINED], JOINED, [*JOINED, BAD]])
def test_a_mended_mapping_that_cuts_other_records_is_refused_and_loses_none(tmp_path: Path, lines: list[str]) -> None:
    data = tmp_path / "data"
    load_refused(data, RIGHT, lines)
    before = rows(data, "select * from raw.rejected_records order by all")
    told = f"cuts 1 file into other records: found {len(lines)}, expected the same {len(lines) - 1} as before"
    with pytest.raises(RunFailedError, match=f"{told}.*profile-pipeline rebuild --source shop"):
        recover(data, UNQUOTED, Selection(source="shop"))
    assert rows(data, "select * from raw.rejected_records order by all") == before


def test_a_mended_mapping_that_cuts_as_many_records_but_others_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "data"
    load_refused(data, WRONG.replace(SHOP, f"has_quotes: false\n    {SHOP}"), [GOOD.replace("i1,1", "i1,$1"), *JOINED])
    assert rows(data, "select n_records, n_rejected from raw.files") == [(3, 3)]
    # The line of names is a record more, and the quotes make one of two.
    headed = RIGHT.replace(SHOP, f"header: [ts, action, uid, item, price]\n    {SHOP}")
    with pytest.raises(RunFailedError, match="cuts 1 file into other records: found 3, expected the same 3 as before"):
        recover(data, headed, Selection(source="shop"))
    assert rows(data, "select count(*) from raw.events") == [(0,)]


def test_a_mended_encoding_recovers_what_was_no_text(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "landing" / "shop").mkdir(parents=True)
    text = "\n".join(["ts,action,uid,item,price", GOOD, GOOD.replace("i1", "café"), ""])
    (data / "landing" / "shop" / "a.csv").write_text(text, encoding="latin-1")
    r = runner(data, RIGHT)
    r.ingest()
    r.instance.dispose()
    assert recover(data, RIGHT.replace(SHOP, f"encoding: latin-1\n    {SHOP}"), Selection(source="shop")) == (1, 0)
    assert rows(data, "select item_id from raw.events order by row_number") == [("i1",), ("café",)]


def test_a_recovery_that_finds_nothing_leaves_nothing_to_follow(refused: Path) -> None:
    r = runner(refused, WRONG)
    assert r.recover(Selection(source="crm", reason="no such reason")) == (0, 0)
    with closing(r.warehouse()) as w:
        assert not has_new_versions(w, r.instance, r.settings)
    assert r.recover(Selection(source="shop"))[0] == 0
    r.instance.dispose()
    assert recover(refused, RIGHT, Selection(source="crm"))[0] > 0
    r = runner(refused, RIGHT)
    with closing(r.warehouse()) as w:
        assert has_new_versions(w, r.instance, r.settings)
    r.instance.dispose()


@pytest.mark.faults
def test_what_was_dismissed_stays_out_where_its_file_is_read_anew_by_a_mended_mapping(
    refused: Path, tmp_path: Path
) -> None:
    assert command(refused, "dismiss", "--file", "shop/2026-02-27.csv").returncode == 0
    assert command(refused, "dismiss", "--source", "crm").returncode == 0
    with duckdb.connect(str(refused / "profile.duckdb"), read_only=True) as connection:
        dismissed = connection.sql("select * from raw.rejected_records where dismissed_at is not null").to_arrow_table()
    data = tmp_path / "anew"
    deliver(data)
    r = runner(data, RIGHT)
    r.ingest()
    ((n_loaded, n_crm),) = rows(data, "select (select count(*) from raw.events), (select count(*) from raw.users)")
    with closing(r.warehouse()) as w:
        keep_dismissed(w, r.settings, r.paths.archive, dismissed)
    r.build_all()
    r.instance.dispose()
    n_dismissed, n_people = (sum(s == name for s in dismissed["source"].to_pylist()) for name in ("shop", "crm"))
    # Two of the file can't be read by any mapping: they were not loaded.
    ((n_events, n_users, n_counted),) = rows(
        data, "select (select count(*) from raw.events), (select count(*) from raw.users), (select count(*) from cleaned.events)"
    )  # fmt: skip
    assert (n_events, n_users) == (n_loaded - n_dismissed + 2, n_crm - n_people)
    assert n_events == n_counted
    assert rows(data, "select count(*) from raw.rejected_records where dismissed_at is not null") == [(dismissed.num_rows,)]  # fmt: skip
    assert rows(data, "select count(*) from raw.files where n_records <> n_loaded + n_rejected") == [(0,)]


def test_what_was_dismissed_stays_out_where_a_file_of_which_nothing_was_loaded_is_delivered_again(
    tmp_path: Path,
) -> None:
    data, landing = tmp_path / "data", tmp_path / "data" / "landing" / "shop"
    landing.mkdir(parents=True)
    moment = "2026-02-24T08:00:00Z,purchase,u1,i1"
    text = "\n".join(["ts,action,uid,item,price", f"{moment},$1", f"at {moment},2", f"{moment},many", ""])
    (landing / "a.csv").write_text(text, encoding="utf-8")
    r = runner(data, WRONG)
    with pytest.raises(NothingCountsError):
        r.ingest()
    with closing(r.warehouse()) as w:
        assert dismiss(w, Selection(reason="bad_number"), now=dt.datetime(2026, 11, 27)) == 2
    r.instance.dispose()
    (landing / "b.csv").write_text(text, encoding="utf-8")
    r = runner(data, RIGHT.replace("event_time: ts", "event_time: \"replace(ts, 'at ', '')\""))
    assert r.ingest() == 1
    r.instance.dispose()
    assert rows(data, "select row_number from raw.events") == [(2,)]
    assert rows(data, "select row_number, dismissed_at from raw.rejected_records order by 1") == [
        (1, dt.datetime(2026, 11, 27)),
        (3, dt.datetime(2026, 11, 27)),
    ]
    assert rows(data, "select path, status, n_records, n_loaded, n_rejected from raw.files order by 1") == [
        ("shop/a.csv", "duplicate", 0, 0, 0),
        ("shop/b.csv", "loaded", 3, 1, 2),
    ]
    assert rows(data, "select n_loaded, n_waiting from cleaned.ledger") == [(1, 1)]


def test_what_was_dismissed_is_found_again_by_its_text_where_a_mended_mapping_cuts_other_records(
    tmp_path: Path,
) -> None:
    data, landing = tmp_path / "data", tmp_path / "data" / "landing" / "shop"
    landing.mkdir(parents=True)
    moment = "2026-02-24T08:00:00Z,purchase"
    # Quotes join two lines, of which the second is a good record by itself.
    lines = [f'at {moment},"u1', f'{moment},u2",i1,1', f"at {moment},u3,i1,1", f"at {moment},u3,i1,1"]
    text = "\n".join(["ts,action,uid,item,price", *lines, ""])
    (landing / "a.csv").write_text(text, encoding="utf-8")
    r = runner(data, RIGHT)
    with pytest.raises(NothingCountsError):
        r.ingest()
    with closing(r.warehouse()) as w:
        assert dismiss(w, Selection(), now=dt.datetime(2026, 11, 27)) == 3
    r.instance.dispose()
    (landing / "a.csv").write_text(text, encoding="utf-8")
    mended = RIGHT.replace("event_time: ts", "event_time: \"replace(ts, 'at ', '')\"")
    r = runner(data, mended.replace("format: csv\n    identical", "format: csv\n    has_quotes: false\n    identical"))
    assert r.ingest() == 1
    r.instance.dispose()
    assert rows(data, "select row_number, user_id from raw.events") == [(2, 'u2"')]
    told = "select row_number, record, dismissed_at is not null from raw.rejected_records order by 1"
    assert rows(data, told) == [(1, lines[0], False), (3, lines[2], True), (4, lines[3], True)]
    assert rows(data, "select n_records, n_loaded, n_rejected from raw.files") == [(4, 1, 3)]


@pytest.mark.parametrize("given", [("--source", "shpo"), ("--reason", "bad_tiem"), ("--file", "shop/2026-02-30.csv")])
@pytest.mark.parametrize("what", ["list", "recover"])
def test_what_names_no_source_reason_or_file_is_refused(refused: Path, what: str, given: tuple[str, str]) -> None:
    done = command(refused, what, *given)
    assert done.returncode == 1
    assert f"found {' '.join(given)}, expected" in done.stderr.replace("\n", " ")


def test_the_text_of_records_is_shown_by_one_command_only(refused: Path) -> None:
    assert SECRET in command(refused, "show", "--reason", "bad_time").stdout
    listed = command(refused, "list")
    assert listed.returncode == 0
    assert "bad_number" in listed.stdout
    assert SECRET not in listed.stdout + listed.stderr


def test_a_reason_for_which_there_are_no_records_any_more_is_no_mistake_and_one_that_nobody_knows_is(
    refused: Path,
) -> None:
    unknown = command(refused, "dismiss", "--reason", "bad_tiem")
    assert unknown.returncode == 1
    assert "expected one for which records were rejected: bad_date, bad_number, bad_time, field_count" in unknown.stderr
    known = command(refused, "dismiss", "--reason", "bad_json")
    assert (known.returncode, known.stdout) == (0, "0 records dismissed\n")


def test_who_is_shown_some_of_the_records_is_told_how_many_there_are(refused: Path) -> None:
    assert "1 of 4 records shown; all of them: --limit 4" in command(
        refused, "show", "--reason", "bad_date", "--limit", "1"
    ).stderr.replace("\n", " ")
    assert command(refused, "show", "--reason", "bad_date").stderr == ""
