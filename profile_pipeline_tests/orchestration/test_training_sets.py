"""Training sets on a real world: equal to its snapshots, blind to the future, and without a trace in the warehouse."""

import datetime as dt
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from profile_pipeline.commands.training import training_set
from profile_pipeline.errors import ExpectedError
from profile_pipeline.orchestration import training_sets
from profile_pipeline.orchestration.running import Runner
from profile_pipeline.paths import Paths
from profile_pipeline.warehouse.lease import lease
from profile_pipeline_tests.conftest import LAST_DAY, ROOT, World
from profile_pipeline_tests.orchestration.test_laws import poison

DAY = dt.date(2026, 3, 12)
ONE_DAY = dt.timedelta(days=1)
ROWS = "select alias_id, cast(d as date) from cleaned.identities, range(date '{0}', date '{1}' + 1, interval {2} day) as r(d) order by 1, 2"


def make(paths: Paths, what: Path | str, out: Path, first: dt.date | None = None, last: dt.date | None = None) -> pa.Table:  # fmt: skip
    """Run the command in this process; return what it wrote."""
    training_set(
        str(what), target=out, first=first and str(first), last=last and str(last), as_json=True, config=paths.config, data=paths.data,
    )  # fmt: skip
    return pq.read_table(out, page_checksum_verification=True)


def write_rows(path: Path, rows: Iterable[tuple]) -> Path:
    lines = [f"{person},{time},{hash_of(person, time)}" for person, time in rows]
    path.write_text("\n".join(["person,time,label", *lines, ""]), encoding="utf-8")
    return path


def hash_of(*parts: object) -> int:
    return int(hashlib.sha256(repr(parts).encode()).hexdigest()[:4], 16) % 2


def features_of(table: pa.Table) -> pa.Table:
    return table.select(table.column_names[table.column_names.index("profile_id") :])


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def house(world: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A copy of the small world that keeps no snapshot at all."""
    data = tmp_path_factory.mktemp("house")
    for name in ("profile.duckdb", "profile.yaml"):
        shutil.copy(world.paths.data / name, data / name)
    with duckdb.connect(str(data / "profile.duckdb")) as connection:
        for name in ("behavior", "interests", "demand", "user_features"):
            connection.execute(f"delete from features.{name}")
    return World(Paths(config=data / "profile.yaml", data=data), world.settings)


@pytest.fixture(scope="module")
def labels(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows for every alias, every third day up to `DAY`."""
    first = DAY - 30 * ONE_DAY
    return write_rows(tmp_path_factory.mktemp("labels") / "labels.csv", world.rows(ROWS.format(first, DAY, 3)))


@pytest.fixture(scope="module")
def made(house: World, labels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The training set of these rows."""
    out = tmp_path_factory.mktemp("made") / "x.parquet"
    make(house.paths, labels, out)
    return out


def test_what_is_computed_without_snapshots_equals_the_snapshots_to_the_bit(
    world: World, house: World, tmp_path: Path
) -> None:
    days = "('2026-01-27', '2026-02-15', '2026-03-29', '2026-03-30')"
    rows = world.rows(f"select profile_id, as_of_date from features.user_features where as_of_date in {days}")
    found = features_of(make(house.paths, write_rows(tmp_path / "l.csv", rows), tmp_path / "x.parquet"))
    with duckdb.connect(str(world.paths.warehouse), read_only=True) as connection:
        names = ", ".join(found.column_names)
        expected = connection.sql(
            f"select {names} from features.user_features where as_of_date in {days} order by as_of_date, profile_id"
        ).to_arrow_table()
    assert len(expected) > 500
    assert found.equals(expected.cast(found.schema))
    with duckdb.connect(str(world.paths.warehouse), read_only=True) as connection:
        assert set(names.split(", ")) == {c for c, *_ in connection.execute("describe features.user_features").fetchall()}  # fmt: skip


def test_an_alias_has_the_features_of_who_held_it_then(world: World, made: Path) -> None:
    rows = features_of(pq.read_table(made)).select(["profile_id", "as_of_date", "n_events_all"]).to_pylist()
    known = {
        (p, d): n for p, d, n in world.rows("select profile_id, as_of_date, n_events_all from features.user_features")
    }
    held = [row for row in rows if row["profile_id"] is not None]
    assert 100 < len(held) < len(rows)
    assert all(row["n_events_all"] == known.get((row["profile_id"], row["as_of_date"])) for row in held)
    assert all(row["n_events_all"] is None for row in rows if row["profile_id"] is None)


def test_neither_the_order_of_rows_nor_the_size_of_pieces_changes_a_byte(
    house: World, labels: Path, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    header, *lines = labels.read_text(encoding="utf-8").splitlines()
    shuffled = tmp_path / "shuffled.csv"
    shuffled.write_text("\n".join([header, *sorted(lines, key=lambda line: digest_of(line)), ""]), encoding="utf-8")
    make(house.paths, shuffled, tmp_path / "shuffled.parquet")
    assert digest(tmp_path / "shuffled.parquet") == digest(made)
    monkeypatch.setattr(training_sets, "SNAPSHOT_ROWS", 20_000)
    make(house.paths, labels, tmp_path / "pieces.parquet")
    assert digest(tmp_path / "pieces.parquet") == digest(made)


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_what_happens_later_changes_no_byte(world: World, labels: Path, made: Path, tmp_path: Path) -> None:
    data = tmp_path / "poisoned"
    shutil.copytree(world.paths.data, data)
    after = DAY + 2 * ONE_DAY
    n_poison = poison(data, after)
    items = world.rows("select item_id from cleaned.items where valid_to is null")
    (data / "landing" / "catalogue").mkdir(parents=True, exist_ok=True)
    (data / "landing" / "catalogue" / "items_poison.jsonl").write_text(
        "".join(json.dumps({"item_id": i, "title": "x", "categories": ["Poison"], "brand": "Poison", "updated_at": f"{after}T08:00:00Z"}) + "\n" for (i,) in items),
        encoding="utf-8",
    )  # fmt: skip
    runner = Runner(world.settings, Paths(config=data / "profile.yaml", data=data), lambda _: None)
    runner.ingest()
    runner.build_features(LAST_DAY - ONE_DAY, LAST_DAY)
    runner.instance.dispose()
    with duckdb.connect(str(data / "profile.duckdb"), read_only=True) as connection:
        n_merged, n_items = connection.execute(
            "select (select count(*) from cleaned.identities where valid_from = $after),"
            " (select count(*) from cleaned.items where brand = 'Poison')",
            {"after": after},
        ).fetchall()[0]  # fmt: skip
    assert (n_merged >= n_poison, n_items) == (True, len(items))
    paths = Paths(config=data / "profile.yaml", data=data)
    make(paths, labels, tmp_path / "x.parquet")
    assert digest(tmp_path / "x.parquet") == digest(made)
    rows = write_rows(tmp_path / "later.csv", world.rows(ROWS.format(after, after, 1)))
    theirs = make(world.paths, rows, tmp_path / "theirs.parquet")
    assert not make(paths, rows, tmp_path / "mine.parquet").equals(theirs)


def test_an_outcome_has_the_people_and_labels_that_training_used(house: World, tmp_path: Path) -> None:
    table = make(house.paths, "churn", tmp_path / "x.parquet", dt.date(2026, 2, 20), LAST_DAY)
    found = set(zip(*(table.column(n).to_pylist() for n in ("as_of_date", "profile_id", "label")), strict=True))
    used = house.rows(
        "select distinct as_of_date, profile_id, actual from models.predictions where model = 'churn' and as_of_date >= '2026-02-20'"
    )
    assert {day for day, *_ in used} == {day for day, *_ in found} == {dt.date(2026, 2, 22), dt.date(2026, 3, 1), dt.date(2026, 3, 8), dt.date(2026, 3, 15)}  # fmt: skip
    assert {row for row in found if row[0] != dt.date(2026, 3, 8)} == {row for row in used if row[0] != dt.date(2026, 3, 8)}  # fmt: skip
    # Of the cohort that lies within the horizon before the newest one training judged by it a week ago.
    assert set(used) <= found
    assert {label for *_, label in found} == {"churn", "no_churn"}


def test_a_row_is_written_left_out_or_empty_by_a_clear_rule_and_counted(
    house: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ((user, since),) = house.rows(
        "select alias_id, valid_from from cleaned.identities where alias_id like 'user:%' and valid_from between '2026-02-10' and '2026-03-01' order by 1 limit 1"
    )
    rows = [
        (user, DAY, 1), (user, DAY, 1), (user, DAY, 0), ("nobody", DAY, 1), ("", DAY, 1), (user, since - ONE_DAY, 1), (user, "2019-01-01", 1),
        (user, f"{DAY}T00:00:00", 1),
    ]  # fmt: skip
    path = tmp_path / "l.csv"
    path.write_text("person,time,label\n" + "".join(f"{p},{t},{v}\n" for p, t, v in rows), encoding="utf-8")
    table = make(house.paths, path, tmp_path / "x.parquet")
    told = json.loads(capsys.readouterr().out)
    counts = {name: n for name, n in told.items() if name.startswith("n_")}
    assert counts == {
        "n_asked": 8, "n_outside_days": 1, "n_repeated": 1, "n_written": 6, "n_unknown_people": 2, "n_not_seen_yet": 1, "n_inactive": 0,
        "n_sharing_person_and_day": 2, "n_features": table.num_columns - 5,
    }  # fmt: skip
    assert any("''" in note or "'nobody'" in note for note in told["notes"])
    assert table.column("as_of_date").to_pylist() == [since - ONE_DAY, DAY - ONE_DAY, DAY, DAY, DAY, DAY]
    assert [p is not None for p in table.column("profile_id").to_pylist()] == [False, True, True, True, False, False]


def test_every_feature_says_what_it_means(made: Path) -> None:
    schema = pq.read_schema(made)
    told = {f.name: f.metadata or {} for f in schema if f.name not in ("person", "time", "label")}
    assert [name for name, said in told.items() if not said.get(b"meaning")] == []
    assert told["session_seconds_7d"] == {b"meaning": b"time within sessions, 7 days", b"unit": b"seconds"}
    assert re.fullmatch(rb"[0-9a-f]{12}", schema.metadata[b"profile_pipeline.feature_code_version"])
    groups = pq.ParquetFile(made).metadata
    assert all(groups.row_group(i).num_rows <= 65_536 for i in range(groups.num_row_groups))


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("chrun", "expected an outcome of `models:` (churn)"),
        ("gender", "expected an outcome of `models:` (churn)"),
        ("missing.csv", "missing.csv is not there: expected a file of labels"),
        ("twice.csv", "found the columns N_Views_7d, profile_id"),
        ("outside.csv", "found no row whose time lies in 2026-01-26 to 2026-03-30"),
    ],
)
def test_a_wrong_wish_is_one_message_and_leaves_no_file(house: World, tmp_path: Path, what: str, told: str) -> None:
    (tmp_path / "twice.csv").write_text(f"person,time,label,N_Views_7d,profile_id\nu,{DAY},1,2,3\n", encoding="utf-8")
    (tmp_path / "outside.csv").write_text("person,time,label\nu,2019-01-01,1\n", encoding="utf-8")
    name = tmp_path / what if what.endswith(".csv") else what
    with pytest.raises(ExpectedError, match=re.escape(told)):
        make(house.paths, name, tmp_path / "x.parquet")
    assert not list(tmp_path.glob("x.parquet*"))


def test_days_without_a_cohort_and_a_history_that_waits_are_refused(house: World, tmp_path: Path) -> None:
    with pytest.raises(ExpectedError, match=r"expected days that hold a Sunday .*: 2026-02-22 to 2026-03-15"):
        make(house.paths, "churn", tmp_path / "x.parquet", dt.date(2026, 3, 16), LAST_DAY)
    shutil.copytree(house.paths.data, tmp_path / "waits")
    with duckdb.connect(str(tmp_path / "waits" / "profile.duckdb")) as connection:
        connection.execute(
            "update cleaned.ledger set n_waiting = n_loaded, n_cleaned = 0, n_excluded = 0 where event_date = $1", [DAY]
        )
    waits = Paths(config=house.paths.config, data=tmp_path / "waits")
    rows = write_rows(tmp_path / "l.csv", [("u", DAY)])
    with pytest.raises(ExpectedError, match=f"profile-pipeline run --from {DAY}"):
        make(waits, rows, tmp_path / "x.parquet")
    assert len(make(waits, write_rows(rows, [("u", DAY - ONE_DAY)]), tmp_path / "x.parquet")) == 1


def test_while_a_run_has_the_warehouse_the_command_waits_and_says_so_and_it_changes_nothing(
    house: World, labels: Path, made: Path, tmp_path: Path
) -> None:
    before = {p.name: (digest(p), p.stat().st_mtime_ns) for p in house.paths.data.iterdir() if p.suffix != ".lease"}
    command = [sys.executable, "-m", "profile_pipeline.cli", "training-set", str(labels), "--out", str(tmp_path / "x.parquet")]  # fmt: skip
    places = {"PROFILE_PIPELINE_DATA": str(house.paths.data), "PROFILE_PIPELINE_CONFIG": str(house.paths.config)}
    held = lease(house.paths.warehouse.with_suffix(".duckdb.lease"), owner="run 12345678 (daily)", timeout_seconds=9, say=print)  # fmt: skip
    with held:
        process = subprocess.Popen(
            command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=os.environ | places
        )
        assert process.stderr is not None
        assert "waiting for the warehouse, in use by run 12345678 (daily)" in process.stderr.readline()
        assert not (tmp_path / "x.parquet").exists()
    table, errors = process.communicate()
    assert process.returncode == 0, errors
    assert "rows written" in table
    assert digest(tmp_path / "x.parquet") == digest(made)
    after = {p.name: (digest(p), p.stat().st_mtime_ns) for p in house.paths.data.iterdir() if p.suffix != ".lease"}
    assert after == before


def test_the_example_of_the_documentation_runs(house: World, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "training-sets.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"<!-- a test runs this -->\n```python\n(.*?)```", page, re.DOTALL)
    rows = house.rows(
        "select i.alias_id, d.day, cast(count(t.event_date) > 0 as int) from cleaned.identities as i cross join"
        " (select unnest([date '2026-03-01', date '2026-03-05', date '2026-03-10', date '2026-03-15']) as day) as d"
        " left join features.user_days as t on t.alias_id = i.alias_id and t.event_date > d.day and t.event_date <= d.day + 7"
        " where i.alias_id like 'user:%' and i.valid_to is null group by 1, 2 order by 1, 2"
    )
    path = tmp_path / "labels.csv"
    path.write_text("person,time,label\n" + "".join(f"{p},{t},{v}\n" for p, t, v in rows), encoding="utf-8")
    make(house.paths, path, tmp_path / "spring.parquet", dt.date(2026, 3, 1), dt.date(2026, 3, 20))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = re.fullmatch(r"AUC (0\.\d{3}|1\.000) on (\d+) rows, trained on (\d+)\n", done.stdout)
    assert told, done.stdout
    assert float(told[1]) > 0.5
