"""A database that an earlier release has written opens, and a day more is built on it."""

import gzip
from contextlib import closing
from pathlib import Path

import pytest

from profile_pipeline.models.artifact import from_bytes
from profile_pipeline.orchestration.catalogue import all_tables
from profile_pipeline.orchestration.keeping.built_with import stored_facts
from profile_pipeline.warehouse.opening import WarehouseError
from profile_pipeline_tests.fixtures.keep_release import FOLDER
from profile_pipeline_tests.orchestration.small_project import N_DAYS, contents, day, deliver, rows, runner

KEPT = sorted(path.name.removesuffix(".duckdb.gz") for path in FOLDER.glob("*.duckdb.gz"))


def unpacked(name: str, data: Path) -> str:
    """Put the kept database into a data folder; return its configuration."""
    data.mkdir()
    (data / "profile.duckdb").write_bytes(gzip.decompress((FOLDER / f"{name}.duckdb.gz").read_bytes()))
    return (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")


def test_a_database_of_this_schema_is_kept() -> None:
    assert "release_0.1.0" in KEPT


@pytest.mark.parametrize("name", KEPT)
def test_a_kept_database_opens_and_has_every_table_and_column_of_today(name: str, tmp_path: Path) -> None:
    r = runner(tmp_path / "data", unpacked(name, tmp_path / "data"))
    with closing(r.warehouse()) as w:
        assert stored_facts(w.rows)["calendar.start"] == str(day(0))
        for table in all_tables(r.settings):
            assert dict(w.columns_of(table.name)).keys() >= set(table.column_names), table.name


@pytest.mark.parametrize("name", KEPT)
def test_the_models_of_a_kept_database_can_be_loaded(name: str, tmp_path: Path) -> None:
    unpacked(name, tmp_path / "data")
    found = rows(
        tmp_path / "data" / "profile.duckdb",
        "select artifact, artifact_format from models.returns where is_chosen union all select artifact, artifact_format from models.segments where is_chosen",
    )
    assert len(found) == 4
    assert all(from_bytes(artifact, kind) for artifact, kind in found)


def test_a_table_that_has_lost_a_column_gets_it_back_empty(tmp_path: Path) -> None:
    r = runner(tmp_path / "data", unpacked(KEPT[0], tmp_path / "data"))
    with closing(r.warehouse()) as w:
        w.execute("alter table raw.rejected_records drop column dismissed_at")
    with closing(r.warehouse()) as w:
        assert w.rows("select count(*), count(dismissed_at) from raw.rejected_records") == [(N_DAYS - 1, 0)]


def test_a_column_of_another_type_is_told_with_the_command_that_helps(tmp_path: Path) -> None:
    r = runner(tmp_path / "data", unpacked(KEPT[0], tmp_path / "data"))
    with closing(r.warehouse()) as w:
        w.execute("alter table raw.files alter column size_bytes type varchar")
    with pytest.raises(WarehouseError, match=r"raw\.files\.size_bytes is VARCHAR, expected BIGINT") as told:
        r.ingest()
    assert "profile-pipeline rebuild" in str(told.value)


@pytest.mark.faults
@pytest.mark.parametrize("name", KEPT)
def test_one_more_day_is_built_on_a_kept_database(name: str, tmp_path: Path) -> None:
    data = tmp_path / "data"
    config = unpacked(name, data)
    before = contents(data / "profile.duckdb")
    deliver(data, range(N_DAYS - 1, N_DAYS))
    r = runner(data, config)
    r.ingest()
    r.build_all()
    r.instance.dispose()
    after = contents(data / "profile.duckdb")
    for table in ("raw.events", "raw.files", "raw.users", "cleaned.events", "cleaned.users", "features.user_days"):
        assert set(map(str, before[table])) < set(map(str, after[table])) or before[table] == after[table], table
    assert len(after["raw.files"]) == len(before["raw.files"]) + 1
    newest = rows(
        data / "profile.duckdb", f"select count(*) from features.user_days where event_date = '{day(N_DAYS - 1)}'"
    )
    assert newest[0][0] > 0
    assert rows(data / "profile.duckdb", "select sum(n_waiting) from cleaned.ledger") == [(0,)]
    assert (
        rows(
            data / "profile.duckdb",
            f"select count(*) from profiles.user_profiles where as_of_date = '{day(N_DAYS - 1)}'",
        )[0][0]
        > 0
    )
