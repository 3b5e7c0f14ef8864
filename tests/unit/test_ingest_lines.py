"""Bytes become the same lines, however they are cut."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from audit_functions.ingest.lines import CHUNK_BYTES, CHUNK_LINES, MAX_LINE_BYTES, Chunk, Lines


def chunks_of(pieces: list[bytes]) -> list[Chunk]:
    lines = Lines()
    chunks = [chunk for piece in pieces for chunk in lines.fed(piece)]
    return [*chunks, lines.finish()]


def lines_of(pieces: list[bytes]) -> tuple[list[tuple[int, bytes]], int]:
    chunks = chunks_of(pieces)
    return [line for chunk in chunks for line in chunk.lines], chunks[-1].through_line


@given(st.lists(st.binary(max_size=20) | st.sampled_from([b"\n", b"\r\n", b"{}\n", b" \n"]), max_size=30))
@example([b"", b"a", b"\n", b"", b"b\nc"])
def test_lines_do_not_depend_on_where_the_bytes_were_cut(pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    texts = whole.split(b"\n")
    count = len(texts) - (texts[-1] == b"")
    wanted = [(at, text) for at, text in enumerate(texts) if text.strip(b" \t\r\x0b\x0c")]
    assert lines_of(pieces) == (wanted, count)


def test_a_chunk_is_full_with_a_thousand_lines_or_a_quarter_mebibyte() -> None:
    short = chunks_of([b"{}\n" * (2 * CHUNK_LINES + 5)])
    assert [len(chunk.lines) for chunk in short] == [CHUNK_LINES, CHUNK_LINES, 5]
    assert [chunk.through_line for chunk in short] == [CHUNK_LINES, 2 * CHUNK_LINES, 2 * CHUNK_LINES + 5]
    long = chunks_of([b"x" * 100_000 + b"\n"] * 6)
    assert all(chunk.size <= CHUNK_BYTES + 100_000 for chunk in long)
    assert len(long) == 3


def test_a_line_beyond_the_limit_is_told_and_not_kept() -> None:
    lines = Lines()
    list(lines.fed(b"a\n"))
    for _ in range(40):
        list(lines.fed(b"x" * 100_000))
        assert len(lines._partial) <= MAX_LINE_BYTES
    list(lines.fed(b"x\nb\n"))
    chunk = lines.finish()
    assert chunk.lines == [(0, b"a"), (2, b"b")]
    assert chunk.too_long == [(1, 4_000_001)]
    assert chunk.through_line == 3


def test_a_line_beyond_the_limit_at_the_end_is_told_too() -> None:
    (chunk,) = chunks_of([b"x" * (MAX_LINE_BYTES + 1)])
    assert (chunk.lines, chunk.too_long, chunk.through_line) == ([], [(0, MAX_LINE_BYTES + 1)], 1)


def test_what_is_complete_may_be_taken_before_the_chunk_is_full() -> None:
    lines = Lines()
    waiting = [lines.waiting]
    list(lines.fed(b'{"a":1}\n{"b"'))
    waiting.append(lines.waiting)
    taken = lines.taken()
    waiting.append(lines.waiting)
    list(lines.fed(b":2}\n"))
    assert waiting == [False, True, False]
    assert taken.lines == [(0, b'{"a":1}')]
    assert lines.finish().lines == [(1, b'{"b":2}')]
