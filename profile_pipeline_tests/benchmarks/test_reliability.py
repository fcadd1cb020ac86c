"""What a run of the faults has tried is told, however the run ended."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import reliability, results_log
from benchmarks.measure import commit
from profile_pipeline_tests.conftest import ROOT

FILE = "profile_pipeline_tests/faults/test_leaks.py"
TOLD: dict[str, Any] = {
    "numbers": "the short numbers of CI",
    "date": "2026-01-01",
    "version": "1",
    "commit": "c",
    "machine": {"cores": 2, "processor": "p", "memory_gb": 8, "system": "s", "python": "3"},
}


def line(test: str, outcome: str, examples: int = 0, seconds: float = 1, reason: str = "", told: str = "") -> str:
    return json.dumps({"test": f"{FILE}::{test}", "outcome": outcome, "examples": examples, "seconds": seconds, "reason": reason, "told": told})  # fmt: skip


def pytest_of(folder: Path, log: Path, **environment: str) -> int:
    """Run the tests of a folder with the log; return their exit status."""
    command = [sys.executable, "-m", "pytest", "-p", "benchmarks.results_log", "-p", "no:cacheprovider", "--rootdir", str(folder), str(folder)]  # fmt: skip
    environment |= {"PATH": "", results_log.VARIABLE: str(log)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True).returncode


def test_the_cases_of_a_test_are_summed() -> None:
    shards = [told for n in (1, 2) for told in (line(f"test_a[{n}]", "found"), line(f"test_a[{n}]", "passed", n))]
    tried = reliability.read_results(shards)[FILE]["test_a"]
    assert (tried.examples, tried.seconds, tried.result) == (3, 2, "held")


def test_what_was_not_tried_is_named_when_a_run_was_stopped() -> None:
    lines = [line(f"test_a[{n}]", "found") for n in (1, 2)] + [
        line("test_a[1]", "passed"),
        line("test_a[1]", "passed", 7),
    ]
    told = reliability.page(reliability.read_results(lines), TOLD)
    assert "| a | 7 | **1 not tried** | 2.0 |" in told
    assert "It was stopped before its end: 1 cases were not tried." in told


@pytest.mark.parametrize(
    ("outcomes", "row"),
    [
        ([("passed", 0), ("failed", 0), ("passed", 3)], "| a | 3 | **1 failed** | 3.0 |"),
        ([("skipped", 0), ("passed", 1)], "| a | 0 | skipped: no disk | 2.0 |"),
    ],
)
def test_a_test_that_failed_or_was_skipped_says_so(outcomes: list[tuple[str, int]], row: str) -> None:
    lines = [line("test_a", "found"), *(line("test_a", outcome, n, reason="no disk") for outcome, n in outcomes)]
    assert row in reliability.page(reliability.read_results(lines), TOLD)


def test_of_a_test_whose_cases_were_skipped_in_part_both_are_said() -> None:
    lines = [line(f"test_a[{n}]", "found") for n in range(3)]
    lines += [line("test_a[0]", "passed"), line("test_a[0]", "passed", 1, 0, told="8 of 655")]
    for n in (1, 2):
        lines += [line(f"test_a[{n}]", "skipped", 0, 0, "no disk"), line(f"test_a[{n}]", "passed", 1, 0)]
    assert "| a | 1 | held; 2 skipped: no disk (8 of 655) | 1.0 |" in reliability.page(reliability.read_results(lines), TOLD)  # fmt: skip


def test_what_was_skipped_is_not_counted_as_tried() -> None:
    lines = [line("test_a", "skipped", reason="no disk"), line("test_a", "passed", 1), line("test_b", "passed", 5), line("test_c", "failed"), line("test_d", "found")]  # fmt: skip
    told = reliability.page(reliability.read_results(lines), TOLD)
    assert "2 tests were tried, 5 examples, 1 test failed, 1 case skipped, 4 seconds." in told


def test_each_test_is_told_when_it_ends_and_not_when_all_have(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import os\n"
        "def test_first(record_property):\n    record_property('examples', 5)\n"
        "def test_then_it_is_killed():\n    os.kill(os.getpid(), 9)\n",
        encoding="utf-8",
    )
    log = tmp_path / "log"
    assert pytest_of(tmp_path, log) == -9
    ((_, tests),) = reliability.read_results(log.read_text(encoding="utf-8").splitlines()).items()
    assert tests["test_first"].examples == 5


def test_why_a_test_failed_is_told_with_it(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("def test_it(): assert 1 == 2, 'one is not two'\n", encoding="utf-8")
    log = tmp_path / "log"
    assert pytest_of(tmp_path, log) == pytest.ExitCode.TESTS_FAILED
    (told,) = [
        told for told in map(json.loads, log.read_text(encoding="utf-8").splitlines()) if told["outcome"] == "failed"
    ]
    assert "one is not two" in told["reason"]


def test_a_run_goes_on_behind_what_has_come_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "test_it.py").write_text(
        "import os\ndef test_first(): pass\ndef test_then(): assert 'KILL' not in os.environ or os.kill(os.getpid(), 9)\n", encoding="utf-8"
    )  # fmt: skip
    monkeypatch.setattr(reliability, "KEPT", tmp_path / "kept")
    statuses, ran = [], []
    for more in ({"KILL": "1"}, {}, {}):
        with reliability.log_of("abc", is_torture=True) as log:
            before = len(log.read_text(encoding="utf-8").splitlines()) if log.exists() else 0
            statuses.append(pytest_of(tmp_path, log, **more))
            lines = log.read_text(encoding="utf-8").splitlines()
            ran.append({json.loads(told)["test"].partition("::")[2] for told in lines[before:]})
    assert statuses == [-9, 0, reliability.NOTHING_LEFT]
    assert ran == [{"test_first", "test_then"}, {"test_then"}, set()]
    (tests,) = reliability.read_results(lines).values()
    assert {name: tried.examples for name, tried in tests.items()} == {"test_first": 1, "test_then": 1}


def test_the_page_itself_makes_no_other_code(tmp_path: Path) -> None:
    for name in ("docs/reliability.md", "code.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("before", encoding="utf-8")
    identity = ("-c", "user.name=n", "-c", "user.email=e")
    for command in (("init", "-q"), ("add", "."), (*identity, "commit", "-qm", "a")):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    clean = commit(tmp_path, "docs/reliability.md")
    (tmp_path / "docs" / "reliability.md").write_text("written", encoding="utf-8")
    assert commit(tmp_path, "docs/reliability.md") == clean
    (tmp_path / "code.py").write_text("changed", encoding="utf-8")
    assert commit(tmp_path, "docs/reliability.md") == f"{clean}-dirty"


def test_a_test_that_failed_is_tried_again() -> None:
    lines = [line(f"test_{name}", outcome, n) for name, outcome, n in (("a", "failed", 0), ("a", "passed", 3), ("b", "passed", 3), ("c", "passed", 0))]  # fmt: skip
    assert results_log.finished(lines) == {f"{FILE}::test_b"}
