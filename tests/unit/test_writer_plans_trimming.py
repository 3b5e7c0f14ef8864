"""What may be purged from a stream, how fast it fills, and when an onlooker takes over."""

from __future__ import annotations

import math

import msgspec
import pytest

from audit_functions.writer.fill import Filling
from audit_functions.writer.standby import TAKE_OVER_SECONDS, Onlooker
from audit_functions.writer.state import Offset, StreamState
from audit_functions.writer.trim import Backups, trim_through

OFFSET = Offset(epoch=b"e" * 16, stream_sequence=100, received_at=1, frame_sha256=b"h" * 32)
STREAM = StreamState(
    epoch=b"e" * 16,
    created="",
    first_sequence=11,
    last_sequence=110,
    messages=100,
    bytes=1_000,
    max_bytes=10_000,
)
FULL = msgspec.structs.replace(STREAM, bytes=10_000)


def file(segment: int, timeline: int = 1) -> str:
    return f"{timeline:08X}{segment:016X}"


def test_what_is_older_than_the_window_goes() -> None:
    assert trim_through(OFFSET, STREAM, backed_up=100, window_start=50) == 49


def test_what_is_inside_the_window_stays() -> None:
    assert trim_through(OFFSET, STREAM, backed_up=100, window_start=11) is None


@pytest.mark.parametrize("window_start", [100, 101, 500])
def test_the_last_committed_message_is_never_trimmed(window_start: int) -> None:
    assert trim_through(OFFSET, STREAM, backed_up=100, window_start=window_start) == 99


def test_nothing_goes_that_is_not_committed_or_not_backed_up() -> None:
    assert trim_through(OFFSET, STREAM, backed_up=40, window_start=90) == 40
    assert trim_through(OFFSET, STREAM, backed_up=0, window_start=90) is None


def test_a_full_stream_gives_up_its_oldest_part_but_not_more_than_it_has_to() -> None:
    assert trim_through(OFFSET, FULL, backed_up=100, window_start=11) == 40
    assert trim_through(OFFSET, FULL, backed_up=20, window_start=11) == 20


def test_an_empty_stream_has_nothing_to_trim() -> None:
    empty = msgspec.structs.replace(STREAM, messages=0, bytes=0, first_sequence=101, last_sequence=100)
    assert trim_through(OFFSET, empty, backed_up=100, window_start=101) is None


def test_a_stream_without_limit_is_never_full() -> None:
    assert (
        trim_through(OFFSET, msgspec.structs.replace(FULL, max_bytes=-1), backed_up=100, window_start=11)
        is None
    )


def test_a_commit_is_backed_up_when_the_file_that_was_written_after_it_is_archived() -> None:
    backups, through = Backups(), []
    for committed, current, archived in ((5, 3, None), (8, 3, 2), (9, 4, 3), (9, 4, 3), (12, 5, 4)):
        backups.seen(committed, file(current), None if archived is None else file(archived))
        through.append(backups.through)
    assert through == [0, 0, 8, 8, 9]


@pytest.mark.parametrize(
    "archived", [file(9) + ".partial", "00000002.history", file(9) + ".00000028.backup", ""]
)
def test_names_that_are_no_whole_file_back_nothing_up(archived: str) -> None:
    backups = Backups()
    backups.seen(5, file(3), archived)
    assert backups.through == 0


def test_another_timeline_says_nothing_about_this_one() -> None:
    backups = Backups()
    backups.seen(5, file(3), file(2))
    backups.seen(4, file(3, timeline=2), file(9, timeline=1))
    backups.seen(4, file(3, timeline=2), file(9, timeline=2))
    assert backups.through == 4


def test_the_hours_to_full_follow_from_the_growth() -> None:
    filling = Filling()
    assert [seen(filling, at, size) for at, size in ((0.0, 0), (3600.0, 95))] == [math.inf, math.inf]
    filling = Filling()
    assert [seen(filling, at, size) for at, size in ((0.0, 0), (360.0, 95))] == [math.inf, pytest.approx(0.9)]
    assert seen(filling, 361.0, 10) == math.inf


def seen(filling: Filling, at: float, size: int) -> float:
    filling.seen(at, size)
    return filling.hours_to_full(1_000)


def test_an_onlooker_takes_over_when_nothing_moves_though_there_is_more() -> None:
    onlooker = Onlooker(7, 100.0)
    assert not onlooker.sees(7, 9, 100.0 + TAKE_OVER_SECONDS - 0.1)
    assert onlooker.sees(7, 9, 100.0 + TAKE_OVER_SECONDS)


def test_progress_and_silence_are_no_reasons_to_take_over() -> None:
    onlooker = Onlooker(7, 100.0)
    assert not onlooker.sees(8, 9, 104.0)
    assert not onlooker.sees(8, 9, 108.0)
    assert not onlooker.sees(9, 9, 200.0)
    assert not onlooker.sees(9, 10, 201.0)


def test_time_in_which_nothing_could_be_seen_does_not_count() -> None:
    onlooker = Onlooker(7, 100.0)
    onlooker.blind(104.0)
    assert not onlooker.sees(7, 9, 106.0)
