"""kill -9 of every process under load: each acknowledged event is stored exactly once, and nothing else is.

`AUDIT_FAULT_ROUNDS` sets how often each process is killed (`make faults`: ten times).
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import audit_functions
from tests.support.client import JournallingClient, journal_at
from tests.support.journal import Verdict
from tests.support.running import RunningStack, running_stack

FUNCTIONS_AND_HANGING_NATS = "functions and a hanging nats"
ROUNDS = int(os.environ.get("AUDIT_FAULT_ROUNDS", "1"))
VICTIMS = ("functions", "writer", "nats", "postgres", FUNCTIONS_AND_HANGING_NATS)
MINIMUM_RATE = 500
"""Acknowledgements a second between kills: less would leave too little under way for a kill to hit."""


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[RunningStack]:
    async with running_stack(tmp_path) as running:
        yield running


async def _kill(stack: RunningStack, victim: str) -> None:
    if victim != FUNCTIONS_AND_HANGING_NATS:
        stack.kill(victim)
        return
    stack.signal("nats", signal.SIGSTOP)
    await asyncio.sleep(0.3)
    stack.kill("functions")
    stack.kill("nats")


async def _killed_under_load(
    stack: RunningStack, folder: Path, victims: tuple[str, ...], rounds: int
) -> tuple[Verdict, float]:
    """Kill each victim `rounds` times under load; return what became of the events and the best second's rate."""
    done = False
    with journal_at(folder) as journal:
        client = JournallingClient(stack.port, stack.key("acme"), journal)
        load = asyncio.create_task(client.keep_busy(32, 60.0 * rounds * len(victims), lambda: done))
        fastest = 0.0
        for number in range(rounds * len(victims)):
            before = client.acknowledged
            await asyncio.sleep(1.0)
            fastest = max(fastest, client.acknowledged - before)
            await _kill(stack, victims[number % len(victims)])
            await stack.serving_again(client)
        done = True
        await load
        await stack.drained("acme")
        return journal.verdict(await stack.markers("acme")), fastest


async def test_every_acknowledged_event_is_stored_exactly_once(stack: RunningStack, tmp_path: Path) -> None:
    verdict, rate = await _killed_under_load(stack, tmp_path, VICTIMS, ROUNDS)
    print(f"{ROUNDS} rounds of {VICTIMS}: {verdict}, at {rate:.0f} acknowledgements a second")
    assert rate >= MINIMUM_RATE
    assert verdict.kept, verdict
    assert verdict.acknowledged > MINIMUM_RATE


async def test_acknowledging_before_publishing_would_be_seen(tmp_path: Path) -> None:
    """The same test on functions that answer before the stream has acknowledged must find lost events."""
    mutant = _acknowledging_too_early(tmp_path / "mutant")
    async with running_stack(tmp_path, functions_path=mutant) as stack:
        lost: frozenset[str] = frozenset()
        for _ in range(10):  # a frame that was just written when the stream stopped is found again
            verdict, _ = await _killed_under_load(stack, tmp_path, (FUNCTIONS_AND_HANGING_NATS,), 1)
            lost |= verdict.lost
            if lost:
                break
        assert lost


def _acknowledging_too_early(folder: Path) -> Path:
    """Return a copy of the functions in which a frame's waiters are answered before the frame is published."""
    source = Path(audit_functions.__file__).parent
    shutil.copytree(source, folder / source.name)
    frames = folder / source.name / "ingest" / "frames.py"
    text = frames.read_text()
    for right, planted in (
        (
            "        result = await self._stored(payload, number)\n",
            "        frame.settle(Acknowledged(number, 0))\n        result = await self._stored(payload, number)\n",
        ),
        (
            "                frame.settle(Acknowledged(number, sequence))\n",
            "                assert frame.acked.done()\n",
        ),
    ):
        assert text.count(right) == 1, "the planted fault no longer fits the code"
        text = text.replace(right, planted)
    frames.write_text(text)
    return folder
