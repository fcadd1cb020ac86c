"""Files read in a process of their own, so that one that crashes, fills or stops its reader is a bad file and no more.

The process is spawned, not forked: it holds no lock and no descriptor of this one. Not here: what it does (`raw.readers.child`), or
which files are read there (`ingesting`).
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa

from profile_pipeline.errors import ExpectedError
from profile_pipeline.raw.readers.bytes import FileRefused
from profile_pipeline.raw.readers.child import BATCH, COUNT, HEAD, OPENED, REFUSED, REJECTED, table_of
from profile_pipeline.raw.readers.read import FileRead
from profile_pipeline.source_settings import SourceSettings

MEMORY_BYTES = 4 << 30
SECONDS_A_BATCH = 20.0
# Somebody ends a reader with these, no file does.
_FROM_OUTSIDE = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PACKAGE = Path(__file__).parents[3]


class ReaderStoppedError(ExpectedError):
    """The reader was told to stop: the run goes with it."""


class ReaderApart:
    """A reader in a process of its own, started at the first file and again after it died.

    Parameters
    ----------
    memory_bytes
        Memory that it may take; where the system keeps no such limit, it has none.
    seconds
        Time of the processor that it may take for 100,000 records.
    """

    def __init__(self, *, memory_bytes: int = MEMORY_BYTES, seconds: float = SECONDS_A_BATCH) -> None:
        self.memory_bytes, self.seconds = memory_bytes, seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._is_answering = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def process_id(self) -> int | None:
        """The process that reads; None: there is none now."""
        return self._process.pid if self._process else None

    def close(self) -> None:
        """End the process, whatever it does."""
        process, self._process, self._is_answering = self._process, None, False
        if process is not None:
            process.kill()
            process.communicate()

    def read(self, path: Path, *, name: str, source: SourceSettings) -> FileRead:
        """Read a file, as `raw.readers.read.read_file` does.

        Raises
        ------
        FileRefused
            If it is bad as a whole, or ends its reader; also while `batches` are taken.
        ReaderStoppedError
            If somebody else ended the reader.
        """
        if self._is_answering:
            self.close()
        process = self._started()
        asked = {"path": os.fspath(path.resolve()), "name": name, "source": source.model_dump(mode="json")}
        assert process.stdin is not None
        self._is_answering = True
        try:
            process.stdin.write(json.dumps(asked).encode() + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            raise self._ended() from None
        kind, _ = self._frame()
        assert kind == OPENED, kind
        told: dict[bytes, bytes] = {}
        return FileRead(self._batches(told), lambda: int(told[COUNT]), lambda: table_of(told[REJECTED]))

    def _started(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            self._process = subprocess.Popen(
                [
                    sys.executable, "-P", "-m", "profile_pipeline.raw.readers.child", str(self.memory_bytes), str(self.seconds),
                ],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                env=dict(os.environ) | {"PYTHONPATH": str(_PACKAGE), "ARROW_DEFAULT_MEMORY_POOL": "system"},
            )  # fmt: skip
        return self._process

    def _batches(self, told: dict[bytes, bytes]) -> Iterator[pa.Table]:
        """Yield the batches, and keep what is told after them."""
        while REJECTED not in told:
            kind, payload = self._frame()
            if kind == BATCH:
                yield table_of(payload)
            else:
                told[kind] = payload
        self._is_answering = False

    def _frame(self) -> tuple[bytes, bytes]:
        assert self._process is not None and self._process.stdout is not None
        head = self._process.stdout.read(HEAD.size)
        if len(head) < HEAD.size:
            raise self._ended()
        kind, size = HEAD.unpack(head)
        payload = self._process.stdout.read(size)
        if len(payload) < size:
            raise self._ended()
        if kind == REFUSED:
            self._is_answering = False
            raise FileRefused(*json.loads(payload))
        assert kind in (OPENED, BATCH, COUNT, REJECTED), kind
        return kind, payload

    def _ended(self) -> Exception:
        """Say why the process is no more."""
        assert self._process is not None
        code = self._process.wait()
        self.close()
        if -code in _FROM_OUTSIDE:
            return ReaderStoppedError(f"the reader of files was told to stop (signal {-code}); start the command again")
        if -code == signal.SIGPROF:
            return FileRefused("reader_stuck", f"100,000 records or less took it more than {self.seconds:g} s")
        return FileRefused("reader_died", f"signal {-code}" if code < 0 else f"exit code {code}")
