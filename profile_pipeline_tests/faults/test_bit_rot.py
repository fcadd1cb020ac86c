"""One bit flips: it is found before what it changed is used, every time; and a damaged write-ahead log has a rescue that works."""

import datetime as dt
import gzip
import hashlib
import random
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.pipeline import Pipeline
from sklearn.tree import DecisionTreeClassifier

from profile_pipeline.models.algorithms import SklearnScorer
from profile_pipeline.models.artifact import ArtifactError, digest_of, stored_bytes, to_bytes
from profile_pipeline.models.frame import Frame
from profile_pipeline.models.predict import predict
from profile_pipeline.models.segments import assign
from profile_pipeline.raw.archive import DamagedArchiveError, store, verified_path
from profile_pipeline.raw.readers.bytes import FileRefused
from profile_pipeline.raw.readers.parquet import read
from profile_pipeline.raw.readers.records import Rejects
from profile_pipeline.warehouse.duckdb import Warehouse
from profile_pipeline_tests.faults.children import Children
from profile_pipeline_tests.faults.tiny_world import deliver, differences, logical_hashes, runner
from profile_pipeline_tests.torture import IS_TORTURE

pytestmark = [pytest.mark.faults, pytest.mark.timeout(7200 if IS_TORTURE else 600)]
N_FLIPS = 200 if IS_TORTURE else 20
N_LOGS = 60 if IS_TORTURE else 4


def flip(path: Path, bit: int) -> None:
    with path.open("r+b") as file:
        file.seek(bit // 8)
        (byte,) = file.read(1)
        file.seek(bit // 8)
        file.write(bytes([byte ^ 1 << bit % 8]))


def bits_of(path: Path, n: int = N_FLIPS) -> list[int]:
    """The first and the last bit of a file, and others between."""
    last = path.stat().st_size * 8 - 1
    return [0, last, *random.Random(7).sample(range(1, last), n - 2)]


# ---- the archive


@pytest.fixture
def archived(tmp_path: Path) -> Path:
    delivered = tmp_path / "orders.csv"
    delivered.write_text("".join(f"o{i},2026-03-30,{i}\n" for i in range(500)), encoding="utf-8")
    return store(delivered, archive=tmp_path / "archive").path


def test_a_flip_in_an_archived_file_is_found_before_it_is_read(archived: Path) -> None:
    for bit in bits_of(archived):
        flip(archived, bit)
        with pytest.raises(
            DamagedArchiveError, match=r"is not what was delivered: found the sha256 .*, expected its name"
        ):
            verified_path(archived.parents[1], archived.name)
        flip(archived, bit)
    assert verified_path(archived.parents[1], archived.name) == archived


def test_a_rotten_copy_gives_way_when_its_file_is_delivered_again(archived: Path, tmp_path: Path) -> None:
    flip(archived, 8)
    store(tmp_path / "orders.csv", archive=tmp_path / "archive")
    assert hashlib.sha256(archived.read_bytes()).hexdigest() == archived.name


def test_a_rotten_file_whose_commit_was_lost_is_told_and_the_others_are_loaded(
    tiny: Path, child: Children, built: Path, undisturbed: Path
) -> None:
    (built / "profile.duckdb").unlink()
    with duckdb.connect(str(undisturbed / "profile.duckdb"), read_only=True) as connection:
        ((file_id,),) = connection.execute("select file_id from raw.files where path like 'crm/%' order by path limit 1").fetchall()  # fmt: skip
    rotten = built / "archive" / file_id[:2] / file_id
    flip(rotten, 80)
    ended = child.try_step("command", built, arguments=["run"])
    assert ended.status == 1
    assert "Traceback" not in ended.said
    assert f"{rotten} is not what was delivered" in ended.said
    deliver(tiny, "first", built)
    ended = child.try_step("command", built, arguments=["run"])
    assert ended.status == 0, ended.said
    found, expected = (logical_hashes(folder / "profile.duckdb") for folder in (built, undisturbed))
    assert differences(found, expected) == []


# ---- landed files


def test_a_flip_in_a_landed_gzip_file_refuses_it(tiny: Path, tmp_path: Path) -> None:
    """Of a file that is landed nobody knows how it should be; its own check sums tell, where the format has some."""
    source = next((tiny / "first" / "web").iterdir())
    with_flips = {}
    for number, bit in enumerate(bits_of(source)[2:]):
        target = tmp_path / "landing" / "web" / f"web_{number}.csv.gz"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
        flip(target, bit)
        try:
            same = gzip.decompress(target.read_bytes()) == gzip.decompress(source.read_bytes())
        except (OSError, EOFError, gzip.zlib.error):
            same = False
        with_flips[f"web/{target.name}"] = same
    deliver(tiny, "first", tmp_path)
    r = runner(tmp_path)
    r.ingest()
    r.instance.dispose()
    with duckdb.connect(str(tmp_path / "profile.duckdb"), read_only=True) as connection:
        status = dict(connection.execute("select path, status from raw.files").fetchall())
    # A bit of the header that says when it was packed, or on which system, changes no content.
    assert {path: status[path] == "rejected" for path in with_flips} == {p: not same for p, same in with_flips.items()}
    assert sum(not same for same in with_flips.values()) >= 0.8 * len(with_flips)


def test_a_flip_in_a_file_that_stays_where_it_lies_is_told_when_it_is_taken_again(
    tiny: Path, child: Children, built: Path
) -> None:
    """Plain text has no check sum: other bytes under a name may be a correction. They are told; the archive keeps both."""
    (users,) = sorted((tiny / "first" / "crm").iterdir())[:1]
    target = built / "landing" / "crm" / users.name
    shutil.copy(users, target)
    flip(target, target.stat().st_size * 8 - 20)
    ended = child.try_step("command", built, arguments=["run"])
    assert ended.status == 0, ended.said
    assert "1 file changed" in ended.said


# ---- the database


def test_a_flip_in_a_block_in_use_is_found_before_a_row_of_it_is_read(built: Path) -> None:
    database = built / "profile.duckdb"
    expected = logical_hashes(database)
    found = harmless = 0
    for bit in bits_of(database):
        flip(database, bit)
        try:
            assert logical_hashes(database) == expected, f"bit {bit} changed what is read"
            harmless += 1
        except duckdb.Error:
            found += 1
        flip(database, bit)
    # What is harmless lies in a block that is free, or in the older of the two headers.
    assert found >= N_FLIPS // 3
    assert found + harmless == N_FLIPS


def test_a_damaged_database_is_one_message_and_all_is_built_again_from_the_archive(
    child: Children, built: Path, undisturbed: Path
) -> None:
    database = built / "profile.duckdb"
    for block in range(4, database.stat().st_size // 4096):
        flip(database, (block * 4096 + 100) * 8)
    ended = child.try_step("command", built, arguments=["run"])
    assert ended.status == 1
    assert "Traceback" not in ended.said
    assert "profile-pipeline rebuild" in ended.said
    ended = child.try_step("command", built, arguments=["rebuild", "--yes"])
    assert ended.status == 0, ended.said
    assert differences(logical_hashes(database), logical_hashes(undisturbed / "profile.duckdb")) == []


# ---- a model


def test_a_flip_in_a_model_is_found_before_it_is_loaded() -> None:
    pipeline = Pipeline([("model", DecisionTreeClassifier(max_depth=2).fit([[0.0], [1.0], [2.0]], [0, 1, 1]))])
    data, artifact_format = to_bytes(SklearnScorer(pipeline))
    row = {"model": "churn", "week": dt.date(2026, 3, 23), "artifact_format": artifact_format, "artifact_sha256": digest_of(data)}  # fmt: skip
    assert stored_bytes(row | {"artifact": data}) == data
    nobody = Frame(np.empty(0, dtype=object), np.empty(0), (), np.empty((0, 0)))
    for bit in [0, len(data) * 8 - 1, *random.Random(7).sample(range(len(data) * 8), N_FLIPS)]:
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        for use in (predict, assign):
            with pytest.raises(ArtifactError, match="the model churn of the week 2026-03-23 is not what was written"):
                use(row | {"artifact": bytes(damaged)}, nobody)


# ---- the write-ahead log


@pytest.fixture(scope="module")
def killed(
    tiny: Path, child: Children, undisturbed: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Path]]:
    """Data folders of runs that were killed with commits in the log: after an ingest, and after the features."""
    folder = tmp_path_factory.mktemp("killed")
    deliver(tiny, "first", folder / "start")
    points = undisturbed.with_name("points").read_text(encoding="utf-8").splitlines()
    found = []
    for name in ("_put_away: unlink", "applications.py insights: commit"):
        number = max(i for i, point in enumerate(points) if point.startswith("after") and name in point)
        data = shutil.copytree(folder / "start", folder / name.partition(":")[0].replace(" ", "_"))
        assert child.try_step("run", data, crash_at=number).status == -signal.SIGKILL
        assert (data / "profile.duckdb.wal").stat().st_size > 1000
        found.append(data)
    return found


@pytest.mark.parametrize("place", [0, 1])
def test_a_damaged_log_is_told_or_redone_and_its_rescue_gives_what_was_lost(
    place: int, killed: list[Path], child: Children, undisturbed: Path, tmp_path: Path
) -> None:
    """Either the run says which command sets the log aside, or the engine takes the damage for the end of the log: then what it
    has dropped is done again. The tables are those of an undisturbed run both ways.
    """
    log = killed[place] / "profile.duckdb.wal"
    told = 0
    for number, bit in enumerate(bits_of(log, N_LOGS)):
        data = shutil.copytree(killed[place], tmp_path / str(number))
        damaged = data / "profile.duckdb.wal"
        flip(damaged, bit)
        ended = child.try_step("command", data, arguments=["run"])
        if ended.status != 0:
            told += 1
            assert "Traceback" not in ended.said
            assert f"mv {damaged} {damaged}.damaged" in ended.said, ended.said
            damaged.rename(f"{damaged}.damaged")
            ended = child.try_step("command", data, arguments=["run"])
        assert ended.status == 0, ended.said
        for database in ("profile.duckdb", "serving.duckdb"):
            found, expected = (logical_hashes(folder / database) for folder in (data, undisturbed))
            assert differences(found, expected) == [], f"bit {bit} of {log}, {database}"
        shutil.rmtree(data)
    assert told >= N_LOGS // 2


def test_a_log_that_was_cut_short_opens_with_whole_commits(tmp_path: Path) -> None:
    database = tmp_path / "profile.duckdb"
    w = Warehouse(database, owner="test", say=lambda _: None)
    w.execute("create table t as select 0 as n")
    w.execute("checkpoint")
    for n in range(1, 6):
        with w.transaction():
            w.execute(f"insert into t values ({n}), ({n})")
    log = (tmp_path / "profile.duckdb.wal").read_bytes()
    taken = shutil.copy(database, tmp_path / "taken.duckdb")
    w.close()
    for length in range(0, len(log), 7):
        (tmp_path / "copy.duckdb").write_bytes(Path(taken).read_bytes())
        (tmp_path / "copy.duckdb.wal").write_bytes(log[:length])
        with duckdb.connect(str(tmp_path / "copy.duckdb")) as connection:
            counts = connection.execute("select n, count(*) from t where n > 0 group by n order by n").fetchall()
        assert counts == [(n, 2) for n in range(1, len(counts) + 1)]


# ---- Parquet


def text_batches(path: Path) -> list[dict[str, list[str | None]]]:
    return [{name: column.to_pylist() for name, column in batch.columns.items()} for batch in read(path, Rejects())]


def test_a_flip_in_a_landed_parquet_file_refuses_it_or_changes_no_value(tmp_path: Path) -> None:
    """Pages carry check sums here: the writer of a file decides whether they do, the reader verifies those that are there."""
    target = tmp_path / "events.parquet"
    pq.write_table(pa.table({"n": list(range(2000)), "t": [f"text {i}" for i in range(2000)]}), target, write_page_checksum=True)  # fmt: skip
    expected, n_refused = text_batches(target), 0
    for bit in bits_of(target):
        flip(target, bit)
        try:
            assert text_batches(target) == expected, f"bit {bit} changed what is read"
        except FileRefused as refusal:
            assert refusal.reason == "damaged_parquet"
            n_refused += 1
        flip(target, bit)
    assert n_refused >= 0.8 * N_FLIPS
