"""The bytes of a file: opened by what they are, decompressed, in UTF-8.

Not here: records. Compression is told by content, because the archive keeps no file names.
"""

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import zstandard

BLOCK_BYTES = 1 << 20
_UTF16_BOMS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class FileRefused(Exception):
    """A file is bad as a whole: nothing of it is loaded, its bytes are kept."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


@contextmanager
def refusing_damage() -> Iterator[None]:
    """Turn what decompression and reading say about damage into a refusal."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile, zstandard.ZstdError) as error:
        raise FileRefused("damaged_compression", str(error)) from None


def open_binary(path: Path) -> BinaryIO:
    """Open a file; .gz and .zst are decompressed while it is read."""
    raw = path.open("rb")
    head = raw.read(4)
    raw.seek(0)
    if head[:2] == b"\x1f\x8b":
        return gzip.GzipFile(fileobj=raw, mode="rb")  # type: ignore[return-value]
    if head == b"\x28\xb5\x2f\xfd":
        reader = zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True)
        return io.BufferedReader(reader, BLOCK_BYTES)  # type: ignore[arg-type]
    return raw


class _Recoded(io.RawIOBase):
    """A stream in another encoding as UTF-8; bytes that are not of the encoding stay invalid, so that their record is found."""

    def __init__(self, source: BinaryIO, encoding: str) -> None:
        self._source = source
        self._decoder = codecs.getincrementaldecoder(encoding)(
            "surrogateescape"
            if encoding.lower().replace("_", "-") not in ("utf-16", "utf-16-le", "utf-16-be", "utf-32")
            else "replace"
        )
        self._held = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]
        while not self._held:
            block = self._source.read(BLOCK_BYTES)
            text = self._decoder.decode(block, final=not block)
            self._held = text.encode("utf-8", "surrogateescape")
            if not block:
                break
        n = min(len(buffer), len(self._held))
        buffer[:n], self._held = self._held[:n], self._held[n:]
        return n


def open_utf8(path: Path, encoding: str) -> BinaryIO:
    """Open a text file as UTF-8 without byte order mark.

    Raises
    ------
    FileRefused
        If it is UTF-16 and the source does not say so.
    """
    stream = open_binary(path)
    with refusing_damage():
        head = stream.read(4)
        is_utf8 = codecs.lookup(encoding).name in ("utf-8", "utf-8-sig", "ascii")
        if is_utf8 and head[:2] in _UTF16_BOMS:
            raise FileRefused(
                "wrong_encoding", f"found the byte order mark of UTF-16, expected {encoding}: set `encoding: utf-16`"
            )
        # Opened again and not rewound: a stream of zstd can't go back.
        stream.close()
        stream = open_binary(path)
        if is_utf8:
            if head[:3] == codecs.BOM_UTF8:
                stream.read(3)
            return stream
    return io.BufferedReader(_Recoded(stream, encoding), BLOCK_BYTES)  # type: ignore[return-value]


def lines_of(path: Path, encoding: str) -> Iterator[bytes]:
    """Return the lines that are not blank, without their line feed."""
    with refusing_damage(), open_utf8(path, encoding) as stream:
        held = b""
        while block := stream.read(BLOCK_BYTES):
            lines = (held + block).split(b"\n")
            held = lines.pop()
            yield from (line for line in lines if line.strip())
    if held.strip():
        yield held


def count_lines(path: Path, encoding: str) -> int:
    """Count the lines that are not blank."""
    return sum(1 for _ in lines_of(path, encoding))
