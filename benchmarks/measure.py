"""Measuring: each thing that is measured runs in a process of its own, so that its peak memory is its own.

A child says what it measured itself (the work without imports) as one JSON line; the parent adds what the kernel says of the
whole process. Not here: what is measured.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

TOLD = "told: "
LIBRARIES = ("dagster", "duckdb", "pandas", "polars", "pyarrow", "pyspark", "numpy")


class ChildFailedError(Exception):
    """A measured process ended badly; the text is the end of what it said."""


@dataclass
class Measurement:
    """What a child measures of its own work: wall and CPU seconds (all threads), and whatever else it has to say."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    more: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def work(self) -> Iterator[None]:
        wall, cpu = time.monotonic(), cpu_seconds()
        try:
            yield
        finally:
            self.wall_s += time.monotonic() - wall
            self.cpu_s += cpu_seconds() - cpu

    def tell(self) -> None:
        """Hand over to the parent: the last thing that a child does."""
        self.more["peak_mb"] = max(self.more.get("peak_mb", 0.0), _peak_mb())
        print(TOLD + json.dumps({"wall_s": self.wall_s, "cpu_s": self.cpu_s, **self.more}), flush=True)


def cpu_seconds() -> float:
    """User and system seconds of this process and of the children that it has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def run_child(module: str, *arguments: object) -> dict[str, Any]:
    """Run `python -m module arguments` and return what it told, with the CPU seconds and the peak memory of the whole process.

    Raises
    ------
    ChildFailedError
        If it ends badly or tells nothing.
    """
    child = subprocess.Popen(
        [sys.executable, "-m", module, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert child.stdout is not None
    said = child.stdout.read()
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    told = [line.removeprefix(TOLD) for line in said.splitlines() if line.startswith(TOLD)]
    if child.returncode != 0 or not told:
        raise ChildFailedError(
            f"{module} {' '.join(map(str, arguments))} ended with {child.returncode}:\n{said[-3000:]}"
        )
    return json.loads(told[-1]) | {"process_cpu_s": used.ru_utime + used.ru_stime}


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    model = [line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    memory = [int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")]
    return {
        "processor": model[0] if model else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(memory[0] / 1e6, 1) if memory else None,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "libraries": {name: _version(name) for name in LIBRARIES},
    }


def commit(folder: Path, *written: str) -> str:
    """Return the commit of a checkout, and whether files were changed since, but for those that a program writes there."""
    if shutil.which("git") is None:
        return "unknown"

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], capture_output=True, text=True, cwd=folder).stdout.strip()

    but = [f":!{name}" for name in written]
    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", *but)
    return (git("describe", "--always") or "unknown") + ("-dirty" if changed else "")


def load_average() -> float:
    """Return how many processes wanted a core over the last minute."""
    return round(os.getloadavg()[0], 1)


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files of a folder."""
    return path.stat().st_size if path.is_file() else sum(f.stat().st_size for f in path.rglob("*") if f.is_file())


def _peak_mb() -> float:
    """Return this process's peak resident memory; what `wait4` says of a child begins with its parent's."""
    return next(int(line.split()[1]) / 1024 for line in _lines("/proc/self/status") if line.startswith("VmHWM"))


def _lines(path: str) -> list[str]:
    file = Path(path)
    return file.read_text(encoding="utf-8").splitlines() if file.exists() else []


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
