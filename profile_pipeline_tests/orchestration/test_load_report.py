import datetime as dt
from contextlib import closing
from pathlib import Path

import pytest

from profile_pipeline.orchestration.building.load_report import NothingCountsError
from profile_pipeline.orchestration.keeping.recovering import Selection, dismiss
from profile_pipeline.orchestration.resources import open_warehouse
from profile_pipeline.orchestration.running import Runner
from profile_pipeline.orchestration.steps import RunFailedError
from profile_pipeline.paths import Paths
from profile_pipeline.settings import Settings

GOOD = "ts,action,uid\n2026-01-07T10:00:00Z,view,u1\n2026-01-08T10:00:00Z,view,u2\n"


def settings(**source: object) -> Settings:
    shop = {
        "table": "events",
        "path": "shop/*.csv",
        "format": "csv",
        "columns": {"event_time": "ts", "event_type": "action", "user_id": "uid"},
    }
    calendar = {"start": dt.date(2026, 1, 5), "end": dt.date(2026, 1, 11)}
    return Settings.model_validate({"calendar": calendar, "stable_seconds": 0, "sources": {"shop": shop | source}})


def landed(data: Path, text: str, name: str = "shop/a.csv") -> Paths:
    path = data / "landing" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return Paths(config=data / "profile.yaml", data=data)


def ingest(configured: Settings, paths: Paths) -> list[str]:
    """What a load says, line by line."""
    said: list[str] = []
    runner = Runner(configured, paths, said.append)
    try:
        runner.ingest()
    finally:
        runner.instance.dispose()
    return said


def complaint(configured: Settings, paths: Paths) -> tuple[list[str], str]:
    """Which files a load says were not loaded, and what its command ends with."""
    said: list[str] = []
    runner = Runner(configured, paths, said.append)
    try:
        runner.ingest()
        runner.complain()
    except RunFailedError as error:
        return [line for line in said if line.startswith("not loaded")], str(error)
    finally:
        runner.instance.dispose()
    return [line for line in said if line.startswith("not loaded")], ""


def files_of(configured: Settings, paths: Paths) -> list[tuple]:
    warehouse = open_warehouse(configured, paths, owner="test", say=lambda _: None)
    try:
        return warehouse.rows("select status, n_loaded, n_rejected from raw.files")
    finally:
        warehouse.close()


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        (GOOD, "shopp/a.csv", r"shopp/a.csv: no source claims it; the paths of sources: are shop/\*.csv"),
        (GOOD.replace(",", "~"), "shop/a.csv", "The whole first line is one column: is `delimiter` right"),
        (GOOD.replace("2026-01-0", "0"), "shop/a.csv", "rejected: 2 records of shop: bad_time, .*Set time_format"),
        (GOOD.replace("2026", "2016"), "shop/a.csv", "2 events of 2016-01-07 to 2016-01-08, outside of the calendar, 2026-01-05 to 2026-01-11"),
    ],
)  # fmt: skip
def test_a_load_of_which_nothing_can_count_stops_and_says_why(tmp_path: Path, text: str, name: str, said: str) -> None:
    with pytest.raises(NothingCountsError, match=said):
        ingest(settings(), landed(tmp_path, text, name))


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({"table": "users", "columns": {"user_id": "uid", "city": "action", "updated_at": "ts"}}, "2 records of people, the first of 2026-02-07, expected one of 2026-01-11 or before"),
        ({"table": "items", "columns": {"item_id": "uid", "title": "action", "updated_at": "ts"}}, "found no event and no record of a person"),
    ],
)  # fmt: skip
def test_without_events_a_load_of_which_nobody_counts_stops_and_says_why(
    source: dict[str, object], said: str, tmp_path: Path
) -> None:
    configured = settings(**source)
    with pytest.raises(NothingCountsError, match=said):
        ingest(configured, landed(tmp_path, GOOD.replace("2026-01-0", "2026-02-0")))


def test_what_is_wrong_with_a_part_is_said_and_the_rest_counts(tmp_path: Path) -> None:
    said = ingest(settings(), landed(tmp_path, GOOD + "yesterday,view,u3\n2016-01-07T10:00:00Z,view,u1\n"))
    assert any("rejected: 1 record of shop: bad_time" in line for line in said)
    assert any("not counted: 1 event of 2016-01-07" in line for line in said)


def test_what_was_dismissed_is_not_told_again_where_its_file_is_delivered_again(tmp_path: Path) -> None:
    configured, bad = settings(), "ts,action,uid\nyesterday,view,u3\n"
    landed(tmp_path, GOOD)
    assert any("rejected: 1 record" in line for line in ingest(configured, landed(tmp_path, bad, "shop/b.csv")))
    with closing(
        open_warehouse(configured, landed(tmp_path, bad, "shop/c.csv"), owner="test", say=lambda _: None)
    ) as w:
        assert dismiss(w, Selection(), now=dt.datetime(2026, 11, 27)) == 1
    said = ingest(configured, landed(tmp_path, GOOD.replace("u1", "u4"), "shop/d.csv"))
    assert [line for line in said if "rejected:" in line] == []


def test_a_file_of_which_nothing_was_loaded_is_read_again_with_the_mended_mapping(tmp_path: Path) -> None:
    paths = landed(tmp_path, GOOD.replace(",", "~"))
    with pytest.raises(NothingCountsError):
        ingest(settings(), paths)
    mended = settings(delimiter="~")
    landed(tmp_path, GOOD.replace(",", "~"))
    ingest(mended, paths)
    assert files_of(mended, paths) == [("loaded", 2, 0)]
    landed(tmp_path, GOOD.replace(",", "~"))
    ingest(mended, paths)
    assert files_of(mended, paths) == [("loaded", 2, 0)]


def test_rejected_records_of_a_file_that_is_read_again_are_replaced(tmp_path: Path) -> None:
    text = GOOD.replace("2026-01-07T10:00:00Z", "07/01/2026").replace("2026-01-08T10:00:00Z", "08/01/2026")
    paths = landed(tmp_path, text)
    with pytest.raises(NothingCountsError):
        ingest(settings(), paths)
    mended = settings(time_format="%d/%m/%Y")
    landed(tmp_path, text)
    ingest(mended, paths)
    warehouse = open_warehouse(mended, paths, owner="test", say=lambda _: None)
    try:
        assert warehouse.rows("select count(*) from raw.rejected_records") == [(0,)]
    finally:
        warehouse.close()


@pytest.mark.parametrize("order", [("shop", "another"), ("another", "shop")])
def test_a_content_that_one_source_refuses_and_another_loads_is_no_refused_file_whichever_comes_first(
    order: tuple[str, str], tmp_path: Path
) -> None:
    shop = settings().sources["shop"]
    known = {"shop": shop, "another": shop.model_copy(update={"path": "another/*.csv", "delimiter": "~"})}
    configured = settings().model_copy(update={"sources": {name: known[name] for name in order}})
    landed(tmp_path, GOOD, "another/a.csv")
    paths = landed(tmp_path, GOOD)
    assert complaint(configured, paths) == ([], "")
    assert sorted(files_of(configured, paths)) == [("duplicate", 0, 0), ("loaded", 2, 0)]


def test_why_a_file_was_refused_is_told_before_files_of_no_source(tmp_path: Path) -> None:
    paths = landed(tmp_path, GOOD)
    for number in range(6):
        landed(tmp_path, f"of no source {number}", f"a{number}.txt")
    landed(tmp_path, GOOD.replace(",", "~"), "shop/refused.csv")
    told, error = complaint(settings(), paths)
    assert told[0].startswith("not loaded: shop/refused.csv: missing_column")
    assert error.startswith("1 file was refused as a whole, why stands above")


def test_why_a_file_that_came_from_the_archive_was_refused_is_told_as_well(tmp_path: Path) -> None:
    paths = landed(tmp_path, GOOD.replace(",", "~"), "shop/refused.csv")
    with pytest.raises(NothingCountsError):
        ingest(settings(), paths)
    ingest(settings(), landed(tmp_path, GOOD))
    # A commit that is lost with its log: only the archive knows of the file.
    with closing(open_warehouse(settings(), paths, owner="test", say=lambda _: None)) as w:
        w.execute("delete from raw.files where path = 'shop/refused.csv'")
    told, error = complaint(settings(), paths)
    assert [line.split(": ")[:3] for line in told] == [["not loaded", "shop/refused.csv", "missing_column"]]
    assert error.startswith("1 file was refused as a whole, why stands above")


def test_what_is_left_alone_is_named_with_the_reason_a_few_of_many(tmp_path: Path) -> None:
    paths = landed(tmp_path / "data", GOOD)
    for number in range(7):
        (paths.landing / f"link{number}.csv").symlink_to("/nowhere")
    said = [line for line in ingest(settings(), paths) if line.startswith("left alone")]
    assert said == [
        *(f"left alone: link{number}.csv: a link, which is not followed" for number in range(5)),
        f"left alone: 2 more in {paths.landing}",
    ]
    # Also where there is nothing to load.
    assert [line for line in ingest(settings(), paths) if line.startswith("left alone")] == said


def test_names_of_files_stay_in_the_table_of_files_and_reach_nothing_that_dagster_keeps(tmp_path: Path) -> None:
    phone = "13812345678"
    paths = landed(tmp_path / "data", GOOD + "bad,view,u1\n", f"shop/{phone}.csv")
    landed(tmp_path / "data", "", f"shop/refused {phone}.csv")
    landed(tmp_path / "data", GOOD, f"unclaimed {phone}.csv")
    (paths.landing / f"link {phone}.csv").symlink_to("/nowhere")
    runner = Runner(settings(), paths, lambda _: None)
    runner.ingest()
    assert runner.recover(Selection(file=f"shop/{phone}.csv")) == (0, 1)
    assert runner.recover(Selection(file=f"{phone}.csv")) == (0, 0)
    runner.instance.dispose()
    kept = [path for path in paths.dagster_home.rglob("*") if path.is_file()]
    assert any(path.suffix == ".db" for path in kept)
    assert [path for path in kept if phone.encode() in path.read_bytes()] == []


@pytest.mark.parametrize("wrong", ["bills", "of no source"])
def test_a_file_in_two_folders_is_loaded_where_it_fits_and_a_duplicate_where_it_does_not(
    wrong: str, tmp_path: Path
) -> None:
    configured = settings()
    bills = configured.sources["shop"].model_copy(
        update={"path": "bills/*.csv", "columns": {"event_time": "billed", "event_type": "action", "user_id": "uid"}}
    )
    both = configured.model_copy(update={"sources": {"bills": bills} | configured.sources})
    paths = landed(tmp_path, GOOD)
    landed(tmp_path, GOOD, f"{wrong}/a.csv")
    runner = Runner(both, paths, lambda _: None)
    runner.ingest()
    runner.instance.dispose()
    runner.complain()
    warehouse = open_warehouse(both, paths, owner="test", say=lambda _: None)
    try:
        told = dict(warehouse.rows("select path, status || coalesce(': ' || reason, '') from raw.files"))
    finally:
        warehouse.close()
    refused = {"bills": "duplicate: the same content as shop/a.csv", "of no source": "rejected: no_source"}
    assert told == {"shop/a.csv": "loaded", f"{wrong}/a.csv": refused[wrong]}


def test_a_run_complains_of_as_many_files_as_it_has_told_of(tmp_path: Path) -> None:
    paths = landed(tmp_path, GOOD)
    landed(tmp_path, GOOD.replace(",", "~"), "shop/b.csv")
    said: list[str] = []
    runner = Runner(settings(), paths, said.append)
    runner.ingest()
    runner.instance.dispose()
    with pytest.raises(RunFailedError, match="1 file was refused as a whole, why stands above"):
        runner.complain()
    assert [line for line in said if line.startswith("not loaded: shop/b.csv: ")]


def test_a_run_tells_which_events_do_not_count_and_why_once(tmp_path: Path) -> None:
    robot = "2026-01-09T10:00:00Z,view,u{},Googlebot/2.1\n"
    text = "ts,action,uid,agent\n2026-01-07T10:00:00Z,view,u1,Firefox\n" + "".join(robot.format(i) for i in range(3))
    columns = {"event_time": "ts", "event_type": "action", "user_id": "uid", "user_agent": "agent"}
    configured = settings(columns=columns)
    text += "2026-01-07T10:00:00Z,view,u1,Firefox\n2016-01-07T10:00:00Z,view,u1,Firefox\n"
    paths = landed(tmp_path, text)
    landed(tmp_path, text, "shop/the same.csv")
    said: list[str] = []
    runner = Runner(configured, paths, said.append)
    runner.ingest()
    for _ in range(2):
        runner.build_features(dt.date(2026, 1, 5), dt.date(2026, 1, 11))
    runner.instance.dispose()
    assert [line.partition(" (")[0] for line in said if line.startswith("not counted")] == [
        "not counted: 1 event of 2016-01-07 to 2016-01-07, outside of the calendar, 2026-01-05 to 2026-01-11. Set calendar: in profile.yaml, or see whether time_format is right",
        "not counted: 3 events of shop: bot_user_agent", "not counted: 1 event of shop: duplicate",
    ]  # fmt: skip
