"""Faults are planted in a world that is right, one at a time and rolled back, and every one of them has to be found."""

import datetime as dt
import gzip
import json
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import dagster as dg
import pytest
from click.testing import Result
from typer.testing import CliRunner

from profile_pipeline.cli import app
from profile_pipeline.orchestration.catalogue import all_tables
from profile_pipeline.orchestration.jobs import VERIFIED
from profile_pipeline.orchestration.resources import open_warehouse
from profile_pipeline.orchestration.running import Runner
from profile_pipeline.orchestration.verifying.archive_read_again import ARCHIVED
from profile_pipeline.orchestration.verifying.missing import NOT_LOADED
from profile_pipeline.orchestration.verifying.sampled_rows import HARD, sampled_aliases
from profile_pipeline.orchestration.verifying.verify import NothingBuiltError, remedies, verify
from profile_pipeline.paths import Paths
from profile_pipeline.raw.world.write import write_world
from profile_pipeline.settings import Settings
from profile_pipeline.verification.compare import Difference
from profile_pipeline.warehouse.duckdb import Warehouse
from profile_pipeline_tests.conftest import LAST_DAY, small_settings, write_config
from profile_pipeline_tests.orchestration.planted_faults import FAULTS, NEWEST, ON_NEWEST, a_row_of
from profile_pipeline_tests.torture import examples, torture_only

N_DAYS = 15
FIRST = LAST_DAY - dt.timedelta(days=N_DAYS - 1)
EVERYBODY = 10**6


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world of 25 people, built from files to profiles."""
    data = tmp_path_factory.mktemp("verified")
    write_world(data, n_users=25, n_days=N_DAYS, seed=5, say=lambda _: None)
    write_config(data / "profile.yaml", FIRST, LAST_DAY)
    r = Runner(settings_of(), paths_of(data), lambda _: None)
    r.ingest()
    r.build_features(FIRST, LAST_DAY)
    r.build_profiles([LAST_DAY])
    r.instance.dispose()
    return data


def settings_of() -> Settings:
    return small_settings(FIRST, LAST_DAY)


def paths_of(data: Path) -> Paths:
    return Paths(config=data / "profile.yaml", data=data)


@pytest.fixture(scope="module")
def opened(built: Path) -> Iterator[Warehouse]:
    w = open_warehouse(settings_of(), paths_of(built), owner="test", say=lambda _: None)
    yield w
    w.close()


@pytest.fixture
def warehouse(opened: Warehouse) -> Iterator[Warehouse]:
    """The world, whatever is done to it undone."""
    opened.connection.execute("begin transaction")
    yield opened
    opened.connection.execute("rollback")


@pytest.fixture
def only_suspects(monkeypatch: pytest.MonkeyPatch) -> None:
    """No file of the archive is drawn: those are read that stand behind a difference."""
    monkeypatch.setattr("profile_pipeline.orchestration.verifying.verify.drawn_files", lambda w, seed: [])


def plant(w: Warehouse, statements: str) -> None:
    for statement in statements.split("; "):
        assert w.execute(statement) > 0, "nothing was planted"


def at(differences: list[Difference]) -> set[tuple[str, str]]:
    return {(d.table, d.column) for d in differences}


# What stands for its kind is tried each time, the others by `-m faults`.
TRIED_EACH_TIME = (
    "a loaded record gone", "an event twice", "a cent of an event", "an excluded record gone", "a session cut in two", "a stale tile",
    "a cent that another tile has", "a rule's tag", "a recommendation swapped", "a person gone from an audience", "signed in a day later", "a snapshot of the day before", "the last bit of a double",
)  # fmt: skip


def test_what_was_built_without_a_fault_is_found_without_one(opened: Warehouse) -> None:
    verdict = verify(opened, settings_of(), n_people=EVERYBODY, has_new_versions=False)
    assert verdict.differences == []
    assert verdict.behind == []
    for table in ("cleaned.events", "cleaned.excluded_events", "cleaned.sessions", "features.user_days"):
        assert verdict.comparison.n_rows[table] == opened.scalar(f"select count(*) from {table}"), table
    # Where so few people are, no model is trained: scores are those of `test_verifying_scores`.
    assert [table for table, n in verdict.comparison.n_rows.items() if n == 0] == ["profiles.scores"]


@pytest.mark.usefixtures("only_suspects")
@pytest.mark.parametrize(
    "fault", [pytest.param(name, marks=() if name in TRIED_EACH_TIME else pytest.mark.faults) for name in FAULTS]
)
def test_a_planted_fault_is_found(warehouse: Warehouse, built: Path, fault: str) -> None:
    statements, table, column = FAULTS[fault]
    plant(warehouse, statements)
    verdict = verify(
        warehouse, settings_of(), n_people=EVERYBODY, has_new_versions=False, days=[LAST_DAY], archive=paths_of(built).archive
    )  # fmt: skip
    assert (table, column) in at(verdict.differences)
    (remedy,) = remedies(verdict.differences, settings_of())
    is_in_raw = any(f" raw.{name} " in statements for name in ("events", "users", "files", "rejected_records"))
    assert remedy.startswith("profile-pipeline rebuild" if is_in_raw else "profile-pipeline run --from 2026-03-")


@pytest.mark.parametrize(
    ("fault", "table"),
    [
        ("an event twice", "cleaned.events"),
        ("an event gone", "cleaned.events"),
        ("a microsecond of an event", "cleaned.events"),
        ("a tile of nobody", "features.user_days"),
        ("a tile gone", "features.user_days"),
        ("a cent of an event", "features.user_days"),
        ("the price of a record", "cleaned.events"),
        ("a cent that another tile has", "features.user_days"),
        ("an item seen once more", "features.user_item_days"),
        ("a view that no metric counts", "applications.daily_metrics"),
        ("a person without a snapshot", "features.demand"),
        ("a profile twice", "profiles.user_profiles"),
    ],
)
def test_what_is_in_no_sample_is_found_by_sums(warehouse: Warehouse, fault: str, table: str) -> None:
    plant(warehouse, FAULTS[fault][0])
    verdict = verify(warehouse, settings_of(), n_people=0, has_new_versions=False, days=[])
    assert verdict.n_people == 0
    assert (table, "") in at(verdict.differences)


def money_columns() -> list[tuple[str, str]]:
    """Every column that holds money, but for what raw holds: what was delivered, and the archive is asked for."""
    tables = [t for t in all_tables(settings_of()) if t.schema in ("cleaned", "features", "profiles")]
    named = ("amount", "price", "monetary")
    return [(t.name, c.name) for t in tables for c in t.columns if any(part in c.name for part in named)]


@pytest.mark.faults
def test_a_cent_more_anywhere_in_cleaned_features_and_profiles_is_found_without_a_sample(opened: Warehouse) -> None:
    missed, tried = [], 0
    for table, column in money_columns():
        numbers = opened.rows(f"select rowid from {table} where {column} is not null order by rowid")
        for (number,) in numbers[:: max(1, len(numbers) // examples(1, torture=3))]:
            opened.connection.execute("begin transaction")
            plant(opened, f"update {table} set {column} = {column} + 0.01 where rowid = {number}")
            verdict = verify(opened, settings_of(), n_people=0, has_new_versions=False, days=[])
            opened.connection.execute("rollback")
            tried += 1
            if table not in {d.table for d in verdict.differences}:
                missed.append(f"{table}.{column}, row {number}")
    assert missed == []
    assert tried > 30


def test_a_cent_in_raw_is_found_where_the_archive_is_read_again(warehouse: Warehouse, built: Path) -> None:
    known = "price is not null and not exists (select 1 from cleaned.events as e where e.file_id = t.file_id and e.row_number = t.row_number)"
    plant(
        warehouse,
        f"update raw.events as t set price = price + 0.01 where rowid = (select min(rowid) from raw.events as t where {known})",
    )
    asked = {"n_people": 0, "has_new_versions": False, "days": [], "archive": paths_of(built).archive}
    assert ("raw.events", "price") in at(verify(warehouse, settings_of(), is_every_file=True, **asked).differences)


@pytest.mark.usefixtures("only_suspects")
def test_where_an_event_is_not_as_its_record_the_archive_says_which_of_them_is_wrong(
    warehouse: Warehouse, built: Path
) -> None:
    asked = {"n_people": 0, "has_new_versions": False, "days": [], "archive": paths_of(built).archive}
    plant(warehouse, FAULTS["a cent of an event"][0])
    cleaned_is_wrong = verify(warehouse, settings_of(), **asked)
    assert 0 < cleaned_is_wrong.archive.n_files < cleaned_is_wrong.archive.of_files
    assert remedies(cleaned_is_wrong.differences, settings_of())[0].startswith("profile-pipeline run --from ")
    warehouse.connection.execute("rollback; begin transaction")
    plant(warehouse, FAULTS["the price of a record"][0])
    assert remedies(verify(warehouse, settings_of(), **asked).differences, settings_of()) == [
        "profile-pipeline rebuild"
    ]


@pytest.mark.faults
def test_a_file_of_the_archive_that_has_rotted_is_told(warehouse: Warehouse, built: Path, tmp_path: Path) -> None:
    shutil.copytree(paths_of(built).archive, tmp_path / "archive")
    rotten = next(path for path in sorted((tmp_path / "archive").glob("??/*")) if path.suffix != ".json")
    rotten.write_bytes(rotten.read_bytes() + b" ")
    verdict = verify(
        warehouse, settings_of(), n_people=0, has_new_versions=False, days=[], archive=tmp_path / "archive", is_every_file=True
    )  # fmt: skip
    assert at(verdict.differences) == {("raw.files", "the archive")}
    assert remedies(verdict.differences, settings_of())[0] == "restore these files from a backup, or deliver them again"


def test_the_same_seed_draws_the_same_people_and_another_draws_others(opened: Warehouse) -> None:
    def drawn(seed: str) -> list[str]:
        return sampled_aliases(opened, settings_of(), n_people=12, seed=seed)

    assert drawn("a") == drawn("a") != drawn("b")
    assert len(set(drawn("a"))) == 12


def test_the_sample_holds_who_is_hard_to_get_right(opened: Warehouse) -> None:
    sample = ", ".join(f"'{alias}'" for alias in sampled_aliases(opened, settings_of(), n_people=len(HARD), seed="a"))
    most = opened.scalar(
        "select max(n) from (select count(*) as n from cleaned.events group by alias_id having alias_id is not null)"
    )
    told = (
        f"select max(n) >= {most} from (select count(*) as n from cleaned.events where alias_id in ({sample}) group by alias_id)",
        f"select count(*) > 0 from cleaned.identities where alias_id in ({sample}) and rule = 'signed_in' and alias_id not like 'user:%'",
        "select count(*) > 0 from cleaned.session_days as d join cleaned.sessions as s using (session_id)"
        f" where d.event_date > s.event_date and d.alias_id in ({sample})",
    )
    assert [opened.scalar(query) for query in told] == [True, True, True]


def test_what_waits_and_what_is_stale_is_named_and_is_no_fault(warehouse: Warehouse) -> None:
    warehouse.execute(f"insert into features.stale_days values ({NEWEST}, 'an event came late')")
    plant(warehouse, FAULTS["a millionth of an interest"][0])
    plant(warehouse, FAULTS["a profile that is not as its features"][0])
    day = warehouse.scalar("select min(event_date) from cleaned.events")
    of_day = f"event_date = date '{day}'"
    warehouse.execute(
        f"insert into raw.pending select file_id, event_date, count(*) from raw.events where {of_day} group by all"
    )
    warehouse.execute(f"delete from cleaned.events where {of_day}")
    warehouse.execute(f"delete from cleaned.excluded_events where {of_day}")
    warehouse.execute(f"update cleaned.ledger set n_waiting = n_loaded, n_cleaned = 0, n_excluded = 0 where {of_day}")
    for table in ("cleaned.events", "cleaned.sessions", "features.user_days"):
        warehouse.execute(f"insert into cleaned.touched values ('{table}', date '{day}', null, null)")
    verdict = verify(warehouse, settings_of(), n_people=EVERYBODY, has_new_versions=True, days=[LAST_DAY])
    assert {d.table for d in verdict.differences} <= {"features.user_item_days", "features.user_term_days"}
    assert [line.partition(":")[0] for line in verdict.behind][:2] == [
        "1 days have records that wait",
        "1 snapshots are outdated by late events",
    ]


def command(data: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, *of(data)])


def of(data: Path) -> list[str]:
    return ["--data", str(data), "--config", str(data / "profile.yaml")]


@pytest.fixture
def copied(built: Path, opened: Warehouse, tmp_path: Path) -> Path:
    """A copy of the world, to be written to."""
    opened.close()
    shutil.copytree(built, tmp_path / "copy")
    return tmp_path / "copy"


def test_the_command_says_what_it_compared(copied: Path) -> None:
    done = command(copied, "verify", "--sample", "5")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("5 people, snapshots of 2026-03-16")
    assert "all as it should be" in done.stdout


def mended_after(data: Path, faults: Iterable[str]) -> list[str]:
    """Plant faults, carry out what the command tells, and see that nothing differs any more; return what it told."""
    with closing(open_warehouse(settings_of(), paths_of(data), owner="test", say=lambda _: None)) as w:
        for fault in faults:
            plant(w, FAULTS[fault][0])
    done = command(data, "verify", "--sample", "1000", "--json")
    assert done.exit_code == 1
    told: list[str] = json.loads(done.stdout)["remedies"]
    for remedy in told:
        # Whoever is asked says yes.
        mended = CliRunner().invoke(app, [*remedy.split()[1:], *of(data)], input="y\n")
        assert mended.exit_code == 0, (remedy, mended.output)
    done = command(data, "verify", "--sample", "1000", "--all-files")
    assert done.exit_code == 0, done.stdout
    return told


def difference(table: str, day: str = "", column: str = "") -> Difference:
    return Difference(table, "a row", column, "found", "expected", day)


@pytest.mark.parametrize(
    ("differences", "told"),
    [
        ([difference("features.demand", "2026-03-20"), difference("features.demand", "2026-03-18")], ["profile-pipeline run --from 2026-03-18 --to 2026-03-20"]),
        ([difference("features.user_days", "2026-03-20"), difference("features.demand", "2026-03-18")], ["profile-pipeline run --from 2026-03-18 --to 2026-03-30"]),
        ([difference("cleaned.identities")], ["profile-pipeline run --from 2026-03-30 --to 2026-03-30"]),
        ([difference("cleaned.sessions")], ["profile-pipeline run --from 2026-03-16 --to 2026-03-30"]),
        ([difference("cleaned.events", "2026-03-20"), difference("raw.events")], ["profile-pipeline rebuild"]),
        ([difference("cleaned.excluded_events", "2020-01-01")], ["profile-pipeline rebuild"]),
        ([difference("raw.files", column=ARCHIVED)], ["restore these files from a backup, or deliver them again", "profile-pipeline run"]),
        ([], []),
    ],
)  # fmt: skip
def test_one_command_is_told_that_reaches_all_that_differs(differences: list[Difference], told: list[str]) -> None:
    assert remedies(differences, settings_of()) == told


TO_THE_NEWEST = (
    "an event gone", "a cent of an event", "the alias of an event", "why a record is excluded", "a term of the ledger", "a session cut in two",
    "a second of a session", "a tile gone", "a tile of nobody", "a cent that another tile has", "a term that was not said", "signed in a day later",
    "a field of the CRM", "a category of the catalogue",
)  # fmt: skip
OF_THE_NEWEST_DAY = (
    "a person without a snapshot", "a millionth of an interest", "the last bit of a double", "a profile that is not as its features",
    "a fact that the CRM does not say", "a rule's tag", "a tag gone", "a recommendation swapped", "a person gone from an audience",
    "a person put into an audience",
)  # fmt: skip
IN_RAW = (
    "a loaded record twice", "the role of a record", "what a person is said to be", "a rejected record gone", "a file that holds one record more",
    "an event gone", "a rule's tag",
)  # fmt: skip


@pytest.mark.faults
@pytest.mark.parametrize(
    ("faults", "told"),
    [
        (TO_THE_NEWEST, rf"profile-pipeline run --from 2026-03-\d\d --to {LAST_DAY}"),
        (OF_THE_NEWEST_DAY, f"profile-pipeline run --from {LAST_DAY} --to {LAST_DAY}"),
        (IN_RAW, "profile-pipeline rebuild"),
    ],
    ids=["events", "snapshots", "raw"],
)
def test_the_command_that_is_told_mends_what_is_found(copied: Path, faults: tuple[str, ...], told: str) -> None:
    (remedy,) = mended_after(copied, faults)
    assert re.fullmatch(told, remedy)


@pytest.mark.faults
@torture_only
@pytest.mark.parametrize("fault", FAULTS)
def test_the_command_that_is_told_mends_each_fault(copied: Path, fault: str) -> None:
    mended_after(copied, [fault])


def test_a_fault_is_told_with_its_place_and_a_command(copied: Path) -> None:
    with closing(open_warehouse(settings_of(), paths_of(copied), owner="test", say=lambda _: None)) as w:
        plant(w, f"update features.demand set n_open_cart_items = 97 where {a_row_of('features.demand', ON_NEWEST)}")
    done = command(copied, "verify", "--sample", "1000")
    assert done.exit_code == 1
    assert "bad  features.demand: 1 differences" in done.stdout
    assert f"{LAST_DAY}, profile_id p" in done.stdout
    assert "n_open_cart_items: found 97, expected " in done.stdout
    assert f"profile-pipeline run --from {LAST_DAY} --to {LAST_DAY}" in done.stdout


@pytest.mark.faults
def test_days_and_files_that_are_not_there_at_all_are_told_and_mended(copied: Path) -> None:
    newest = f"as_of_date = {NEWEST}"
    with closing(open_warehouse(settings_of(), paths_of(copied), owner="test", say=lambda _: None)) as w:
        for table in ("behavior", "demand", "interests", "user_features"):
            plant(w, f"delete from features.{table} where {newest}")
        plant(w, f"delete from profiles.user_profiles where {newest}; delete from profiles.tags where {newest}")
        plant(
            w,
            "delete from applications.daily_metrics where event_date = (select min(event_date) from applications.daily_metrics)",
        )
    told = json.loads(command(copied, "verify", "--json").stdout)
    gone = {d["table"] for d in told["differences"] if d["row"] == "all rows of the day"}
    assert gone == {"features.behavior", "features.demand", "features.user_features", "profiles.user_profiles", "applications.daily_metrics"}  # fmt: skip
    (remedy,) = told["remedies"]
    assert CliRunner().invoke(app, [*remedy.split()[1:], *of(copied)]).exit_code == 0
    assert command(copied, "verify", "--sample", "1000").exit_code == 0


@pytest.mark.faults
def test_a_file_of_the_archive_that_no_table_knows_is_told_and_loaded_again(copied: Path) -> None:
    with closing(open_warehouse(settings_of(), paths_of(copied), owner="test", say=lambda _: None)) as w:
        ((lost, n),) = w.rows("select file_id, n_records from raw.files where source = 'relations'")
        for table in ("raw.files", "raw.relations"):
            plant(w, f"delete from {table} where file_id = '{lost}'")
        plant(w, "delete from cleaned.relations where true")
    told = json.loads(command(copied, "verify", "--json").stdout)
    assert [(d["table"], d["row"], d["column"]) for d in told["differences"]] == [("raw.files", f"file_id {lost}", NOT_LOADED)]  # fmt: skip
    assert told["remedies"] == ["profile-pipeline run"]
    assert command(copied, "run").exit_code == 0
    assert command(copied, "verify", "--sample", "1000").exit_code == 0
    with closing(open_warehouse(settings_of(), paths_of(copied), owner="test", say=lambda _: None)) as w:
        assert w.scalar("select count(*) from raw.relations") == n


def test_nothing_built_is_one_message(tmp_path: Path) -> None:
    write_config(tmp_path / "profile.yaml", FIRST, LAST_DAY)
    assert "Run `profile-pipeline run` first" in str(command(tmp_path, "verify").exception)
    with (
        closing(open_warehouse(settings_of(), paths_of(tmp_path), owner="test", say=lambda _: None)) as w,
        pytest.raises(NothingBuiltError, match="nothing is built yet"),
    ):
        verify(w, settings_of(), n_people=1, has_new_versions=False)


def test_each_night_a_check_looks_at_other_people_and_no_run_that_builds_does(copied: Path) -> None:
    r = Runner(settings_of(), paths_of(copied), lambda _: None)
    schedule = r.defs.get_repository_def().get_schedule_def("daily_verification")
    night = dg.build_schedule_context(
        instance=r.instance, scheduled_execution_time=dt.datetime(2026, 4, 1, tzinfo=dt.UTC)
    )
    (request,) = schedule.evaluate_tick(night).run_requests
    assert request.tags["profile_pipeline/seed"] == "2026-04-01"
    with closing(open_warehouse(settings_of(), paths_of(copied), owner="test", say=lambda _: None)) as w:
        plant(w, FAULTS["a tile of nobody"][0])
    verified = r.defs.resolve_job_def("verify").execute_in_process(instance=r.instance, tags=request.tags)
    (evaluation,) = verified.get_asset_check_evaluations()
    assert not evaluation.passed
    told = {name: value.value for name, value in evaluation.metadata.items()}
    assert "features.user_days rows" in told["where"]
    assert "user:nobody" not in str(told)
    assert told["to_see_it"] == "profile-pipeline verify --sample 10 --seed 2026-04-01"
    builds, verifies = (
        r.defs.resolve_job_def(job).asset_layer.asset_graph.asset_check_keys for job in ("daily", "verify")
    )
    assert VERIFIED not in builds
    assert verifies == {VERIFIED}
    # Where a run names its assets Dagster takes all of their checks along.
    built = r.execute("daily", first=LAST_DAY, last=LAST_DAY, assets=["features.user_features"])
    assert VERIFIED not in {e.asset_check_key for e in built.get_asset_check_evaluations()}
    r.instance.dispose()


def test_where_nothing_was_built_the_night_is_left_out(tmp_path: Path) -> None:
    r = Runner(settings_of(), paths_of(tmp_path), lambda _: None)
    schedule = r.defs.get_repository_def().get_schedule_def("daily_verification")
    night = dg.build_schedule_context(
        instance=r.instance, scheduled_execution_time=dt.datetime(2026, 4, 1, tzinfo=dt.UTC)
    )
    assert "nothing is built yet" in str(schedule.evaluate_tick(night).skip_message)
    verified = r.defs.resolve_job_def("verify").execute_in_process(instance=r.instance)
    assert [e.passed for e in verified.get_asset_check_evaluations()] == [True]
    r.instance.dispose()


HEADER = "id,ts,received,cookie,uid,session,action,sku,category,qty,unit_price,currency,stars,q,url,referrer,utm_campaign,device,ua,ip,country,city"


def land(data: Path, name: str, day: dt.date, cookies: list[str]) -> None:
    """A file of views by these browsers on a day."""
    lines = [f"{name}{i},{day}T08:00:00Z,{day}T08:00:01Z,{c},,,pageview{',' * 15}" for i, c in enumerate(cookies)]
    (data / "landing" / "web").mkdir(parents=True, exist_ok=True)
    text = "\n".join([HEADER, *lines, ""])
    (data / "landing" / "web" / f"{name}.csv.gz").write_bytes(gzip.compress(text.encode(), mtime=0))


@pytest.fixture
def came_late(copied: Path) -> Path:
    """The world after a file came with views of everybody on the second day."""
    with closing(open_warehouse(settings_of(), paths_of(copied), owner="test", say=lambda _: None)) as w:
        cookies = [cookie for (cookie,) in w.rows("select distinct anonymous_id from cleaned.events as e join raw.events using (file_id, row_number) where anonymous_id is not null order by 1")]  # fmt: skip
    land(copied, "late", FIRST + dt.timedelta(days=1), cookies)
    return copied


@pytest.mark.faults
def test_a_run_of_old_days_leaves_no_newer_snapshot_behind_unsaid(came_late: Path) -> None:
    r = Runner(settings_of(), paths_of(came_late), lambda _: None)
    r.ingest()
    r.build_features(FIRST, FIRST + dt.timedelta(days=4))
    assert set(r.waiting()[2]) == {FIRST + dt.timedelta(days=n) for n in range(5, N_DAYS)}
    r.build_all()
    assert LAST_DAY not in r.waiting()[2]
    r.rebuild_stale()
    assert r.waiting()[2] == []
    r.instance.dispose()
    done = command(came_late, "verify", "--sample", "1000")
    assert done.exit_code == 0, done.stdout
    assert "left out" not in done.stdout


@pytest.mark.faults
def test_what_a_killed_run_had_rebuilt_is_outdated_by_what_comes_after_it(came_late: Path) -> None:
    r = Runner(settings_of(), paths_of(came_late), lambda _: None)
    old = FIRST + dt.timedelta(days=5)
    # As a run leaves it that is killed before its last step.
    r.execute("daily", first=old, last=old, assets=[f"features.{name}" for name in ("behavior", "interests", "demand", "user_features")])  # fmt: skip
    r.ingest()
    r.build_features(LAST_DAY - dt.timedelta(days=3), LAST_DAY)
    assert old in r.waiting()[2]
    r.instance.dispose()


@pytest.mark.faults
def test_after_the_last_day_of_a_closed_calendar_nothing_waits_for_a_tomorrow(copied: Path) -> None:
    after = LAST_DAY + dt.timedelta(days=1)
    land(copied, "after", after, ["c1"])
    r = Runner(settings_of(), paths_of(copied), lambda _: None)
    r.ingest()
    r.build_features(LAST_DAY, LAST_DAY)
    r.instance.dispose()
    with closing(open_warehouse(settings_of(), paths_of(copied), owner="test", say=lambda _: None)) as w:
        assert w.scalar("select count(*) from raw.pending where file_id is not null") == 0
        assert w.rows(f"select reason_code from cleaned.excluded_events where event_date = date '{after}'") == [("out_of_calendar",)]  # fmt: skip
