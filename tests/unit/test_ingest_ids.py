"""Minted ids grow and never repeat, whatever the clock does."""

from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st

from audit_core.ids import uuid7
from audit_functions.ingest.ids import IdMint


class Clock:
    def __init__(self) -> None:
        self.ms = 1_769_851_800_123

    def __call__(self) -> int:
        return self.ms


def test_ids_of_one_millisecond_grow() -> None:
    mint = IdMint(Clock())
    ids = [mint.new() for _ in range(5000)]
    assert ids == sorted(set(ids))
    assert {event_id[:13] for event_id in ids} == {ids[0][:13]}


def test_ids_go_on_growing_when_the_clock_goes_back() -> None:
    clock = Clock()
    mint = IdMint(clock)
    ids = []
    for step in (0, 5, -1000, 3, -1, 2000, -5000):
        clock.ms += step
        ids += [mint.new() for _ in range(10)]
    assert ids == sorted(set(ids))


def test_a_millisecond_that_is_used_up_flows_into_the_next() -> None:
    mint = IdMint(Clock(), lambda count: b"\xff" * count)
    mint.new()
    mint._random = (1 << 74) - 2
    before = mint._ms
    ids = [mint.new() for _ in range(3)]
    assert ids == sorted(set(ids))
    assert mint._ms == before + 1


def test_two_mints_do_not_meet() -> None:
    clock = Clock()
    first, second = IdMint(clock, os.urandom), IdMint(clock, os.urandom)
    assert {first.new() for _ in range(1000)}.isdisjoint(second.new() for _ in range(1000))


@given(st.integers(0, (1 << 48) - 1), st.integers(0, (1 << 74) - 1))
def test_a_minted_id_is_the_uuid7_of_its_time_and_random_bits(ms: int, random: int) -> None:
    mint = IdMint(lambda: ms)
    mint._begin(ms, random - 1)
    mint._steps = [0]
    if random > 0:
        assert mint.new() == uuid7(ms, random)
