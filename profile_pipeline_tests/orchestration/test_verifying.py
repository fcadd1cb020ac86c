"""Faults are planted in a world that is right, one at a time and rolled back, and every one of them has to be found."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from profile_pipeline.orchestration.catalogue import all_tables
from profile_pipeline.orchestration.resources import open_warehouse
from profile_pipeline.orchestration.verifying.archive_read_again import ARCHIVED
from profile_pipeline.orchestration.verifying.sampled_rows import HARD, sampled_aliases
from profile_pipeline.orchestration.verifying.verify import remedies, verify
from profile_pipeline.verification.compare import Difference
from profile_pipeline.warehouse.duckdb import Warehouse
from profile_pipeline_tests.conftest import LAST_DAY
from profile_pipeline_tests.orchestration.planted_faults import FAULTS, NEWEST
from profile_pipeline_tests.orchestration.verified_world import build, paths_of, plant, settings_of
from profile_pipeline_tests.torture import examples

EVERYBODY = 10**6


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("verified")
    build(data)
    return data


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
        "1 day has records that wait",
        "1 snapshot is outdated by late events",
    ]


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
