"""A process of its own that reads files and hands over typed batches: what kills or stops it, a file did.

It is started as a module, with its limits as arguments, and asked line by line; it answers in frames. Not here: the side that asks
(`orchestration.building.reading_apart`).
"""

import contextlib
import json
import os
import resource
import signal
import struct
import sys
from pathlib import Path
from typing import Any, BinaryIO

import duckdb
import pyarrow as pa

from profile_pipeline.raw.readers.bytes import FileRefused
from profile_pipeline.raw.readers.evaluate import connect
from profile_pipeline.raw.readers.read import read_file
from profile_pipeline.source_settings import SourceSettings

# A frame: what it is, how many bytes follow.
HEAD = struct.Struct(">cQ")
OPENED, BATCH, COUNT, REJECTED, REFUSED = b"o", b"b", b"n", b"r", b"f"


def table_of(payload: bytes) -> pa.Table:
    """Return the table of a frame."""
    return pa.ipc.open_stream(payload).read_all()


def _bytes_of(table: pa.Table) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _send(out: BinaryIO, kind: bytes, payload: bytes | pa.Buffer) -> None:
    out.write(HEAD.pack(kind, len(payload)))
    out.write(payload)
    out.flush()


def _answer(asked: dict[str, Any], engine: duckdb.DuckDBPyConnection, out: BinaryIO, seconds: float) -> None:
    source = SourceSettings.model_validate(asked["source"])
    # Time of the processor: a machine that is busy elsewhere takes nothing from a file.
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        read = read_file(Path(asked["path"]), name=asked["name"], source=source, engine=engine)
        _send(out, OPENED, b"")
        for batch in read.batches:
            _send(out, BATCH, _bytes_of(batch))
            signal.setitimer(signal.ITIMER_PROF, seconds)
        _send(out, COUNT, str(read.n_records).encode())
        _send(out, REJECTED, _bytes_of(read.rejected))
    except FileRefused as refusal:
        _send(out, REFUSED, json.dumps([refusal.reason, refusal.detail]).encode())
    except MemoryError:
        _send(out, REFUSED, json.dumps(["reader_died", "it needs more memory than a reader may have"]).encode())
    except Exception as error:
        # A file that finds a fault of a reader is one bad file. Its words may hold what the file says.
        _send(out, REFUSED, json.dumps(["reader_failed", type(error).__name__]).encode())
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def main(memory_bytes: int, seconds: float) -> None:
    """Answer until nobody asks any more."""
    # Who started it may ignore or hold back signals, which is inherited: a reader can always be stopped.
    for told in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(told, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGHUP})
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        # What is really written to: allocators reserve address space by gigabytes.
        resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    # What a library prints must not come between the frames.
    with os.fdopen(os.dup(1), "wb") as out, contextlib.closing(connect()) as engine:
        os.dup2(2, 1)
        for line in sys.stdin.buffer:
            _answer(json.loads(line), engine, out, seconds)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
