"""Try to break the laws, and write what came of it to `docs/reliability.md`: `make torture`.

The tests are those marked `faults`. With `--torture` they take their long numbers (TORTURE=1), else those of CI; the page says which.
Not here: any test, or how many examples one takes (`profile_pipeline_tests/faults`).
"""

import argparse
import ast
import datetime as dt
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.measure import machine

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reliability.md"
# Of one test. A machine that does other work too may take long for the short numbers.
TIMEOUT_SECONDS, TORTURE_TIMEOUT_SECONDS = 1800, 4 * 3600
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
    """What came of a test, all its cases together."""

    examples: int = 0
    failed: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def result(self) -> str:
        parts = [f"**{len(self.failed)} failed**"] if self.failed else []
        parts += [f"skipped: {self.skipped[0]}"] if self.skipped else []
        return "; ".join(parts) or "held"


def read_results(xml: str) -> dict[str, dict[str, Tried]]:
    """Return what came of each test, by module and name, from the XML that pytest writes."""
    found: dict[str, dict[str, Tried]] = {}
    for case in ElementTree.fromstring(xml).iter("testcase"):  # noqa: S314  # pytest wrote it a moment ago
        name = case.get("name", "").partition("[")[0]
        tried = found.setdefault(case.get("classname", ""), {}).setdefault(name, Tried())
        told = {p.get("name"): p.get("value") for p in case.iter("property")}
        tried.seconds += float(case.get("time", 0))
        for kind in ("failure", "error"):
            tried.failed += [case.get("name", "") for _ in case.iter(kind)]
        skipped = [s.get("message", "") for s in case.iter("skipped")]
        tried.skipped += skipped
        tried.examples += 0 if skipped else int(told.get("examples") or 1)
    return found


def law_of(module: str) -> str:
    """Return the law that a module of tests tries, as its docstring begins."""
    path = ROOT / (module.replace(".", "/") + ".py")
    told = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) if path.is_file() else None
    return (told or module).splitlines()[0]


def page(results: dict[str, dict[str, Tried]], told: dict[str, Any]) -> str:
    """Return the page.

    Parameters
    ----------
    told
        `numbers`, `date`, `version`, `commit` and `machine` of the run.
    """
    tests = [tried for by_name in results.values() for tried in by_name.values()]
    n_failed = sum(bool(tried.failed) for tried in tests)
    computer = told["machine"]
    lines = [
        "# Reliability: the laws, tried",
        "",
        "Written by `make torture` (`python -m benchmarks.reliability`), never by hand. Each line is a test that tries to break a law and fails if it can.",
        "",
        f"Last run: {told['date']}, version {told['version']}, commit {told['commit']}, **{told['numbers']}**. {len(tests)} tests, "
        f"{sum(t.examples for t in tests):,} examples, {n_failed or 'no'} test{'s' if n_failed != 1 else ''} failed, {sum(t.seconds for t in tests):,.0f} seconds.",
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
    with tempfile.TemporaryDirectory() as folder:
        xml = Path(folder) / "results.xml"
        timeout = TORTURE_TIMEOUT_SECONDS if asked.torture else TIMEOUT_SECONDS
        command = [
            sys.executable, "-m", "pytest", "-m", "faults", "-n", "2", "--dist", "loadfile", "--durations=10", f"--junit-xml={xml}", f"--timeout={timeout}",
        ]  # fmt: skip
        environment = os.environ | ({"TORTURE": "1"} if asked.torture else {})
        status = subprocess.run(command, cwd=ROOT, env=environment).returncode
        if not xml.is_file():
            return status
        results = read_results(xml.read_text(encoding="utf-8"))
    PAGE.write_text(page(results, _told(is_torture=asked.torture)), encoding="utf-8")
    print(f"{PAGE.relative_to(ROOT)} is written")
    return status


def _told(*, is_torture: bool) -> dict[str, Any]:
    git = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, cwd=ROOT)
    return {
        "numbers": "the long numbers of `make torture`" if is_torture else "the short numbers of CI",
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "version": metadata.version("profile-pipeline"),
        "commit": git.stdout.strip() or "unknown",
        "machine": machine(),
    }


if __name__ == "__main__":
    sys.exit(main())
