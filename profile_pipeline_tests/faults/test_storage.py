"""Storage that fails: the user reads one plain message, nothing is lost, and work goes on afterwards."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pytest

from profile_pipeline_tests.conftest import ROOT
from profile_pipeline_tests.faults.children import Children, Ended
from profile_pipeline_tests.faults.tiny_world import deliver, differences, logical_hashes
from profile_pipeline_tests.torture import IS_TORTURE, torture_only

pytestmark = [pytest.mark.faults, pytest.mark.timeout(3600 if IS_TORTURE else 600)]
NOBODY = 65534
MEGABYTE = 1 << 20


def assert_plain(ended: Ended, *words: str) -> None:
    """It failed, and said why and what to do, without a stack."""
    assert ended.status == 1, ended
    assert "Traceback" not in ended.said
    assert [word for word in words if word not in ended.said] == [], ended.said


def assert_as_if_nothing_had_happened(ended: Ended, data: Path, undisturbed: Path) -> None:
    assert ended.status == 0, ended.said
    found, expected = (logical_hashes(folder / "profile.duckdb") for folder in (data, undisturbed))
    assert differences(found, expected) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte, which a test may enlarge."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"a disk can't be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def enlarge(disk: Path, n_bytes: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={n_bytes}", str(disk)], check=True)


@pytest.mark.parametrize("share", [n / 20 for n in range(1, 20)] if IS_TORTURE else [0.3, 0.7])
def test_a_full_disk_is_one_message_and_the_same_command_goes_on_once_there_is_room(
    share: float, tiny: Path, child: Children, undisturbed: Path, small_disk: Path
) -> None:
    enlarge(small_disk, 200 * MEGABYTE)
    data = small_disk / "data"
    deliver(tiny, "first", data)
    used = shutil.disk_usage(small_disk).used
    needed = sum(path.stat().st_size for path in undisturbed.rglob("*") if path.is_file())
    enlarge(small_disk, used + int(share * (needed - used)))
    failed = child.try_step("command", data, arguments=["run"])
    assert_plain(failed, "Expected room on the disk", "make some", "run the same command again")
    enlarge(small_disk, 200 * MEGABYTE)
    assert_as_if_nothing_had_happened(child.try_step("command", data, arguments=["run"]), data, undisturbed)


@pytest.mark.parametrize("megabytes", [0.3, 1, 2] if IS_TORTURE else [1])
def test_a_file_that_may_not_grow_is_one_message(
    megabytes: float, tiny: Path, child: Children, undisturbed: Path, tmp_path: Path
) -> None:
    deliver(tiny, "first", tmp_path)
    failed = child.try_step("command", tmp_path, arguments=["run"], file_bytes=int(megabytes * MEGABYTE))
    assert_plain(failed, "Expected room on the disk", "run the same command again")
    assert_as_if_nothing_had_happened(child.try_step("command", tmp_path, arguments=["run"]), tmp_path, undisturbed)


@pytest.fixture
def foreign_folder(undisturbed: Path) -> Iterator[Path]:
    """A data folder with a late delivery, which another user may read and not write to."""
    if os.getuid() != 0:
        pytest.skip("only root can run a command as another user")
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o755)
    yield shutil.copytree(undisturbed, folder / "data")
    shutil.rmtree(folder)


@pytest.mark.parametrize("arguments", [("run",), ("rejected", "list"), ("sql", "select 1")])
def test_a_folder_that_may_not_be_written_to_is_one_message(
    arguments: tuple[str, ...], foreign_folder: Path, tiny: Path, child: Children
) -> None:
    deliver(tiny, "late", foreign_folder)
    before = logical_hashes(foreign_folder / "profile.duckdb")
    assert_plain(
        child.try_step("command", foreign_folder, arguments=arguments, uid=NOBODY),
        "Permission denied",
        "Expected a data folder that this user may write to",
    )
    assert logical_hashes(foreign_folder / "profile.duckdb") == before


def held_open(database: Path, seconds: float) -> subprocess.Popen[str]:
    """A reader in another process, which has the file open for so long."""
    code = f"import duckdb, time; c = duckdb.connect({str(database)!r}, read_only=True); print('open', flush=True); time.sleep({seconds})"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    return process


def test_a_reader_that_holds_the_file_is_waited_for(tiny: Path, child: Children, built: Path) -> None:
    deliver(tiny, "late", built)
    before = logical_hashes(built / "profile.duckdb")
    with held_open(built / "profile.duckdb", 2):
        ended = child.try_step("command", built, arguments=["run"])
    assert ended.status == 0, ended.said
    assert "waiting for a program that has profile.duckdb open" in ended.said
    assert logical_hashes(built / "profile.duckdb") != before


def test_a_reader_that_never_lets_go_is_named(tiny: Path, child: Children, built: Path) -> None:
    deliver(tiny, "late", built)
    config = built / "profile.yaml"
    config.write_text(f"{config.read_text(encoding='utf-8')}\nlease_timeout_seconds: 1\n", encoding="utf-8")
    with held_open(built / "profile.duckdb", 600) as reader:
        ended = child.try_step("command", built, arguments=["run"])
        reader.kill()
    assert_plain(ended, "still open in another program", f"PID {reader.pid}", "close it")
    assert child.try_step("command", built, arguments=["run"]).status == 0


def test_two_runs_at_once_end_as_one(
    tiny: Path, child: Children, other_child: Children, undisturbed: Path, tmp_path: Path
) -> None:
    deliver(tiny, "first", tmp_path)
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda c: c.try_step("command", tmp_path, arguments=["run"]), (child, other_child)))
    for ended in both:
        assert "Traceback" not in ended.said
    assert [ended.status for ended in both] == [0, 0], "\n".join(ended.said for ended in both)
    assert_as_if_nothing_had_happened(child.try_step("run", tmp_path), tmp_path, undisturbed)


OPENING = """
import os, sys, time
from pathlib import Path
from profile_pipeline.orchestration.instance import open_instance
from profile_pipeline.paths import Paths
began = time.monotonic() + 0.3
for _ in range(4):
    if os.fork() == 0:
        time.sleep(max(0, began - time.monotonic()))
        open_instance(Paths(config=Path(sys.argv[1]) / "profile.yaml", data=Path(sys.argv[1]))).dispose()
        os._exit(0)
sys.exit(sum(os.wait()[1] != 0 for _ in range(4)))
"""


def test_four_that_open_a_new_home_at_once_do_not_fail_over_each_other(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", OPENING, str(tmp_path)], capture_output=True, text=True, cwd=ROOT)  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_a_stale_lease_stops_nobody(tiny: Path, child: Children, undisturbed: Path, tmp_path: Path) -> None:
    deliver(tiny, "first", tmp_path)
    (tmp_path / "profile.duckdb.lease").write_text("run 12345678 (daily), pid 1, since 09:00:00", encoding="utf-8")
    ended = child.try_step("command", tmp_path, arguments=["run"])
    assert "waiting for the warehouse" not in ended.said
    assert_as_if_nothing_had_happened(ended, tmp_path, undisturbed)


def write_many_events(data: Path, n: int) -> None:
    """Land one file of so many events: a day's worth of clicks of a few thousand people."""
    header = "id,ts,received,cookie,uid,session,action,sku,category,qty,unit_price,currency,stars,q,url,referrer,utm_campaign,device,ua,ip,country,city"
    target = data / "landing" / "web" / "web_many.csv.gz"
    with duckdb.connect(":memory:") as connection:
        connection.execute(
            f"copy (select 'many' || i as id, strftime(timestamp '2026-03-28 00:00:00' + to_seconds(i % 200000), '%Y-%m-%dT%H:%M:%SZ') as ts, ts as received,"
            f" 'cookie' || (i % 5000) as cookie, null as uid, null as session, 'view' as action, 'i00' || lpad((i % 1300)::varchar, 4, '0') as sku, 'Shoes' as category,"
            f" null as qty, null as unit_price, null as currency, null as stars, null as q, '/p/' || i as url, null as referrer, null as utm_campaign, 'phone' as device,"
            f" 'Mozilla/5.0' as ua, '10.0.0.1' as ip, 'CN' as country, 'Wuhan' as city from range({n}) as r(i)) to '{target}' (header, compression gzip)"
        )
    assert header.count(",") == 21


# The engine needs some for each thread: with as many as a large machine has, less is left.
LITTLE_MEMORY = "\nthreads: 2\nmemory_limit: {}\n"


def assert_all_are_there(data: Path) -> None:
    with duckdb.connect(str(data / "profile.duckdb"), read_only=True) as connection:
        assert connection.execute("select count(*) from cleaned.events where event_id like 'many%'").fetchall() == [(300_000,)]  # fmt: skip


@pytest.mark.parametrize("limit", ["100MB", "300MB"])
def test_with_little_memory_a_load_of_300_000_events_ends(
    limit: str, tiny: Path, child: Children, tmp_path: Path
) -> None:
    deliver(tiny, "first", tmp_path)
    write_many_events(tmp_path, 300_000)
    with (tmp_path / "profile.yaml").open("a", encoding="utf-8") as config:
        config.write(LITTLE_MEMORY.format(limit))
    ended = child.try_step("command", tmp_path, arguments=["run"])
    assert ended.status == 0, ended.said
    assert_all_are_there(tmp_path)


@torture_only
def test_too_little_memory_is_one_message(tiny: Path, child: Children, tmp_path: Path) -> None:
    deliver(tiny, "first", tmp_path)
    write_many_events(tmp_path, 300_000)
    config = tmp_path / "profile.yaml"
    text = config.read_text(encoding="utf-8")
    config.write_text(text + LITTLE_MEMORY.format("50MB"), encoding="utf-8")
    ended = child.try_step("command", tmp_path, arguments=["run"])
    assert_plain(ended, "Expected more memory", "set memory_limit higher in profile.yaml")
    config.write_text(text, encoding="utf-8")
    ended = child.try_step("command", tmp_path, arguments=["run"])
    assert ended.status == 0, ended.said
    assert_all_are_there(tmp_path)
