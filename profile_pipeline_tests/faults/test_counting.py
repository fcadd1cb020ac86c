"""The law of counting: each of its terms is broken once, inside the transaction, and the transaction is refused."""

import dataclasses
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pytest

from profile_pipeline.orchestration.building import ingesting
from profile_pipeline.orchestration.building.balance import IN_WHOLE, CountingError, balance_of
from profile_pipeline.orchestration.catalogue import all_tables
from profile_pipeline.raw.readers import read as read_module
from profile_pipeline_tests.faults.deliveries import Line, Part, line, shop, write_part

pytestmark = pytest.mark.faults
RECORDS = shop(0)
WEB = [record for record in RECORDS if record.source == "web"]
LATE = WEB[::11]


def lost(table: str) -> str:
    return f"delete from {table} where rowid = (select max(rowid) from {table})"


def doubled(table: str) -> str:
    return f"insert into {table} select * from {table} where rowid = (select max(rowid) from {table})"


# What goes wrong right after a statement that begins so.
FAULTS_OF_A_LOAD = {
    "an event is lost": ("insert into raw.events", lost("raw.events")),
    "an event is doubled": ("insert into raw.events", doubled("raw.events")),
    "an event is moved to another file": ("insert into raw.events", "update raw.events set file_id = 'x' where rowid = (select max(rowid) from raw.events)"),
    "a record of the CRM is lost": ("insert into raw.users", lost("raw.users")),
    "an item is doubled": ("insert into raw.items", doubled("raw.items")),
    "a rejected record is dropped": ("insert into raw.rejected_records", lost("raw.rejected_records")),
    "a rejected record is doubled": ("insert into raw.rejected_records", doubled("raw.rejected_records")),
    "a record read is not counted": ("insert into raw.files", "update raw.files set n_records = n_records - 1"),
    "a record loaded is counted as rejected": ("insert into raw.files", "update raw.files set n_loaded = n_loaded - 1, n_rejected = n_rejected + 1"),
    "a record is suppressed that nobody asked for": ("insert into raw.files", "update raw.files set n_suppressed = 1"),
    "a day does not wait": ("insert into raw.pending", lost("raw.pending")),
    "a day waits with an event too few": ("insert into raw.pending", "update raw.pending set n_events = n_events - 1 where rowid = (select max(rowid) from raw.pending)"),
    "a day waits twice": ("insert into raw.pending", doubled("raw.pending")),
    "a day is not in the ledger": ("insert into cleaned.ledger", lost("cleaned.ledger")),
    "the ledger counts one event more": ("insert into cleaned.ledger", "update cleaned.ledger set n_loaded = n_loaded + 1, n_waiting = n_waiting + 1 where rowid = (select max(rowid) from cleaned.ledger)"),
}  # fmt: skip
NEWEST_CLEANED = "select max(rowid) from cleaned.events"
FAULTS_OF_JUDGING = {
    "a cleaned event is lost": ("insert into cleaned.events", lost("cleaned.events")),
    "a cleaned event is doubled": ("insert into cleaned.events", doubled("cleaned.events")),
    "one event is lost and its neighbour doubled": ("insert into cleaned.events", f"{doubled('cleaned.events')}; delete from cleaned.events where (file_id, event_date) = "
        f"(select (file_id, event_date) from cleaned.events where rowid = ({NEWEST_CLEANED})) and row_number = (select min(row_number) from cleaned.events as e where (e.file_id, e.event_date) = "
        f"(select (file_id, event_date) from cleaned.events where rowid = ({NEWEST_CLEANED})))"),
    "a cleaned event is moved to another day": ("insert into cleaned.events", f"update cleaned.events set event_date = event_date + 1 where rowid = ({NEWEST_CLEANED})"),
    "a cleaned event of a file that was never loaded": ("insert into cleaned.events", f"insert into cleaned.events select * replace ('x' as file_id) from cleaned.events where rowid = ({NEWEST_CLEANED})"),
    "an excluded event is lost": ("insert into cleaned.excluded_events", lost("cleaned.excluded_events")),
    "an excluded event is doubled": ("insert into cleaned.excluded_events", doubled("cleaned.excluded_events")),
    "a cleaned event is excluded too": ("insert into cleaned.excluded_events", f"insert into cleaned.excluded_events select event_date, file_id, row_number, 'bot' from cleaned.events where rowid = ({NEWEST_CLEANED})"),
    "an event waits that was judged": ("delete from raw.pending", "insert into raw.pending (file_id, event_date, n_events) select file_id, event_date, 1 from cleaned.excluded_events order by rowid desc limit 1"),
    "a loaded event is lost": ("insert into cleaned.excluded_events", "delete from raw.events where (file_id, row_number) = (select (file_id, row_number) from cleaned.excluded_events order by rowid desc limit 1)"),
    "a day is not in the ledger": ("insert into cleaned.ledger", lost("cleaned.ledger")),
    "the ledger mixes two places up": ("insert into cleaned.ledger", "update cleaned.ledger set n_cleaned = n_cleaned + 1, n_excluded = n_excluded - 1 where n_excluded > 0"),
    "the ledger counts one event less": ("insert into cleaned.ledger", "update cleaned.ledger set n_loaded = n_loaded - 1, n_cleaned = n_cleaned - 1 where n_cleaned > 0"),
}  # fmt: skip


@contextmanager
def going_wrong(told: Line, after: str, fault: str) -> Iterator[list[str]]:
    """Run `fault` right after the next statement that begins so, in its transaction."""
    run = told.warehouse._run
    done: list[str] = []

    def running(sql: str, parameters: Any = None) -> int:
        n = run(sql, parameters)
        if sql.startswith(after) and n and not done:
            done.append(sql)
            told.warehouse.connection.execute(fault).fetchall()
        return n

    told.warehouse._run = running  # type: ignore[method-assign]
    try:
        yield done
    finally:
        told.warehouse._run = run  # type: ignore[method-assign]


def everything(told: Line) -> dict[str, list[tuple]]:
    return {t.name: told.warehouse.rows(f"select * from {t.name} order by all") for t in all_tables(told.settings)}


def refused(told: Line, fault: tuple[str, str], step: Callable[[], None]) -> None:
    before = everything(told)
    with going_wrong(told, *fault) as done, pytest.raises(CountingError, match="do not add up, nothing was written"):
        step()
    assert len(done) == 1, "the fault was never planted"
    assert everything(told) == before


@pytest.fixture(scope="module")
def landed() -> Iterator[Line]:
    """A line to which files were delivered."""
    with line() as told:
        write_part(told.paths.landing, 0, Part(0, tuple(r for r in RECORDS if r not in LATE)))
        yield told


@pytest.fixture(scope="module")
def loaded() -> Iterator[Line]:
    """A line that has loaded its files. No two records have one id: what displaces another is judged in a transaction of its own."""
    with line() as told:
        write_part(
            told.paths.landing, 0, Part(0, tuple({r.line.split(",")[0]: r for r in WEB if r not in LATE}.values()))
        )
        told.ingest()
        # Days outside of the calendar have a transaction of their own: it has gone well.
        with going_wrong(told, *FAULTS_OF_JUDGING["a cleaned event is lost"]), pytest.raises(CountingError):
            told.refresh()
        yield told


@pytest.fixture(scope="module")
def late() -> Iterator[Line]:
    """A line that was refreshed, and has loaded a few events since, which are folded in by touched rows."""
    with line() as told, pytest.MonkeyPatch.context() as patched:
        patched.setattr("profile_pipeline.orchestration.building.cleaning.MUCH_NEW_SHARE", 0.9)
        write_part(told.paths.landing, 0, Part(0, tuple(r for r in RECORDS if r not in LATE)))
        told.ingest()
        told.refresh(steps=("judged_events",))
        write_part(told.paths.landing, 1, Part(0, tuple(LATE)))
        told.ingest()
        with going_wrong(told, *FAULTS_OF_JUDGING["a cleaned event is lost"]), pytest.raises(CountingError):
            judge_late(told)
        yield told


def judge_late(told: Line) -> None:
    """Judge what came late, and beside it a day on which nothing happened."""
    quiet = told.warehouse.days(
        "select day from (select cast(unnest(range(date '2026-02-01', date '2026-03-01', interval 1 day)) as date) as day)"
        " where day not in (select event_date from raw.events) order by 1 limit 1"
    )[0]
    told.refresh(first=quiet, last=quiet, steps=("judged_events",))


@pytest.mark.parametrize("fault", FAULTS_OF_A_LOAD)
def test_a_load_that_does_not_add_up_is_refused(landed: Line, fault: str) -> None:
    refused(landed, FAULTS_OF_A_LOAD[fault], landed.ingest)


@pytest.mark.parametrize("fault", FAULTS_OF_A_LOAD)
def test_a_large_file_that_does_not_add_up_is_refused(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingesting, "HELD_RECORDS", 0)
    after, _ = FAULTS_OF_A_LOAD[fault]
    source = {"insert into raw.users": "crm", "insert into raw.items": "catalogue"}.get(after, "web")
    with line() as told:
        write_part(told.paths.landing, 0, Part(0, tuple(r for r in RECORDS if r.source == source)))
        refused(told, FAULTS_OF_A_LOAD[fault], told.ingest)


@pytest.mark.parametrize("fault", FAULTS_OF_JUDGING)
def test_a_judgement_that_does_not_add_up_is_refused(loaded: Line, fault: str) -> None:
    refused(loaded, FAULTS_OF_JUDGING[fault], loaded.refresh)


@pytest.mark.parametrize("fault", FAULTS_OF_JUDGING)
def test_a_judgement_of_touched_rows_that_does_not_add_up_is_refused(late: Line, fault: str) -> None:
    refused(late, FAULTS_OF_JUDGING[fault], lambda: judge_late(late))


@pytest.mark.parametrize("change", [lambda b: b.slice(1), lambda b: pa.concat_tables([b, b.slice(0, 1)])], ids=["lost", "doubled"])  # fmt: skip
@pytest.mark.parametrize("part", ["batches", "rejected"])
def test_a_file_whose_reader_loses_or_doubles_a_record_is_refused_as_a_whole(
    part: str, change: Callable[[pa.Table], pa.Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    read_file = read_module.read_file

    def reading(*arguments: Any, **more: Any) -> Any:
        read = read_file(*arguments, **more)
        if part == "batches":
            return dataclasses.replace(read, batches=map(change, read.batches))
        list_of = list(read.batches)
        return _Late(read.n_records, iter(list_of), change(read.rejected))

    monkeypatch.setattr(read_module, "read_file", reading)
    with line() as told:
        write_part(told.paths.landing, 0, Part(0, tuple(WEB)))
        told.ingest()
        assert told.warehouse.rows("select status, left(reason, 13), n_records, n_loaded from raw.files") == [
            ("rejected", "count_differs", 0, 0)
        ]
        assert told.counts() == (0, 0, 0, 0, 0)


@dataclasses.dataclass
class _Late:
    """What a reader has read, with other rejected records."""

    n_records: int
    batches: Iterator[pa.Table]
    rejected: pa.Table


def test_the_balance_is_told_by_source_and_in_whole_and_names_what_does_not_add_up() -> None:
    with line() as told:
        write_part(told.paths.landing, 0, Part(0, tuple(RECORDS)))
        told.ingest()
        told.refresh(steps=("judged_events",))
        balance = balance_of(told.warehouse.rows)
        assert balance.faults == []
        by_source = {row["source"]: row for row in balance.sources}
        assert all(
            row["read"] == sum(n for name, n in row.items() if name not in ("source", "read"))
            for row in by_source.values()
        )
        delivered = {source: sum(r.source == source for r in RECORDS) for source in {r.source for r in RECORDS}}
        assert {source: row["read"] for source, row in by_source.items()} == delivered | {IN_WHOLE: len(RECORDS)}
        assert sum(balance.excluded.values()) == by_source[IN_WHOLE]["excluded"]
        for table, fault, named in (
            ("cleaned.events", lost("cleaned.events"), "web/00000_0.csv: read"),
            ("raw.rejected_records", lost("raw.rejected_records"), "read"),
            ("raw.users", doubled("raw.users"), "crm"),
            ("cleaned.excluded_events", "insert into cleaned.excluded_events values (date '2026-02-01', 'x', 1, 'bot')", "never loaded"),
            ("raw.files", "update raw.files set n_records = n_records + 1, n_loaded = n_loaded + 1", "read"),
            ("raw.pending", "insert into raw.pending select file_id, event_date, 1 from cleaned.events limit 1", "waiting"),
            ("cleaned.ledger", "update cleaned.ledger set n_waiting = 1, n_loaded = n_loaded + 1 where rowid = (select max(rowid) from cleaned.ledger)", "the ledger says otherwise"),
        ):  # fmt: skip
            with pytest.raises(_UndoError), told.warehouse.transaction():
                told.warehouse.connection.execute(fault).fetchall()
                assert named in " ".join(balance_of(told.warehouse.rows).faults), table
                raise _UndoError
        assert balance_of(told.warehouse.rows).faults == []


class _UndoError(Exception):
    """Takes a transaction back."""


def test_the_doctor_prints_the_balance_and_ends_badly_where_it_does_not_add_up(tmp_path, capsys) -> None:
    from profile_pipeline.commands.care import doctor
    from profile_pipeline_tests.faults.deliveries import CONFIG

    told = Line(tmp_path)
    told.paths.config.write_text(CONFIG, encoding="utf-8")
    write_part(told.paths.landing, 0, Part(0, tuple(WEB)))
    told.ingest()
    told.warehouse.close()
    for is_broken in (False, True):
        if is_broken:
            told.warehouse.execute(lost("raw.events"))
            told.warehouse.close()
        with pytest.raises(Exception) as ended:
            doctor(as_json=True, config=told.paths.config, data=tmp_path)
        found = json.loads(capsys.readouterr().out)
        assert ended.value.exit_code == int(is_broken)
        assert found["balance"]["sources"][0]["read"] == len(WEB)
        assert any("not add up" in f["what"] and not f["is_ok"] for f in found["findings"]) == is_broken
