"""Which frames of an ingest process arrived, were given up, or are missing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from audit_functions.writer.producers import (
    OPEN_NUMBERS,
    Arrival,
    Producer,
    Seen,
    lacking,
    seen,
    under,
    with_missing,
)

EPOCH, INSTANCE = b"e" * 16, b"i" * 16


def arrived(*frames: tuple[int, list[int]]) -> list[Seen]:
    """Judge frames in the order of their arrival: number and what they give up."""
    producer = Producer(epoch=EPOCH, instance=INSTANCE)
    judged = []
    for sequence, (number, abandoned) in enumerate(frames, 1):
        judged.append(seen(producer, number, abandoned, stream_sequence=sequence, received_at=sequence * 10))
        producer = judged[-1].producer
    return judged


def last(*frames: tuple[int, list[int]]) -> tuple[Arrival, int, tuple[int, ...], tuple[int, ...], int]:
    """Return how the last of frames was judged: arrival, last number, given up, missing, newly missing."""
    judged = arrived(*frames)[-1]
    producer = judged.producer
    return judged.arrival, producer.last_frame, producer.abandoned, producer.missing, judged.missing


def test_numbers_in_a_row_leave_nothing_open() -> None:
    assert last((1, []), (2, []), (3, [])) == (Arrival.NEXT, 3, (), (), 0)


def test_a_number_that_was_given_up_is_not_missing() -> None:
    assert last((1, []), (4, [2, 3])) == (Arrival.NEXT, 4, (2, 3), (), 0)


def test_a_number_that_nobody_explains_is_missing() -> None:
    assert last((1, []), (5, [3])) == (Arrival.NEXT, 5, (3,), (2, 4), 2)


def test_the_first_frame_of_an_instance_is_number_one() -> None:
    assert last((3, [])) == (Arrival.NEXT, 3, (), (1, 2), 2)


def test_a_frame_that_was_given_up_and_comes_late_is_taken_once() -> None:
    assert last((1, []), (3, [2]), (2, [])) == (Arrival.LATE, 3, (), (), 0)
    assert last((1, []), (3, [2]), (2, []), (2, [])) == (Arrival.REPEATED, 3, (), (), 0)


def test_a_missing_frame_that_comes_late_is_taken() -> None:
    assert last((1, []), (3, []), (2, [])) == (Arrival.LATE, 3, (), (), 0)


def test_a_frame_that_was_stored_before_is_skipped() -> None:
    assert last((1, []), (2, []), (1, [])) == (Arrival.REPEATED, 2, (), (), 0)


def test_a_frame_that_arrived_before_it_was_given_up_stays_stored() -> None:
    assert last((1, []), (2, []), (3, [2])) == (Arrival.NEXT, 3, (), (), 0)
    assert last((1, []), (2, []), (3, [2]), (2, [])) == (Arrival.REPEATED, 3, (), (), 0)


def test_a_missing_number_that_is_given_up_later_is_explained() -> None:
    assert last((1, []), (3, []), (4, [2])) == (Arrival.NEXT, 4, (2,), (), 0)


def test_a_repeated_frame_does_not_move_where_the_instance_was_last_seen() -> None:
    producer = arrived((1, []), (2, []), (1, []))[-1].producer
    assert (producer.last_stream_sequence, producer.last_seen) == (2, 20)


def test_an_absurd_number_costs_no_memory() -> None:
    judged = arrived((1, []), (10**15, []))[-1]
    assert (judged.missing, len(judged.producer.missing)) == (10**15 - 2, OPEN_NUMBERS)


def test_a_new_epoch_goes_on_with_the_numbers_of_the_one_before() -> None:
    before = arrived((1, []), (3, [2]))[-1].producer
    after = under(b"n" * 16, INSTANCE, before)
    assert seen(after, 4, [], stream_sequence=9, received_at=9).missing == 0
    assert seen(after, 6, [], stream_sequence=9, received_at=9).missing == 2
    assert seen(after, 2, [], stream_sequence=9, received_at=9).arrival is Arrival.LATE


def test_a_watermark_beyond_the_last_frame_shows_what_is_lacking_once() -> None:
    producer = arrived((1, []))[-1].producer
    assert lacking(producer, 3) == range(2, 4)
    recorded = with_missing(producer, range(2, 4))
    assert (recorded.missing, len(lacking(recorded, 3)), lacking(recorded, 4)) == ((2, 3), 0, range(4, 5))


def test_a_frame_behind_what_a_watermark_showed_lacking_counts_nothing_twice() -> None:
    recorded = with_missing(arrived((1, []))[-1].producer, range(2, 4))
    judged = seen(recorded, 5, [], stream_sequence=2, received_at=2)
    assert (judged.missing, judged.producer.missing) == (1, (2, 3, 4))


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.randoms(use_true_random=False))
def test_whatever_is_given_up_and_comes_late_every_frame_is_taken_exactly_once(
    given_up: list[bool], randomness: object
) -> None:
    frames: list[tuple[int, list[int]]] = []
    late: list[int] = []
    declared: list[int] = []
    for number, abandoned in enumerate([*given_up, False], 1):
        if abandoned:
            declared.append(number)
            late.append(number)
        else:
            frames.append((number, declared))
            declared = []
    for number in late:  # after the frame that gave it up, or before it
        frames.insert(randomness.randint(0, len(frames)), (number, []))  # type: ignore[attr-defined]  # a random.Random
    taken = [
        number
        for (number, _), judged in zip(frames, arrived(*frames), strict=True)
        if judged.arrival is not Arrival.REPEATED
    ]
    assert len(taken) == len(set(taken))
    assert {number for number, _ in frames} == set(taken)
