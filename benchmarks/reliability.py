"""Try to break the laws, and write what came of it to `docs/reliability.md`: `make torture`.

The tests are those marked `faults`. With `--torture` they take their long numbers (TORTURE=1), else those of CI; the page says which.
The page is written anew each minute: a run that is stopped half-way leaves what it tried, and names what it did not. With the long
numbers the next run at the same commit goes on where it was.
Not here: any test, or how many examples one takes (`profile_pipeline_tests/faults`).
"""

import argparse
import ast
import contextlib
import datetime as dt
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from benchmarks import results_log
from benchmarks.measure import commit, machine

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reliability.md"
KEPT = ROOT / "build" / "torture"
NOTHING_LEFT = pytest.ExitCode.NO_TESTS_COLLECTED
# Of one test that states no other: one that hangs fails, and the others go on.
TIMEOUT_SECONDS, TORTURE_TIMEOUT_SECONDS = 900, 3600
SECONDS_BETWEEN_PAGES, SECONDS_TO_STOP = 60, 120
NOT_COVERED = """
## What is not covered

- **Power loss.** A killed process keeps what the system had in its cache; a machine that loses power does not. Files are synced before
  they are renamed, and DuckDB syncs its log at each commit, but nobody has cut the power here. Try it in a virtual machine with
  dm-flakey before you rely on it.
- **Disks that lie**, network file systems, and locks on them: the lease is a lock of Linux and macOS on a local disk. Windows was not tried.
- **Memory that flips bits** outside of what checksums cover, and faults of the engine itself: DuckDB's own tests stand for those.
- **Hard links** in the landing folder are files like any other; who may write there decides what is loaded.
- **One content under two sources**: a file whose bytes were loaded already is a duplicate, also where another source claims it.
- **Identical lines** of a source with `identical_records: each` are numbered within a file. Cut into other files they are other lines.
- **Who can reach loopback** can do everything in the UI: there is no log-in. The guard keeps out pages of other sites.
- The numbers above are of one machine and of these seeds. A law that was not broken in so many tries is not proven.
"""


@dataclass
class Tried:
    """What came of a test, all its cases together; of one that was skipped the reason, of others what they told."""

    examples: int = 0
    waiting: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    held: set[str] = field(default_factory=set)
    skipped: dict[str, str] = field(default_factory=dict)
    told: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def was_tried(self) -> bool:
        return bool(self.held or self.failed)

    @property
    def result(self) -> str:
        parts = [f"**{len(self.failed)} failed**"] if self.failed else []
        parts += ["held"] if self.held and not (self.failed or self.waiting) else []
        n_skipped = f"{len(self.skipped)} " if self.was_tried else ""
        parts += [f"{n_skipped}skipped: {', '.join(_unlike(self.skipped))}"] if self.skipped else []
        parts += [f"**{len(self.waiting)} not tried**"] if self.waiting else []
        return "; ".join(parts) + (f" ({'; '.join(_unlike(self.told))})" if self.told else "")


def _unlike(said: dict[str, str]) -> list[str]:
    return list(dict.fromkeys(said.values()))


def read_results(lines: Iterable[str]) -> dict[str, dict[str, Tried]]:
    """Return what came of each test, by file and name, from the lines of `results_log`."""
    found: dict[str, dict[str, Tried]] = {}
    for told in map(json.loads, lines):
        case = told["test"]
        file, _, name = case.partition("::")
        tried = found.setdefault(file, {}).setdefault(name.partition("[")[0], Tried())
        if told["outcome"] == "found":
            tried.waiting.add(case)
            continue
        tried.seconds += told["seconds"]
        tried.waiting.discard(case)
        if told["outcome"] == "failed":
            tried.failed.add(case)
        elif told["outcome"] == "skipped":
            tried.skipped[case] = told["reason"]
        # The teardown of a case that was skipped tried nothing.
        elif told["examples"] and case not in tried.skipped.keys() | tried.failed:
            tried.held.add(case)
        if case not in tried.skipped:
            tried.examples += told["examples"]
            tried.told |= {case: told["told"]} if told.get("told") else {}
    return found


def law_of(file: str) -> str:
    """Return the law that a file of tests tries, as its docstring begins."""
    path = ROOT / file
    told = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) if path.is_file() else None
    return (told or file).splitlines()[0]


def page(results: dict[str, dict[str, Tried]], told: dict[str, Any]) -> str:
    """Return the page.

    Parameters
    ----------
    told
        `numbers`, `date`, `version`, `commit` and `machine` of the run.
    """
    tests = [tried for by_name in results.values() for tried in by_name.values()]
    n_failed, n_waiting = sum(bool(tried.failed) for tried in tests), sum(len(tried.waiting) for tried in tests)
    n_tried, n_skipped = sum(tried.was_tried for tried in tests), sum(len(tried.skipped) for tried in tests)
    computer = told["machine"]
    lines = [
        "# Reliability: the laws, tried",
        "",
        "Written by `make torture` (`python -m benchmarks.reliability`), never by hand. Each line is a test that tries to break a law and fails if it can.",
        "",
        f"Last run: {told['date']}, version {told['version']}, commit {told['commit']}, **{told['numbers']}**. {n_tried} tests were tried, "
        f"{sum(t.examples for t in tests):,} examples, {n_failed or 'no'} test{'s' if n_failed != 1 else ''} failed, {n_skipped or 'no'} case{'s' if n_skipped != 1 else ''} skipped, "
        f"{sum(t.seconds for t in tests):,.0f} seconds.",
        *(["", f"**It was stopped before its end: {n_waiting} cases were not tried.**"] if n_waiting else []),
        "",
        f"Machine: {computer['cores']} cores ({computer['processor']}), {computer['memory_gb']} GB, {computer['system']}, Python {computer['python']}. "
        "It does other work too: seconds are an upper bound.",
    ]  # fmt: skip
    for module in sorted(results):
        lines += [
            "",
            f"## {law_of(module)}",
            "",
            "| test | examples | result | seconds |",
            "| --- | ---: | --- | ---: |",
        ]
        lines += [
            f"| {name.removeprefix('test_').replace('_', ' ')} | {tried.examples:,} | {tried.result} | {tried.seconds:,.1f} |"
            for name, tried in results[module].items()
        ]
    return "\n".join(lines) + "\n" + NOT_COVERED


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tests and write the page; return the exit status of the tests."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torture", action="store_true", help="take the long numbers")
    asked = parser.parse_args(arguments)
    timeout = TORTURE_TIMEOUT_SECONDS if asked.torture else TIMEOUT_SECONDS
    command = [
        sys.executable, "-m", "pytest", "-m", "faults", "-n", "2", "--dist", "loadfile", "--no-loadscope-reorder", "--durations=10", "-p", "benchmarks.results_log",
        f"--timeout={timeout}",
    ]  # fmt: skip
    told = _told(is_torture=asked.torture)
    with log_of(told["commit"], is_torture=asked.torture) as log:
        environment = os.environ | {results_log.VARIABLE: str(log)} | ({"TORTURE": "1"} if asked.torture else {})

        def write() -> None:
            # A line without its end is still being written.
            whole, _, _ = log.read_text(encoding="utf-8").rpartition("\n")
            if whole:
                PAGE.write_text(page(read_results(whole.splitlines()), told), encoding="utf-8")

        status = run(command, environment, write)
    print(f"{PAGE.relative_to(ROOT)} is written")
    return 0 if status == NOTHING_LEFT else status


@contextlib.contextmanager
def log_of(commit: str, *, is_torture: bool) -> Iterator[Path]:
    """Yield the log of results: that of a run with long numbers is kept by its commit, with what came to its end."""
    if not is_torture or commit.endswith("-dirty"):
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder) / "results.jsonl"
            log.touch()
            yield log
        return
    KEPT.mkdir(parents=True, exist_ok=True)
    log = KEPT / f"{commit}.jsonl"
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    done = results_log.finished(lines)
    log.write_text("".join(f"{line}\n" for line in lines if json.loads(line)["test"] in done), encoding="utf-8")
    yield log


def run(command: Sequence[str], environment: dict[str, str], write: Callable[[], None]) -> int:
    """Run the tests, writing the page each minute and at the end, however that comes; return their exit status."""
    for told in (signal.SIGTERM, signal.SIGINT):
        # What is started in the background ignores the latter, and so would the tests.
        signal.signal(told, signal.default_int_handler)
    process = subprocess.Popen(command, cwd=ROOT, env=environment)
    try:
        while True:
            try:
                return process.wait(SECONDS_BETWEEN_PAGES)
            except subprocess.TimeoutExpired:
                write()
    except KeyboardInterrupt:
        process.send_signal(signal.SIGINT)
        return process.wait(SECONDS_TO_STOP)
    finally:
        process.kill()
        write()


def _told(*, is_torture: bool) -> dict[str, Any]:
    return {
        "numbers": "the long numbers of `make torture`" if is_torture else "the short numbers of CI",
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "version": metadata.version("profile-pipeline"),
        "commit": commit(ROOT, str(PAGE.relative_to(ROOT))),
        "machine": machine(),
    }


if __name__ == "__main__":
    sys.exit(main())
