"""Files that were loaded as those of one source and belong to another now, and events without a source of events, are refused.

Not here: a mapping that changes (`test_rebuilding`).
"""

from pathlib import Path

import pytest

from profile_pipeline.errors import ConfigurationError
from profile_pipeline.orchestration.keeping.doctor import examine
from profile_pipeline.orchestration.keeping.rebuilding import rebuild
from profile_pipeline.paths import Paths
from profile_pipeline.raw.archive import DamagedArchiveError
from profile_pipeline_tests.orchestration.small_project import land, rows, runner

START = "calendar: {start: 2026-03-02, end: 2026-03-04}\nstable_seconds: 0\nsources:\n"
READ = "table: events, format: csv, columns: {event_time: ts, event_type: action, user_id: uid}"
WEB = f"  web: {{path: web/*.csv, {READ}}}\n"
APP = f"  app: {{path: app/*.csv, {READ}}}\n"
CRM = "  crm: {table: users, path: crm/*.csv, format: csv, columns: {user_id: uid, city: city}}\n"
RENAMED = WEB.replace("web:", "shop:").replace("format: csv", "timezone: Asia/Shanghai, format: csv")
FIRST = "ts,action,uid\n2026-03-02T23:30:00Z,view,u1\n2026-03-03T11:00:00,view,u2\n"
OVERLAPPING = "ts,action,uid\n2026-03-02T23:30:00Z,view,u1\n2026-03-03T12:00:00,view,u2\n"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two days of a source whose records have no ids, and the city of somebody."""
    land(tmp_path, "web/1.csv", FIRST)
    land(tmp_path, "crm/1.csv", "uid,city\nu1,Rome\n")
    ingest(tmp_path, WEB + CRM)
    return tmp_path


def ingest(data: Path, sources: str) -> None:
    r = runner(data, START + sources)
    try:
        r.ingest()
    finally:
        r.instance.dispose()


def rebuilt(data: Path, sources: str, *names: str) -> None:
    r = runner(data, START + sources)
    rebuild(r.settings, r.paths, sources=names, say=lambda _: None)


def events(data: Path) -> list[tuple]:
    return rows(data / "profile.duckdb", "select source, event_time::varchar, user_id from raw.events order by all")


def test_a_source_that_has_another_name_is_refused_and_read_anew_by_the_command_that_is_told(data: Path) -> None:
    land(data, "web/2.csv", OVERLAPPING)
    with pytest.raises(ConfigurationError) as refused:
        ingest(data, RENAMED + CRM)
    told = str(refused.value).splitlines()
    assert told == [
        f"{data / 'profile.yaml'}:4: sources.shop.path: found web/*.csv, the tables were built with the source web for 1 file of this path",
        "Nothing was written. Put it back, or build the tables as if it had always been so: profile-pipeline rebuild --source shop",
    ]
    assert (data / "landing" / "web" / "2.csv").exists()
    assert any("sources.shop.path" in f.what for f in examine(Paths(config=data / "profile.yaml", data=data)).findings)
    rebuilt(data, RENAMED + CRM, "shop")
    ingest(data, RENAMED + CRM)
    assert events(data) == [
        ("shop", "2026-03-02 23:30:00", "u1"),
        ("shop", "2026-03-02 23:30:00", "u1"),
        ("shop", "2026-03-03 03:00:00", "u2"),
        ("shop", "2026-03-03 04:00:00", "u2"),
    ]
    known = "select count(distinct event_id) from raw.events"
    assert rows(data / "profile.duckdb", known) == [(3,)]
    facts = "select name from raw.built_with where starts_with(name, 'sources.') order by 1"
    assert rows(data / "profile.duckdb", facts) == [("sources.crm",), ("sources.shop",)]


def test_a_source_that_stands_before_another_and_claims_its_files_is_refused(data: Path) -> None:
    every = WEB.replace("web: {path: web/*.csv", "every: {path: '**/*.csv'")
    with pytest.raises(ConfigurationError, match=r"sources\.every\.path: .* web for 1 file of this path") as refused:
        ingest(data, CRM + every + WEB)
    assert str(refused.value).endswith("profile-pipeline rebuild --source every")
    ingest(data, CRM + WEB + every)


def test_another_source_is_not_read_anew_beside_files_that_a_renamed_one_claims(data: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"found other changes too: sources\.shop"):
        rebuilt(data, RENAMED + CRM, "crm")


def test_a_file_that_the_archive_has_lost_stops_a_rebuild_of_the_source_that_claims_it_now(data: Path) -> None:
    ((file_id,),) = rows(data / "profile.duckdb", "select file_id from raw.files where source = 'web'")
    (data / "archive" / file_id[:2] / file_id).unlink()
    with pytest.raises(DamagedArchiveError, match=r"lacks 1 file whose records the tables hold: web/1\.csv"):
        rebuilt(data, RENAMED + CRM, "shop")


@pytest.mark.parametrize(
    "sources",
    [
        APP + CRM,
        RENAMED.replace("web/*.csv", "shop/*.csv") + CRM,
        CRM + WEB,
        APP.replace("app/*.csv", "'*/2.csv'") + WEB + CRM,
    ],
)
def test_a_source_may_go_or_move_where_no_other_claims_what_was_loaded(data: Path, sources: str) -> None:
    ingest(data, sources)
    assert [source for source, *_ in events(data)] == ["web", "web"]


def test_files_of_other_folders_belong_to_each_source_that_looks_there(tmp_path: Path) -> None:
    """The first of two refuses a file as a whole, and the second loads it: it stays its own."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "1.csv").write_text(FIRST, encoding="utf-8")
    here = WEB.replace("web/*.csv", f"{elsewhere}/*.csv")
    other = here.replace("web:", "other:").replace("event_time: ts", "event_time: time_of_day")
    ingest(tmp_path / "data", other + here)
    assert [source for source, *_ in events(tmp_path / "data")] == ["web", "web"]
    everything = CRM.replace("crm/*.csv", "'**'")
    (elsewhere / "2.csv").write_text(OVERLAPPING, encoding="utf-8")
    ingest(tmp_path / "data", everything + other + here)
    with pytest.raises(ConfigurationError, match=r"the source web for 2 files of this path"):
        ingest(tmp_path / "data", here.replace("web:", "shop:"))


def test_tables_of_events_are_refused_where_the_last_source_of_events_is_gone(data: Path) -> None:
    land(data, "crm/2.csv", "uid,city\nu2,Oslo\n")
    with pytest.raises(ConfigurationError) as refused:
        ingest(data, CRM)
    assert "sources: found no source of events, the tables were built with events" in str(refused.value)
    assert str(refused.value).endswith("profile-pipeline rebuild")
    with pytest.raises(ConfigurationError, match="found other changes too: sources"):
        rebuilt(data, CRM, "crm")
    rebuilt(data, CRM)
    ingest(data, CRM)
    assert events(data) == []


def test_a_source_of_events_of_which_nothing_was_loaded_may_go(tmp_path: Path) -> None:
    land(tmp_path, "crm/1.csv", "uid,city\nu1,Rome\n")
    ingest(tmp_path, WEB + CRM)
    land(tmp_path, "crm/2.csv", "uid,city\nu2,Oslo\n")
    ingest(tmp_path, CRM)
    assert rows(tmp_path / "profile.duckdb", "select count(*) from raw.users") == [(2,)]
