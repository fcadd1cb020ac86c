"""Building the recipes on the real sets as a user would: land the files, call `profile-pipeline run`, look into the tables.

Not here: which sets there are (`sets`), or the page (`page`).
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.real_data.sets import ROOT, DataSet, Fact, Reference

CHECK = ROOT.parent / "shared" / "conformance" / "check.py"


@dataclass(frozen=True)
class Built:
    """A set that has been built: where its tables are, and what building cost."""

    dataset: DataSet
    data: Path
    stages: dict[str, tuple[float, float]]

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.data / "profile.duckdb"), read_only=True) as connection:
            return connection.execute(sql).fetchall()

    def found(self, fact: Fact) -> str:
        """Return what our tables say of a fact, as text."""
        (value,) = self.rows(fact.sql)[0]
        return value if isinstance(value, str) else f"{value:,}"

    @cached_property
    def contract(self) -> str | None:
        """The verdict of the black-box check where it lies beside the project, else None."""
        return _contract(self)

    def metric(self, reference: Reference) -> dict[str, Any] | None:
        """Return the newest row of the chosen algorithm for a reference."""
        rows = self.rows(
            "select algorithm, value, ci_low, ci_high, baseline, baseline_value, n_rows from evaluation.metrics"
            f" where model = '{reference.model}' and split = '{reference.split}' and metric = '{reference.metric}' and baseline is not null and ci_low is not null"
            " order by week desc limit 1"
        )
        names = ("algorithm", "value", "ci_low", "ci_high", "baseline", "baseline_value", "n_rows")
        return dict(zip(names, rows[0], strict=True)) if rows else None


def broken_promises(built: Built) -> list[str]:
    """Return what is found otherwise than it is known, laws of the tables that fail, and models that reach less than simple ones."""
    s = built.dataset
    broken = [
        f"{s.name}: {fact.name}: found {found}, expected {fact.expected}"
        for fact in s.facts
        if fact.expected not in (None, found := built.found(fact))
    ]
    for reference in (r for r in s.references if r.at_least is not None):
        metric = built.metric(reference)
        if metric is None or metric["value"] < reference.at_least:
            reached = "no model" if metric is None else f"{metric['value']:.3f}"
            broken.append(
                f"{s.name}: {reference.model}: {reference.metric} on {reference.split}: found {reached}, expected {reference.at_least} or more"
            )
    verdict = built.contract
    if verdict and not verdict.endswith(", 0 fail"):
        broken.append(f"{s.name}: {verdict}")
    return broken


class BuildFailedError(Exception):
    """A recipe could not be built; the text is what the command said."""


def run(recipe: Path, data: Path, *arguments: str) -> str:
    """Call the command as a user would and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "profile_pipeline.cli", "run", "--config", str(recipe), "--data", str(data), *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    if done.returncode:
        raise BuildFailedError(done.stderr[-4000:])
    return done.stdout


def build(dataset: DataSet, data: Path) -> Built:
    """Land a set's files in a folder of its own and build everything."""
    dataset.land(dataset.source, data / "landing")
    return Built(dataset, data, stages_of(run(dataset.recipe, data)))


def stages_of(printed: str) -> dict[str, tuple[float, float]]:
    """Read the table of stages that the command prints: seconds and CPU seconds."""
    stages = {}
    for line in printed.splitlines():
        parts = [part.strip() for part in line.split("│") if part.strip()]
        if len(parts) == 3 and parts[1].replace(".", "").isdigit():
            stages[parts[0]] = (float(parts[1]), float(parts[2]))
    return stages


def _contract(built: Built) -> str | None:
    if not CHECK.is_file():
        return None
    done = subprocess.run(
        [sys.executable, str(CHECK), str(built.data / "profile.duckdb"), "--serving", str(built.data / "serving.duckdb"), "--config", str(built.dataset.recipe), "--json"],
        capture_output=True, text=True,
    )  # fmt: skip
    checks = json.loads(done.stdout)["checks"]
    failed = [c["check"] for c in checks if c["status"] == "FAILS"]
    n_ok = sum(c["status"] == "ok" for c in checks)
    return f"{n_ok} laws hold, {len(failed)} fail" + (f": {', '.join(failed)}" if failed else "")
