"""The bytes of a file: opened by what they are, decompressed, in UTF-8.

Not here: records. Compression is told by content, because the archive keeps no file names.
"""

import bz2
import codecs
import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import zstandard

BLOCK_BYTES = 1 << 20
# 2 KiB of Zstandard can become 64 MiB.
PACKED_BLOCK_BYTES, FRAME_PIECE_BYTES = 64 << 10, 2 << 10
# A longer line is no record: of it only the beginning is held, so memory does not grow with it.
LONGEST_LINE_BYTES = 32 << 20
# What unpacks to more than both is made to fill a machine; real logs are packed to a hundredth at best.
MOST_UNPACKED_BYTES, MOST_TIMES = 256 << 20, 250
# What may follow the last packed member: it is handed on as text, so that it ends among the rejected records.
MOST_TRAILING_BYTES = 64 << 10
_GZIP, _BZIP2, _ZSTD = b"\x1f\x8b", b"BZh", b"\x28\xb5\x2f\xfd"
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
    except (EOFError, zlib.error, zstandard.ZstdError, _DamagedError) as error:
        raise FileRefused("damaged_compression", str(error)) from None


class _DamagedError(Exception):
    pass


def open_binary(path: Path) -> BinaryIO:
    """Open a file; what gzip, bzip2 or Zstandard packed is unpacked while it is read."""
    raw = path.open("rb")
    head = raw.read(4)
    raw.seek(0)
    if head[:2] == _GZIP:
        unpacked = _Unpacked(raw, lambda: zlib.decompressobj(31), _GZIP)
    elif head[:3] == _BZIP2 and head[3:4].isdigit():
        unpacked = _Unpacked(raw, bz2.BZ2Decompressor, _BZIP2)
    elif head == _ZSTD:
        unpacked = _Unpacked(raw, _ZstandardFrame, _ZSTD)
    else:
        return raw
    return io.BufferedReader(_Weighed(raw, unpacked), BLOCK_BYTES)  # type: ignore[return-value]


def is_packed(head: bytes) -> bool:
    """Say whether the first four bytes of a file are those of a packed one."""
    return head[:2] == _GZIP or (head[:3] == _BZIP2 and head[3:4].isdigit()) or head == _ZSTD


class _Unpacked(io.RawIOBase):
    """What the members of a packed file hold, one after another; their checksums are verified.

    Zeros between them are padding. Anything else that is no member stands at the end as a line of its own.
    """

    def __init__(self, source: BinaryIO, member: Callable[[], Any], magic: bytes) -> None:
        self._source, self._member, self._magic = source, member, magic
        self._decoder = member()
        self._packed = b""
        self._ready = memoryview(b"")
        self._is_whole = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]
        while not self._ready and not self._is_whole:
            self._ready = memoryview(self._next(len(buffer)))
        n = min(len(buffer), len(self._ready))
        buffer[:n], self._ready = self._ready[:n], self._ready[n:]
        return n

    def _next(self, limit: int) -> bytes:
        if self._decoder.eof:
            return self._begin_member(self._decoder.unused_data)
        if not self._packed and getattr(self._decoder, "needs_input", True):
            self._packed = self._source.read(PACKED_BLOCK_BYTES)
            if not self._packed:
                raise EOFError("the file ends before what is packed in it")
        try:
            found: bytes = self._decoder.decompress(self._packed, limit)
        except OSError as error:  # bzip2 says damage so
            raise _DamagedError(str(error)) from None
        self._packed = getattr(self._decoder, "unconsumed_tail", b"")
        return found

    def _begin_member(self, rest: bytes) -> bytes:
        """Begin the next member, or return what is none, which ends the file."""
        while len(rest := rest.lstrip(b"\x00")) < len(self._magic) and (more := self._source.read(PACKED_BLOCK_BYTES)):
            rest += more
        if rest.startswith(self._magic):
            self._decoder, self._packed = self._member(), rest
            return b""
        rest += self._source.read(MOST_TRAILING_BYTES)
        if len(rest) > MOST_TRAILING_BYTES:
            raise _DamagedError("what follows the packed data is not packed")
        self._is_whole = True
        return b"\n" + rest if rest else b""


class _ZstandardFrame:
    """One frame, with the interface of the other decoders. Its own reader takes a frame that is cut for a whole one."""

    def __init__(self) -> None:
        self._frame = zstandard.ZstdDecompressor(max_window_size=128 << 20).decompressobj()
        self.unconsumed_tail = self.unused_data = b""

    @property
    def eof(self) -> bool:
        return bool(self._frame.eof)

    def decompress(self, packed: bytes, _: int) -> bytes:
        """Unpack the beginning of it: a limit of what comes out is unknown here, and a little can become much."""
        found: bytes = self._frame.decompress(packed[:FRAME_PIECE_BYTES])
        self.unconsumed_tail = packed[FRAME_PIECE_BYTES:]
        if self.eof:
            self.unused_data, self.unconsumed_tail = self._frame.unused_data + self.unconsumed_tail, b""
        return found


class _Weighed(io.RawIOBase):
    """A stream of unpacked bytes that refuses to go on when they are out of all proportion to the packed ones."""

    def __init__(self, packed: BinaryIO, unpacked: Any) -> None:
        self._packed, self._unpacked, self._n_bytes = packed, unpacked, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]
        n = int(self._unpacked.readinto(buffer))
        self._n_bytes += n
        if self._n_bytes > MOST_UNPACKED_BYTES and self._n_bytes > MOST_TIMES * self._packed.tell():
            raise FileRefused("unpacks_too_large", f"it unpacks to more than {MOST_TIMES} times its size")
        return n

    def close(self) -> None:
        self._packed.close()
        super().close()


_INVALID = "profile_pipeline.invalid"


def _kept_invalid(error: UnicodeError) -> tuple[str, int]:
    """What is no text of an encoding as characters that become bytes that are no UTF-8."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    found = error.object[error.start : error.end]
    return "".join(chr(0xDC00 + max(byte, 0x80)) for byte in found), error.end


codecs.register_error(_INVALID, _kept_invalid)


class _Recoded(io.RawIOBase):
    """A stream in another encoding as UTF-8; bytes that are not of the encoding stay invalid, so that their record is found."""

    def __init__(self, source: BinaryIO, encoding: str) -> None:
        self._source = source
        self._encoding = encoding
        self._decoder = codecs.getincrementaldecoder(encoding)(_INVALID)
        self._held = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]
        while not self._held:
            block = self._source.read(BLOCK_BYTES)
            try:
                text = self._decoder.decode(block, final=not block)
            except UnicodeError as error:
                # Not a byte that is none, which is kept for its record: the file as a whole, as without a byte order mark.
                raise FileRefused("wrong_encoding", f"the file is not {self._encoding}: {error}") from None
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
    """Return the lines that are not blank, without their line feed; of one that is too long only what shows that it is."""
    held, is_cut = b"", False
    with refusing_damage(), open_utf8(path, encoding) as stream:
        while block := stream.read(BLOCK_BYTES):
            if is_cut:
                end = block.find(b"\n")
                if end < 0:
                    continue
                block, is_cut = block[end:], False
            lines = (held + block).split(b"\n")
            held = lines.pop()
            yield from (line for line in lines if line.strip())
            if len(held) > LONGEST_LINE_BYTES:
                held, is_cut = held[: LONGEST_LINE_BYTES + 1], True
    if held.strip():
        yield held


def count_lines(path: Path, encoding: str) -> int:
    """Count the lines that are not blank.

    Raises
    ------
    FileRefused
        If there is nothing in the file, and it is not packed.
    """
    n_lines = sum(1 for _ in lines_of(path, encoding))
    if not n_lines:
        refuse_nothing(path)
    return n_lines


def refuse_nothing(path: Path) -> None:
    """Refuse a file in which there is nothing: it may have been cut. One that is packed, and whole, says so itself: no record.

    Raises
    ------
    FileRefused
        If it is not packed.
    """
    with path.open("rb") as source:
        if not is_packed(source.read(4)):
            raise FileRefused("empty_file", "found nothing in it, expected at least one record")
