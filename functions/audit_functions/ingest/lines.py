"""A stream of bytes as lines, in pieces that fit a frame with others. Holds one line at most, and no line of any length."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

MAX_LINE_BYTES: Final = 1024 * 1024
CHUNK_BYTES: Final = 256 * 1024
CHUNK_LINES: Final = 1000


class Chunk:
    """Lines that are answered together: those that hold something, by index from 0, and how many lines it ends behind."""

    __slots__ = ("lines", "size", "through_line", "too_long")

    def __init__(self, through_line: int = 0) -> None:
        self.lines: list[tuple[int, bytes]] = []
        self.too_long: list[tuple[int, int]] = []
        self.size = 0
        self.through_line = through_line

    @property
    def is_empty(self) -> bool:
        """Whether nothing in it needs an answer."""
        return not self.lines and not self.too_long


class Lines:
    """Splits at newlines. Blank lines count and are left out; the last line may lack its newline."""

    def __init__(self) -> None:
        self._partial = bytearray()
        self._skipped = 0
        self._chunk = Chunk()

    def fed(self, piece: bytes) -> Iterator[Chunk]:
        """Yield the chunks that are full with this piece."""
        *whole, rest = piece.split(b"\n")
        for line in whole:
            if self._skipped:
                self._add_too_long(self._skipped + len(line))
                self._skipped = 0
            elif self._partial:
                self._partial += line
                self._add(bytes(self._partial))
                self._partial.clear()
            else:
                self._add(line)
            if self._chunk.size >= CHUNK_BYTES or len(self._chunk.lines) >= CHUNK_LINES:
                yield self.taken()
        self._keep(rest)

    def taken(self) -> Chunk:
        """Return the lines that are complete, as a chunk, and begin the next one."""
        chunk = self._chunk
        self._chunk = Chunk(chunk.through_line)
        return chunk

    def finish(self) -> Chunk:
        """Return the last chunk, with what stands behind the last newline."""
        if self._skipped:
            self._add_too_long(self._skipped)
        elif self._partial:
            self._add(bytes(self._partial))
        return self.taken()

    @property
    def waiting(self) -> bool:
        """Whether complete lines wait for their chunk to fill."""
        return not self._chunk.is_empty

    def _keep(self, rest: bytes) -> None:
        if self._skipped:
            self._skipped += len(rest)
        elif len(self._partial) + len(rest) > MAX_LINE_BYTES:
            self._skipped = len(self._partial) + len(rest)
            self._partial.clear()
        else:
            self._partial += rest

    def _add(self, line: bytes) -> None:
        if len(line) > MAX_LINE_BYTES:
            self._add_too_long(len(line))
            return
        chunk = self._chunk
        if line and not line.isspace():
            chunk.lines.append((chunk.through_line, line))
            chunk.size += len(line)
        chunk.through_line += 1

    def _add_too_long(self, size: int) -> None:
        self._chunk.too_long.append((self._chunk.through_line, size))
        self._chunk.through_line += 1
