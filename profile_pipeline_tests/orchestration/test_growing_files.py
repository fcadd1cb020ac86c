"""A file that grows is left alone until it rests, by the sensor and by an ingest, and then every line of it is there once.

Not here: which files are complete, by their name and time (`raw/test_landing`).
"""

import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import pytest

from profile_pipeline.orchestration.running import Runner
from profile_pipeline.orchestration.steps import QUIET
from profile_pipeline.raw import archive as archive_module
from profile_pipeline_tests.orchestration.test_running import CONFIG, rows, runner
from profile_pipeline_tests.torture import examples

pytestmark = pytest.mark.faults
HEADER = "ts,action,uid,item,price\n"
# Far more than a busy machine keeps the writer from its next line; it writes for longer than a file must rest.
STABLE_SECONDS, WRITING_SECONDS = 1.5, 2
TIMES = range(examples(1, torture=20))
# Writes a line each hundredth of a second, in two parts, until it is told to end; says how many lines it wrote.
WRITER = """
import select, sys
n = 0
with open(sys.argv[1], "a", buffering=1) as file:
    while not select.select([sys.stdin], [], [], 0.01)[0]:
        file.write(f"2026-03-01T10:00:00Z,page_")
        file.flush()
        file.write(f"view,u{n},i1,\\n")
        n += 1
print(n)
"""


def line(number: int) -> str:
    return f"2026-03-01T10:00:00Z,page_view,u{number},i1,\n"


def delivered(data: Path, name: str, text: str) -> Path:
    path = data / "landing" / "shop" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def asked(r: Runner) -> list[dg.RunRequest]:
    """What the sensor asks for at a tick."""
    sensor = r.defs.get_repository_def().get_sensor_def("landing_sensor")
    return list(sensor.evaluate_tick(dg.build_sensor_context(instance=r.instance)).run_requests or [])


def ingest(r: Runner, request: dg.RunRequest) -> None:
    job = r.defs.resolve_job_def("ingest")
    assert job.execute_in_process(instance=r.instance, tags=request.tags, run_config=QUIET).success


def asked_once_it_rests(r: Runner) -> dg.RunRequest:
    while not (requests := asked(r)):
        pass
    return requests[0]


def users_of(data: Path) -> list[tuple]:
    return rows(data, "select cast(user_id[2:] as integer) as n, count(*) from raw.events group by n order by n")


@pytest.mark.parametrize("number", TIMES)
def test_a_file_that_is_being_written_is_left_until_it_is_whole(number: int, tmp_path: Path) -> None:
    del number
    r = runner(tmp_path, CONFIG.replace("stable_seconds: 0", f"stable_seconds: {STABLE_SECONDS}"))
    growing = delivered(tmp_path, "growing.csv", HEADER)
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(growing)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # fmt: skip
    while growing.stat().st_size == len(HEADER):
        pass
    began = time.monotonic()
    while time.monotonic() - began < WRITING_SECONDS:
        assert asked(r) == []
    # By hand too, while it grows: an ingest finds nothing to take.
    ingest(r, dg.RunRequest())
    assert growing.exists()
    n_lines = int(writer.communicate("end\n")[0])
    ingest(r, asked_once_it_rests(r))
    r.instance.dispose()
    assert users_of(tmp_path) == [(n, 1) for n in range(n_lines)]
    assert rows(tmp_path, "select path, status, n_records, n_loaded from raw.files") == [("shop/growing.csv", "loaded", n_lines, n_lines)]  # fmt: skip
    assert not growing.exists()


def test_a_file_that_grows_while_it_is_taken_is_taken_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    r = runner(tmp_path)
    growing = delivered(tmp_path, "growing.csv", HEADER + line(0))
    delivered(tmp_path, "whole.csv", HEADER + line(2))
    block_of = archive_module._block_of

    def growing_meanwhile(source):  # type: ignore[no-untyped-def]
        block = block_of(source)
        if line(0).encode() in block:
            with growing.open("a", encoding="utf-8") as file:
                file.write(line(1))
        return block

    with monkeypatch.context() as patch:
        patch.setattr(archive_module, "_block_of", growing_meanwhile)
        ingest(r, asked_once_it_rests(r))
    assert users_of(tmp_path) == [(2, 1)]
    ingest(r, asked_once_it_rests(r))
    r.instance.dispose()
    assert users_of(tmp_path) == [(0, 1), (1, 1), (2, 1)]
    assert rows(tmp_path, "select count(*) from raw.files") == [(2,)]
    assert not growing.exists()
