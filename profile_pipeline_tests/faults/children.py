"""Processes that are killed: one process loads the project once, and forks a child for each try.

Here belong what a child does, its crash points, and how it is killed. Not here: any test, or what must be true afterwards.
"""

import contextlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import duckdb

from profile_pipeline.cli import main
from profile_pipeline_tests.conftest import ROOT
from profile_pipeline_tests.faults.tiny_world import FIRST, LAST_DAY, deliver, runner, write_deliveries

CHANGES = re.compile(r"^(begin|commit|insert|delete|update|create (table|schema)|alter|checkpoint)", re.IGNORECASE)
# Files of functions that pass on what others asked.
BETWEEN = ("/warehouse/duckdb.py", "/contextlib.py", "/duckdb/__init__.py")
IS_TEMPORARY = re.compile(r"^create (or replace )?temp", re.IGNORECASE)


@dataclass(frozen=True)
class Ended:
    """How a child ended: exit status (-9: killed), seconds, and what it said."""

    status: int
    seconds: float
    said: str


class Children:
    """The process that forks; `try_step` has it fork a child and wait for its end."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )  # fmt: skip
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process.wait(60)

    def try_step(
        self, step: str, data: Path, *, kill_after: float | None = None, crash_at: int | None = None, points: Path | None = None,
        uid: int | None = None, file_bytes: int | None = None, arguments: Sequence[str] = (), environment: Mapping[str, str] | None = None,
    ) -> Ended:  # fmt: skip
        """Run a step in a child.

        Parameters
        ----------
        kill_after
            Seconds after which it is killed.
        crash_at
            Number of the crash point, from 0, at which it kills itself.
        points
            Where the names of the crash points that it passes are written.
        uid
            User as whom it runs.
        file_bytes
            How large a file may grow.
        arguments, environment
            Of a `command`, after its name.
        """
        asked = {
            "step": step,
            "data": str(data),
            "kill_after": kill_after,
            "crash_at": crash_at,
            "points": str(points or ""),
            "uid": uid,
            "file_bytes": file_bytes,
            "arguments": list(arguments),
            "environment": dict(environment or {}),
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return Ended(**json.loads(self._process.stdout.readline()))


# ---- in the child


def run(data: Path, *_: str) -> None:
    """What `profile-pipeline run` does."""
    r = runner(data)
    with r.publishing_once():
        r.ingest()
        r.build_all()
    r.instance.dispose()


def backfill(data: Path, *_: str) -> None:
    """What `profile-pipeline run --from --to` does."""
    r = runner(data)
    with r.publishing_once():
        r.ingest()
        r.build_range(FIRST, LAST_DAY)
    r.instance.dispose()


def command(data: Path, *arguments: str) -> None:
    """A command, from the words that a person types; what it prints is what the child said."""
    sys.argv = ["profile-pipeline", *arguments, "--data", str(data), "--config", str(data / "profile.yaml")]
    main()


STEPS: dict[str, Callable[..., None]] = {"run": run, "backfill": backfill, "command": command}


def _install_crash_points(crash_at: int | None, points: str) -> None:
    """Count what changes a disk: statements that change tables, before and after a commit, and files moved, removed or synced."""
    passed = 0

    def point(name: str) -> None:
        nonlocal passed
        if points:
            with Path(points).open("a", encoding="utf-8") as written:
                written.write(f"{name}\n")
        if passed == crash_at:
            os.kill(os.getpid(), signal.SIGKILL)
        passed += 1

    execute = duckdb.DuckDBPyConnection.execute

    def counted_execute(self: Any, query: str, *arguments: Any, **named: Any) -> Any:
        text = " ".join(str(query).split())
        if not CHANGES.match(text) or IS_TEMPORARY.match(text):
            return execute(self, query, *arguments, **named)
        place = f"{_caller()}: {re.sub(r'[0-9]+', '0', text)[:60]}"
        point(f"before {place}")
        found = execute(self, query, *arguments, **named)
        if text.startswith("commit"):
            point(f"after {place}")
        return found

    duckdb.DuckDBPyConnection.execute = counted_execute  # type: ignore[method-assign]

    def around(owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def counted(first: Any, *arguments: Any, **named: Any) -> Any:
            place = f"{_caller()}: {name}"
            if "profile_pipeline" not in place:
                return original(first, *arguments, **named)
            point(f"before {place}")
            found = original(first, *arguments, **named)
            point(f"after {place}")
            return found

        setattr(owner, name, counted)

    for owner, name in ((Path, "replace"), (Path, "unlink"), (Path, "touch"), (Path, "write_text"), (os, "fsync")):
        around(owner, name)


def _caller() -> str:
    """The function of a stage or of the orchestration that asked, for a name that a reader can find."""
    frame = sys._getframe(2)
    while frame is not None and frame.f_code.co_filename.endswith(BETWEEN):
        frame = frame.f_back
    file, _, rest = frame.f_code.co_filename.partition("/profile_pipeline/")
    return f"profile_pipeline/{rest} {frame.f_code.co_name}" if rest else file


def _forked(asked: dict[str, Any]) -> Ended:
    with tempfile.TemporaryFile("w+") as said:
        started = time.monotonic()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                os.setpgid(0, 0)
                os.environ.update(asked["environment"])
                if asked["file_bytes"]:
                    resource.setrlimit(resource.RLIMIT_FSIZE, (asked["file_bytes"], asked["file_bytes"]))
                if asked["uid"]:
                    os.setuid(asked["uid"])
                for stream in (1, 2):
                    os.dup2(said.fileno(), stream)
                if asked["crash_at"] is not None or asked["points"]:
                    _install_crash_points(asked["crash_at"], asked["points"])
                STEPS[asked["step"]](Path(asked["data"]), *asked["arguments"])
                status = 0
            except SystemExit as ended:
                status = int(ended.code or 0)
            except BaseException:
                said.write(traceback.format_exc())
                said.flush()
            finally:
                sys.stdout.flush()
                os._exit(status)
        # Here too: it may be killed before it has come so far, and it may have ended already.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.setpgid(pid, pid)
        while True:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                break
            if asked["kill_after"] is not None and time.monotonic() - started >= asked["kill_after"]:
                os.killpg(pid, signal.SIGKILL)
                asked["kill_after"] = None
            time.sleep(0.002)
        said.seek(0)
        return Ended(os.waitstatus_to_exitcode(status), time.monotonic() - started, said.read())


def serve() -> None:
    """Load everything by running once, then fork a child for each line."""
    with tempfile.TemporaryDirectory() as folder:
        write_deliveries(Path(folder) / "deliveries")
        data = Path(folder) / "data"
        deliver(Path(folder) / "deliveries", "first", data)
        run(data)
        shutil.rmtree(data)
    for line in sys.stdin:
        ended = _forked(json.loads(line))
        sys.__stdout__.write(json.dumps(ended.__dict__) + "\n")
        sys.__stdout__.flush()


if __name__ == "__main__":
    serve()
