"""Bytes that can be looked at before they are taken: what text is cut out of. Not here: what is cut (`csv_pieces`, `json_texts`)."""

from typing import BinaryIO

from profile_pipeline.raw.readers.bytes import BLOCK_BYTES

SHORT_LINE_BYTES = 4 << 10


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

    def look(self, n_bytes: int, start: int = 0) -> bytes:
        """Return the next bytes, or those so many bytes from here, without taking them; fewer where the stream ends."""
        # One more, so that `is_all` does not move what is held for it.
        self._fill(start + n_bytes + 1)
        return self._held[self._at + start : self._at + start + n_bytes]

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
        # How much of the line has been searched, and how much is searched at once: it may be short, and much be held.
        searched, window = 0, SHORT_LINE_BYTES
        while True:
            begin, n_held = self._at + start, len(self._held)
            until = min(n_held, begin + searched + window)
            end = self._held.find(b"\n", begin + searched, until)
            single = self._held.find(b"\r", begin + searched, end if end >= 0 else until)
            if 0 <= single < n_held - 1 or (single >= 0 and self._is_end):
                end = single + 1 if self._held[single + 1 : single + 2] == b"\n" else single
            if end >= 0:
                return end + 1 - begin if end + 1 - begin <= longest else None
            size = until - begin
            if size > longest:
                return None
            if until < n_held:
                searched, window = size, 2 * window
            elif self._is_end:
                return size or None
            else:
                # A carriage return at the end of what is held may be half of a line end.
                searched = max(0, size - 1)
                self._fill(start + size + BLOCK_BYTES)

    def skip_line(self) -> None:
        """Take what is left of a line, holding none of it."""
        while (block := self.look(BLOCK_BYTES)) and not any(mark in block for mark in (b"\n", b"\r")):
            self.skip(len(block))
        self.skip(self.line_size(0, 2 * BLOCK_BYTES) or 0)

    def skip_blank_lines(self) -> None:
        """Take the line ends that come next."""
        while self.look(1) in (b"\n", b"\r"):
            block = self.look(SHORT_LINE_BYTES)
            self.skip(len(block) - len(block.lstrip(b"\r\n")))

    def _fill(self, n_bytes: int) -> None:
        missing = n_bytes - (len(self._held) - self._at)
        while missing > 0 and not self._is_end:
            block = self._stream.read(missing)
            self._is_end = not block
            self._held, self._at = self._held[self._at :] + block, 0
            missing -= len(block)
