"""Compressed bodies, decompressed piece by piece: the ratio and what is held at once are bounded, whatever was sent."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final, Protocol

import zstandard

from audit_core.errors import BodyTooLarge, InvalidEvent, UnsupportedMedia

MAX_RATIO: Final = 100
_FREE_BYTES: Final = 1024 * 1024
"""A body that stays below this may have any ratio."""
_PIECE_BYTES: Final = 256 * 1024
_GZIP_WINDOW: Final = 31
_ZSTD_MAX_WINDOW: Final = 8 * 1024 * 1024
# One block of four bytes may stand for 128 KiB, so this many bytes never give more than 16 MiB at once.
_ZSTD_SLICE_BYTES: Final = 512
_ZSTD_WRITE_BYTES: Final = 64 * 1024


class Decoder(Protocol):
    """Turns what arrives into what was sent."""

    def fed(self, data: bytes) -> Iterator[bytes]:
        """Yield what `data` decodes to, in pieces of bounded size. Raises InvalidEvent, BodyTooLarge."""
        ...

    def finish(self) -> None:
        """Raise InvalidEvent unless the body ended where it should."""
        ...


def decoder(content_encoding: bytes | None) -> Decoder | None:
    """Return the decoder for a Content-Encoding, None when there is nothing to decode. Raises UnsupportedMedia."""
    if content_encoding is None:
        return None
    match content_encoding.strip().lower():
        case b"identity" | b"":
            return None
        case b"gzip" | b"x-gzip":
            return _Bounded(_Gzip())
        case b"zstd":
            return _Bounded(_Zstd())
        case other:
            raise UnsupportedMedia(f"content encoding {other[:40].decode('latin-1')!r}")


class _Bounded:
    """A decoder that stops when what comes out is out of proportion to what went in."""

    def __init__(self, inner: Decoder) -> None:
        self._inner = inner
        self._in = 0
        self._out = 0

    def fed(self, data: bytes) -> Iterator[bytes]:
        self._in += len(data)
        for piece in self._inner.fed(data):
            self._out += len(piece)
            allowed = max(_FREE_BYTES, MAX_RATIO * self._in)
            if self._out > allowed:
                raise BodyTooLarge(MAX_RATIO, "times its compressed size")
            yield piece

    def finish(self) -> None:
        self._inner.finish()


class _Gzip:
    """gzip, of one member or several."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(_GZIP_WINDOW)
        self._started = False

    def fed(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._stream.eof:
                self._stream = zlib.decompressobj(_GZIP_WINDOW)
            self._started = True
            try:
                piece = self._stream.decompress(data, _PIECE_BYTES)
            except zlib.error as error:
                raise InvalidEvent("", "broken gzip") from error
            data = self._stream.unused_data if self._stream.eof else self._stream.unconsumed_tail
            if piece:
                yield piece

    def finish(self) -> None:
        if self._started and not self._stream.eof:
            raise InvalidEvent("", "gzip that is cut off")


class _Zstd:
    """Zstandard, of one frame or several."""

    def __init__(self) -> None:
        self._decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_MAX_WINDOW)
        self._stream = self._new()
        self._started = False

    def _new(self) -> zstandard.ZstdDecompressionObj:
        return self._decompressor.decompressobj(write_size=_ZSTD_WRITE_BYTES)

    def fed(self, data: bytes) -> Iterator[bytes]:
        view = memoryview(data)
        for start in range(0, len(view), _ZSTD_SLICE_BYTES):
            yield from self._sliced(bytes(view[start : start + _ZSTD_SLICE_BYTES]))

    def _sliced(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._stream.eof:
                self._stream = self._new()
            self._started = True
            try:
                piece = self._stream.decompress(data)
            except zstandard.ZstdError as error:
                raise InvalidEvent("", "broken zstd") from error
            data = self._stream.unused_data if self._stream.eof else b""
            if piece:
                yield piece

    def finish(self) -> None:
        if self._started and not self._stream.eof:
            raise InvalidEvent("", "zstd that is cut off")
