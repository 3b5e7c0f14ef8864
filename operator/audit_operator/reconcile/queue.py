"""Keys that want to be looked at: each waits once, and no two workers look at the same one.

A queue is level-triggered. What happened to a key is not kept, only that something did; the handler finds out the rest.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from audit_operator.telemetry import QueueTelemetry

_log = logging.getLogger(__name__)

FIRST_RETRY_SECONDS: Final = 0.5
LAST_RETRY_SECONDS: Final = 300.0
_JITTER: Final = 0.25
"""How much of a pause is left to chance, so that what failed together does not come back together."""

Handler = Callable[[str], Awaitable[float | None]]
"""Looks at one key and returns in how many seconds it wants to look again, None for not by itself."""


class WorkQueue:
    """Runs `handler` for every key that is added, for at most `concurrency` keys at a time.

    A key that is added while it waits is already there; one that is added while it is worked on runs once more
    afterwards. A handler that raises is tried again, later each time, until it succeeds once. `clock` runs as the
    event loop's does; `uniform` gives numbers in [0, 1).
    """

    def __init__(
        self,
        name: str,
        handler: Handler,
        *,
        concurrency: int = 16,
        telemetry: QueueTelemetry | None = None,
        clock: Callable[[], float] = time.monotonic,
        uniform: Callable[[], float] = random.random,
    ) -> None:
        self._name = name
        self._handler = handler
        self._concurrency = concurrency
        self._telemetry = telemetry or QueueTelemetry()
        self._clock = clock
        self._uniform = uniform
        self._waiting: deque[str] = deque()
        self._since: dict[str, float] = {}  # of each key that waits, or that was added while it was worked on
        self._started: dict[str, float] = {}  # of each key that is worked on
        self._failures: dict[str, int] = {}
        self._due: dict[str, float] = {}
        self._later: list[tuple[float, str]] = []  # a heap; entries that `_due` does not confirm are obsolete
        self._arrived = asyncio.Semaphore(0)
        self._sooner = asyncio.Event()
        self._telemetry.running(name, self._running_seconds)

    def add(self, key: str) -> None:
        """Have a key looked at as soon as a worker is free."""
        if key in self._since:
            return
        self._since[key] = self._clock()
        self._telemetry.adds.labels(self._name).inc()
        if key not in self._started:
            self._offer(key)

    def add_after(self, key: str, seconds: float) -> None:
        """Have a key looked at in so many seconds; an earlier such wish for it stands."""
        due = self._clock() + seconds
        if due >= self._due.get(key, float("inf")):
            return
        self._due[key] = due
        heapq.heappush(self._later, (due, key))
        self._sooner.set()

    async def run(self) -> None:
        """Work until cancelled. When this returns, no handler runs any more."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch_the_clock(), name=f"{self._name} clock")
            for number in range(self._concurrency):
                group.create_task(self._work(), name=f"{self._name} worker {number}")

    def __len__(self) -> int:
        """How many keys wait for a worker."""
        return len(self._waiting)

    def _offer(self, key: str) -> None:
        self._waiting.append(key)
        self._arrived.release()
        self._telemetry.depth.labels(self._name).set(len(self._waiting))

    async def _work(self) -> None:
        while True:
            await self._arrived.acquire()
            key = self._waiting.popleft()
            self._telemetry.depth.labels(self._name).set(len(self._waiting))
            self._started[key] = self._clock()
            self._telemetry.queue_seconds.labels(self._name).observe(
                self._started[key] - self._since.pop(key)
            )
            try:
                await self._look(key)
            finally:
                self._telemetry.work_seconds.labels(self._name).observe(
                    self._clock() - self._started.pop(key)
                )
                if key in self._since:
                    self._offer(key)

    async def _look(self, key: str) -> None:
        try:
            again = await self._handler(key)
        except Exception as error:  # noqa: BLE001 - whatever went wrong with one key, the others go on
            self._retry(key, error)
            return
        self._failures.pop(key, None)
        if again is not None:
            self.add_after(key, again)

    def _retry(self, key: str, error: Exception) -> None:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        pause = pause_seconds(failures, self._uniform())
        self._telemetry.retries.labels(self._name).inc()
        _log.warning(
            "work_failed queue=%s key=%s error=%s failures=%d retry_in_seconds=%.1f",
            self._name,
            key,
            f"{type(error).__name__} {error}".strip(),
            failures,
            pause,
        )
        self.add_after(key, pause)

    async def _watch_the_clock(self) -> None:
        while True:
            self._sooner.clear()
            while self._later and self._later[0][0] <= self._clock():
                due, key = heapq.heappop(self._later)
                if self._due.get(key) == due:
                    del self._due[key]
                    self.add(key)
            pause = self._later[0][0] - self._clock() if self._later else None
            try:
                async with asyncio.timeout(pause):
                    await self._sooner.wait()
            except TimeoutError:
                continue

    def _running_seconds(self) -> list[float]:
        now = self._clock()
        return [now - started for started in self._started.values()]


def pause_seconds(failures: int, uniform: float) -> float:
    """Return how long to wait after so many failures in a row; `uniform` in [0, 1) picks within the jitter."""
    pause = min(LAST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2.0 ** min(failures - 1, 32))
    return pause * (1.0 - _JITTER * uniform)
