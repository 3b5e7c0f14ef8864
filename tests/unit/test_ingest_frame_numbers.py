"""What each end of a publication means for the frame's number, its callers and the next frame.

The stream is a script of publications' ends: a real server gives most of them only by chance. What real servers do
stands in tests/integration/test_ingest_without_stream.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from audit_core.errors import Overloaded, StreamUnavailable, Unavailable
from audit_core.frame import Frame as WireFrame
from audit_core.frame import FrameEvent, decode_message, pack_entry
from audit_core.outcome import EventOutcome, Fate, FrameOutcome, encode_outcome
from audit_functions.ingest.frames import MAX_ENTRY_BYTES, Acknowledged, Frames
from audit_functions.ingest.outcomes import MAX_FRAMES, Outcomes
from audit_functions.ingest.ports import Publication, Refused, Stored, Unknown
from audit_functions.ingest.shared import Shared
from audit_functions.telemetry import Telemetry

INSTANCE = bytes(range(16))


@dataclass
class Script:
    """Ends publications as it was told, then stores everything."""

    ends: list[Publication] = field(default_factory=list)
    sent: list[tuple[str, bytes]] = field(default_factory=list)
    epoch: bytes | None = bytes(16)
    answered_at: float = float("-inf")
    held: asyncio.Event | None = None

    def obstacle(self) -> Unavailable | None:
        return None

    async def publish(self, payload: bytes, message_id: str, *, wait_seconds: float) -> Publication:
        assert 0 <= wait_seconds <= 5
        self.sent.append((message_id, payload))
        if self.held is not None:
            await self.held.wait()
        await asyncio.sleep(0)
        return self.ends.pop(0) if self.ends else Stored(len(self.sent), False)

    @property
    def wire(self) -> list[WireFrame]:
        frames = [decode_message(payload) for _, payload in self.sent]
        assert all(isinstance(frame, WireFrame) for frame in frames)
        return [frame for frame in frames if isinstance(frame, WireFrame)]


@dataclass
class Setting:
    script: Script
    frames: Frames
    outcomes: Outcomes

    async def send(self, event_id: str = "e") -> int:
        """Send one event and return its frame's number. Raises StreamUnavailable."""
        frame, _ = self.frames.join(entry(event_id), 1)
        return (await frame.acknowledged()).number


def entry(event_id: str, size: int = 10) -> msgspec.Raw:
    return pack_entry("t" * 16, b"{}", [FrameEvent(event_id, True, b"x" * size)])


@pytest.fixture
async def setting() -> AsyncIterator[Setting]:
    script, outcomes = Script(), Outcomes()
    loop = asyncio.get_running_loop()
    telemetry = Telemetry(CollectorRegistry())
    made = Frames(script, INSTANCE, outcomes, telemetry, clock=loop.time, deadline_seconds=0.3)
    running = asyncio.create_task(made.run())
    yield Setting(script, made, outcomes)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_numbers_count_from_one_and_name_the_messages(setting: Setting) -> None:
    assert [await setting.send() for _ in range(3)] == [1, 2, 3]
    assert [message_id for message_id, _ in setting.script.sent] == [
        f"{INSTANCE.hex()}:{n}" for n in (1, 2, 3)
    ]


async def test_a_number_that_was_certainly_not_stored_is_used_again(setting: Setting) -> None:
    setting.script.ends = [Stored(1, False), Refused("full"), Refused("full")]
    assert await setting.send("a") == 1
    for name in ("b", "c"):
        with pytest.raises(StreamUnavailable):
            await setting.send(name)
    assert await setting.send("d") == 2
    assert [frame.number for frame in setting.script.wire] == [1, 2, 2, 2]
    assert setting.script.wire[-1].abandoned == []


async def test_after_an_unknown_end_the_same_bytes_are_sent_again_and_may_be_a_duplicate(
    setting: Setting,
) -> None:
    setting.script.ends = [Unknown("silent"), Refused("not connected"), Stored(7, True)]
    assert await setting.send() == 1
    assert len(set(setting.script.sent)) == 1
    assert len(setting.script.sent) == 3
    last = setting.frames.last
    assert last is not None
    assert (last.number, last.sequence) == (1, 7)


async def test_a_frame_that_stays_unknown_is_refused_and_declared_in_the_next(setting: Setting) -> None:
    setting.script.ends = [Stored(1, False), *[Unknown("silent")] * 20]
    assert await setting.send("a") == 1
    with pytest.raises(StreamUnavailable):
        await setting.send("b")
    with pytest.raises(StreamUnavailable):  # nothing is taken until the stream is heard of again
        await setting.send("c")
    setting.script.ends = []
    setting.script.answered_at = asyncio.get_running_loop().time()
    assert await setting.send("d") == 3
    assert setting.script.wire[-1].abandoned == [2]
    assert await setting.send("e") == 4
    assert setting.script.wire[-1].abandoned == []


async def test_what_was_declared_is_declared_again_until_a_frame_is_stored(setting: Setting) -> None:
    setting.script.ends = [*[Unknown("silent")] * 20]
    with pytest.raises(StreamUnavailable):
        await setting.send()
    setting.script.answered_at = asyncio.get_running_loop().time()
    with pytest.raises(StreamUnavailable):
        await setting.send()
    setting.script.ends = [Refused("full")]
    setting.script.answered_at = asyncio.get_running_loop().time()
    with pytest.raises(StreamUnavailable):
        await setting.send()
    assert await setting.send() == 3
    assert setting.script.wire[-1].abandoned == [1, 2]


async def test_a_first_send_that_is_called_a_duplicate_is_never_acknowledged(setting: Setting) -> None:
    setting.script.ends = [Stored(9, True)]
    with pytest.raises(StreamUnavailable):
        await setting.send()
    assert setting.frames.last is None
    setting.script.answered_at = asyncio.get_running_loop().time()
    assert await setting.send() == 2
    assert setting.script.wire[-1].abandoned == [1]


async def test_what_waits_behind_a_frame_without_a_result_is_refused_with_it(setting: Setting) -> None:
    setting.script.held = asyncio.Event()
    setting.script.ends = [*[Unknown("silent")] * 20]
    first = asyncio.create_task(setting.send("a"))
    await asyncio.sleep(0.01)
    behind = [asyncio.create_task(setting.send(name)) for name in "bcd"]
    await asyncio.sleep(0.01)
    setting.script.held.set()
    results = await asyncio.gather(first, *behind, return_exceptions=True)
    assert all(isinstance(result, StreamUnavailable) for result in results)
    assert {frame.number for frame in setting.script.wire} == {1}


async def test_what_arrives_while_a_frame_is_written_shares_the_next(setting: Setting) -> None:
    setting.script.held = asyncio.Event()
    sending = [asyncio.create_task(setting.send("first"))]
    await asyncio.sleep(0.01)
    sending += [asyncio.create_task(setting.send(f"e{at}")) for at in range(50)]
    await asyncio.sleep(0.01)
    setting.script.held.set()
    assert sorted(await asyncio.gather(*sending)) == [1] + [2] * 50
    assert [len(frame.entries) for frame in setting.script.wire] == [1, 50]


async def test_an_entry_that_does_not_fit_goes_into_the_next_frame(setting: Setting) -> None:
    setting.script.held = asyncio.Event()
    asyncio.get_running_loop().call_later(0.02, setting.script.held.set)
    sizes = [MAX_ENTRY_BYTES // 2 - 100, MAX_ENTRY_BYTES // 2 - 100, MAX_ENTRY_BYTES // 2]
    joined = [setting.frames.join(entry(f"e{at}", size), 1)[0] for at, size in enumerate(sizes)]
    numbers = [(await frame.acknowledged()).number for frame in joined]
    assert numbers == [1, 1, 2]
    assert max(len(payload) for _, payload in setting.script.sent) <= 768 * 1024


async def test_what_waits_is_bounded(setting: Setting) -> None:
    setting.script.held = asyncio.Event()

    def fill() -> None:
        for at in range(100):
            setting.frames.join(entry(f"e{at}", 500_000), 1)

    with pytest.raises(Overloaded):
        fill()
    with pytest.raises(Overloaded):
        setting.frames.demand_room()
    setting.script.held.set()
    assert await setting.frames.drained(5)


async def test_one_who_is_cancelled_does_not_cancel_the_others(setting: Setting) -> None:
    setting.script.held = asyncio.Event()
    sending = [asyncio.create_task(setting.send(name)) for name in "abc"]
    await asyncio.sleep(0.01)
    sending[1].cancel()
    await asyncio.sleep(0.01)
    setting.script.held.set()
    results = await asyncio.gather(*sending, return_exceptions=True)
    assert [results[0], results[2]] == [1, 1]
    assert isinstance(results[1], asyncio.CancelledError)


async def test_an_answer_that_fails_keeps_nobody_elses(setting: Setting) -> None:
    heard: list[object] = []
    frame, _ = setting.frames.join(entry("a"), 1)

    def fail(result: object) -> None:
        raise OSError("a broken connection")

    frame.waiters += [fail, heard.append]
    await frame.acknowledged()
    await asyncio.sleep(0)
    assert heard == [Acknowledged(1, 1)]
    assert await setting.send() == 2


async def test_draining_takes_nothing_more_and_settles_what_is_there(setting: Setting) -> None:
    sending = asyncio.create_task(setting.send())
    await asyncio.sleep(0)
    assert await setting.frames.drained(5)
    assert await sending == 1
    with pytest.raises(StreamUnavailable):
        await setting.send()


async def test_an_outcome_reaches_who_waits_for_its_frame_and_nobody_else(setting: Setting) -> None:
    frame, position = setting.frames.join(entry("a"), 1, wants_outcome=True)
    number = (await frame.acknowledged()).number
    told = FrameOutcome(number, [EventOutcome(Fate.COMMITTED, 4, 5)])
    for data in (
        b"\xff",
        encode_outcome(FrameOutcome(number + 1, [])),
        encode_outcome(told),
        encode_outcome(told),
    ):
        setting.outcomes.heard(data)
    assert frame.outcome is not None
    assert (await frame.outcome).events[position] == EventOutcome(Fate.COMMITTED, 4, 5)


async def test_frames_that_wait_for_their_outcome_are_bounded() -> None:
    outcomes = Outcomes()
    for number in range(MAX_FRAMES + 10):
        outcomes.expect(number, Shared())
    assert len(outcomes._waiting) == MAX_FRAMES
    assert 9 not in outcomes._waiting
