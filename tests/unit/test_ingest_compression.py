"""Compressed bodies decode to what was compressed, and nothing makes them grow out of bounds."""

from __future__ import annotations

import gzip
import os
import zlib

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from audit_core.errors import BodyTooLarge, InvalidEvent, UnsupportedMedia
from audit_functions.ingest.compression import Decoder, decoder


def decoded(encoding: bytes, body: bytes, cut: int = 65536) -> bytes:
    """Decode a body that arrives in pieces of `cut` bytes."""
    decode = _decoder(encoding)
    found = b"".join(
        piece for start in range(0, len(body), cut) for piece in decode.fed(body[start : start + cut])
    )
    decode.finish()
    return found


def _decoder(encoding: bytes) -> Decoder:
    found = decoder(encoding)
    assert found is not None
    return found


def zstd(body: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(body)


@given(st.binary(max_size=5000), st.integers(1, 700))
def test_what_was_compressed_comes_back_however_it_is_cut(body: bytes, cut: int) -> None:
    assert decoded(b"gzip", gzip.compress(body), cut) == body
    assert decoded(b"zstd", zstd(body), cut) == body


def test_several_members_or_frames_are_one_body() -> None:
    assert decoded(b"gzip", gzip.compress(b"one") + gzip.compress(b"two"), 7) == b"onetwo"
    assert decoded(b"zstd", zstd(b"one") + zstd(b"two"), 7) == b"onetwo"


@pytest.mark.parametrize("encoding", [None, b"", b"identity", b" Identity "])
def test_nothing_to_decode_needs_no_decoder(encoding: bytes | None) -> None:
    assert decoder(encoding) is None


@pytest.mark.parametrize("encoding", [b"br", b"deflate", b"gzip, gzip", b"gzip,zstd", b"compress", b"\xff"])
def test_other_encodings_are_refused(encoding: bytes) -> None:
    with pytest.raises(UnsupportedMedia):
        decoder(encoding)


@pytest.mark.parametrize("encoding", [b"gzip", b"zstd"])
@pytest.mark.parametrize("damage", ["cut", "tail", "middle"])
def test_a_damaged_body_is_refused(encoding: bytes, damage: str) -> None:
    plain = os.urandom(10_000)
    body = bytearray(
        gzip.compress(plain)
        if encoding == b"gzip"
        else zstandard.ZstdCompressor(write_checksum=True).compress(plain)
    )
    if damage == "cut":
        del body[-3:]
    else:
        body[-1 if damage == "tail" else 20] ^= 0xFF
    with pytest.raises(InvalidEvent) as refused:
        decoded(encoding, bytes(body))
    assert refused.value.path == ""


def bomb(encoding: bytes, mebibytes: int) -> bytes:
    plain = bytes(1 << 20)
    if encoding == b"zstd":
        compressor = zstandard.ZstdCompressor().compressobj()
    else:
        compressor = zlib.compressobj(9, wbits=31)  # type: ignore[assignment]  # both compress and flush
    return b"".join([compressor.compress(plain) for _ in range(mebibytes)] + [compressor.flush()])


@pytest.mark.parametrize("encoding", [b"gzip", b"zstd"])
def test_a_bomb_is_refused_before_it_unfolds(encoding: bytes) -> None:
    unfolded = 0

    def unfold() -> None:
        nonlocal unfolded
        for piece in _decoder(encoding).fed(bomb(encoding, 64)):
            unfolded += len(piece)

    with pytest.raises(BodyTooLarge):
        unfold()
    assert unfolded < 32 << 20


@pytest.mark.parametrize("encoding", [b"gzip", b"zstd"])
def test_what_compresses_well_is_no_bomb_while_it_is_small(encoding: bytes) -> None:
    plain = bytes(1_000_000)
    body = gzip.compress(plain) if encoding == b"gzip" else zstd(plain)
    assert decoded(encoding, body) == plain
