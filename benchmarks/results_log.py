"""A plugin of pytest that writes what came of each test as soon as it is known, a line of JSON each: `-p benchmarks.results_log`.

A run that is stopped, or killed, has told all it tried, and the next one with the same log goes on behind it. Not here: what is made
of the lines (`reliability`).
"""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

VARIABLE = "RESULTS_LOG"
# Of why a test failed, which is read where the run was stopped before it told.
MOST_TOLD = 4_000


def finished(lines: Iterable[str]) -> set[str]:
    """Return the tests that came to their end, the good one, by the lines of a log."""
    ended, failed = set(), set()
    for told in map(json.loads, lines):
        if told["outcome"] == "failed":
            failed.add(told["test"])
        # What it used has been taken down.
        elif told.get("examples"):
            ended.add(told["test"])
    return ended - failed


def pytest_configure(config: pytest.Config) -> None:
    """Write in the process that hears of all tests: workers of xdist only run them."""
    if VARIABLE not in os.environ:
        return
    path = Path(os.environ[VARIABLE])
    done = finished(path.read_text(encoding="utf-8").splitlines()) if path.exists() else set()
    config.pluginmanager.register(_Remaining(done), "remaining tests")
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Log(path), "results log")


class _Remaining:
    def __init__(self, done: set[str]) -> None:
        self._done = done

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        done = [item for item in items if item.nodeid in self._done]
        config.hook.pytest_deselected(items=done)
        items[:] = [item for item in items if item.nodeid not in self._done]


class _Log:
    def __init__(self, path: Path) -> None:
        self._path, self._found = path, set[str]()

    def _write(self, **told: Any) -> None:
        with self._path.open("a", encoding="utf-8") as lines:
            lines.write(f"{json.dumps(told)}\n")

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: object, ids: list[str]) -> None:
        del node
        for name in ids:
            if name not in self._found:
                self._found.add(name)
                self._write(test=name, outcome="found")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        told = dict(report.user_properties)
        reason = report.longreprtext[-MOST_TOLD:]
        if report.skipped and isinstance(report.longrepr, tuple):
            reason = report.longrepr[2]
        # How often a test has tried is known once what it used is taken down.
        examples = told.get("examples", 1) if report.when == "teardown" else 0
        self._write(
            test=report.nodeid, outcome=report.outcome, seconds=report.duration, examples=examples, reason=reason.removeprefix("Skipped: "), told=told.get("told", "")
        )  # fmt: skip
