"""Bytes that can be looked at before they are taken: what text is cut out of. Not here: what is cut (`csv_pieces`, `json_texts`)."""

from typing import BinaryIO

from profile_pipeline.raw.readers.bytes import BLOCK_BYTES


class Buffer:
    """A stream of bytes that can be looked at before it is taken.

    Attributes
    ----------
    place
        How many bytes were taken.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._held, self._at, self._is_end = b"", 0, False
        self.place = 0

    def look(self, n_bytes: int) -> bytes:
        """Return the next bytes without taking them; fewer where the stream ends."""
        self._fill(n_bytes)
        return self._held[self._at : self._at + n_bytes]

    def skip(self, n_bytes: int) -> None:
        """Take bytes that were looked at."""
        self._at += n_bytes
        self.place += n_bytes

    def is_all(self, n_bytes: int) -> bool:
        """Say whether the stream ends after so many bytes that were looked at."""
        self._fill(n_bytes + 1)
        return len(self._held) - self._at == n_bytes

    def line_size(self, start: int, longest: int) -> int | None:
        """Return how long the line is, its end (LF, CRLF or CR) included, that begins so many bytes from here.

        None: there is none, or it is longer than it may be.
        """
        known = 0
        while True:
            begin = self._at + start
            newline = self._held.find(b"\n", begin + known)
            single = self._held.find(b"\r", begin + known, newline if newline >= 0 else len(self._held))
            if 0 <= single < len(self._held) - 1:
                newline = single + 1 if self._held[single + 1 : single + 2] == b"\n" else single
            if newline >= 0 and newline + 1 - begin <= longest:
                return newline + 1 - begin
            size = len(self._held) - begin
            if newline >= 0 or size > longest:
                return None
            if self._is_end:
                return size or None
            # A carriage return at the end of what is held may be half of a line end.
            known = max(0, size - 1)
            self._fill(start + size + BLOCK_BYTES)

    def skip_line(self) -> None:
        """Take what is left of a line that is too long, holding none of it."""
        while (block := self.look(BLOCK_BYTES)) and not any(mark in block for mark in (b"\n", b"\r")):
            self.skip(len(block))
        self.skip(self.line_size(0, 2 * BLOCK_BYTES) or 0)

    def _fill(self, n_bytes: int) -> None:
        missing = n_bytes - (len(self._held) - self._at)
        while missing > 0 and not self._is_end:
            block = self._stream.read(missing)
            self._is_end = not block
            self._held, self._at = self._held[self._at :] + block, 0
            missing -= len(block)
