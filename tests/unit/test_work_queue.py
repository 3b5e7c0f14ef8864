"""The work queue: each key once at a time, again when something happened meanwhile, later each time it fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from audit_operator.reconcile.queue import FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS, WorkQueue, pause_seconds
from audit_operator.telemetry import QueueTelemetry
from tests.support.virtual_time import in_virtual_time


class Work:
    """A handler that remembers when it began and ended, takes its time, and fails or asks for more as it is told."""

    def __init__(self, *, seconds: float = 0.0, failures: int = 0, again: float | None = None) -> None:
        self.began: list[tuple[str, float]] = []
        self.running: list[str] = []
        self.most = 0
        self.cancelled: list[str] = []
        self._seconds = seconds
        self.failures = failures
        self._again = again

    async def __call__(self, key: str) -> float | None:
        assert key not in self.running, "two workers on one key"
        self.began.append((key, _now()))
        self.running.append(key)
        self.most = max(self.most, len(self.running))
        try:
            await asyncio.sleep(self._seconds)
        except asyncio.CancelledError:
            self.cancelled.append(key)
            raise
        finally:
            self.running.remove(key)
        if self.failures:
            self.failures -= 1
            raise OSError("as told")
        return self._again

    def times(self) -> list[float]:
        return [time for _, time in self.began]


def _now() -> float:
    return asyncio.get_running_loop().time()


@asynccontextmanager
async def _at_work(
    work: Callable[[str], Awaitable[float | None]], **options: Any
) -> AsyncIterator[WorkQueue]:
    queue = WorkQueue("tenant", work, clock=_now, uniform=lambda: 0.0, **options)
    running = asyncio.create_task(queue.run())
    await asyncio.sleep(0)
    try:
        yield queue
    finally:
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


def test_a_key_that_is_added_many_times_while_it_waits_is_looked_at_once() -> None:
    async def story() -> None:
        work = Work()
        async with _at_work(work) as queue:
            for _ in range(10):
                queue.add("a")
            await asyncio.sleep(1)
        assert work.began == [("a", 0.0)]

    in_virtual_time(story())


def test_a_key_that_is_added_while_it_is_worked_on_is_looked_at_once_more_afterwards() -> None:
    async def story() -> None:
        work = Work(seconds=10)
        async with _at_work(work) as queue:
            queue.add("a")
            await asyncio.sleep(1)
            for _ in range(3):
                queue.add("a")
            await asyncio.sleep(100)
        assert work.began == [("a", 0.0), ("a", 10.0)]

    in_virtual_time(story())


def test_as_many_keys_are_worked_on_as_there_are_workers_in_the_order_they_came() -> None:
    async def story() -> None:
        work = Work(seconds=10)
        async with _at_work(work, concurrency=3) as queue:
            for key in "abcdefg":
                queue.add(key)
            await asyncio.sleep(1)
            assert len(queue) == 4
            await asyncio.sleep(100)
        assert work.most == 3
        assert work.began == [
            ("a", 0.0),
            ("b", 0.0),
            ("c", 0.0),
            ("d", 10.0),
            ("e", 10.0),
            ("f", 10.0),
            ("g", 20.0),
        ]

    in_virtual_time(story())


def test_what_fails_is_tried_again_after_pauses_that_double() -> None:
    async def story() -> None:
        work = Work(failures=4)
        async with _at_work(work) as queue:
            queue.add("a")
            await asyncio.sleep(1000)
        assert work.times() == [0.0, 0.5, 1.5, 3.5, 7.5]

    in_virtual_time(story())


def test_success_forgets_the_failures_before_it() -> None:
    async def story() -> None:
        work = Work(failures=3)
        async with _at_work(work) as queue:
            queue.add("a")
            await asyncio.sleep(100)
            work.failures = 1
            queue.add("a")
            await asyncio.sleep(100)
        assert work.times()[-2:] == [100.0, 100.0 + FIRST_RETRY_SECONDS]

    in_virtual_time(story())


def test_a_failing_key_does_not_hold_up_another() -> None:
    async def story() -> None:
        async def work(key: str) -> float | None:
            if key == "bad":
                raise ValueError(key)
            done.append(_now())
            return None

        done: list[float] = []
        async with _at_work(work, concurrency=1) as queue:
            queue.add("bad")
            queue.add("good")
            await asyncio.sleep(1)
        assert done == [0.0]

    in_virtual_time(story())


def test_pauses_stay_within_their_bounds_and_the_jitter_shortens_them() -> None:
    assert pause_seconds(1, 0.0) == FIRST_RETRY_SECONDS
    assert [pause_seconds(failures, 0.0) for failures in (11, 50, 100_000)] == [LAST_RETRY_SECONDS] * 3
    assert pause_seconds(1, 1.0) == FIRST_RETRY_SECONDS * 0.75


def test_the_handler_says_when_it_wants_to_look_again() -> None:
    async def story() -> None:
        work = Work(again=600)
        async with _at_work(work) as queue:
            queue.add("a")
            await asyncio.sleep(1900)
        assert work.times() == [0.0, 600.0, 1200.0, 1800.0]

    in_virtual_time(story())


def test_of_several_later_times_the_earliest_stands() -> None:
    async def story() -> None:
        work = Work()
        async with _at_work(work) as queue:
            for seconds in (50, 10, 30):
                queue.add_after("a", seconds)
            await asyncio.sleep(200)
        assert work.times() == [10.0]

    in_virtual_time(story())


def test_when_the_queue_is_cancelled_nothing_runs_any_more() -> None:
    async def story() -> None:
        work = Work(seconds=1000)
        async with _at_work(work, concurrency=2) as queue:
            for key in "abc":
                queue.add(key)
            await asyncio.sleep(1)
            assert work.running == ["a", "b"]
        assert work.running == []
        assert sorted(work.cancelled) == ["a", "b"]
        await asyncio.sleep(5000)
        assert [key for key, _ in work.began] == ["a", "b"]

    in_virtual_time(story())


def test_the_metrics_are_those_of_controller_runtime() -> None:
    async def story() -> None:
        telemetry = QueueTelemetry()
        sample = telemetry.registry.get_sample_value
        labels = {"name": "tenant"}
        async with _at_work(Work(seconds=8, failures=1), concurrency=1, telemetry=telemetry) as queue:
            queue.add("a")
            queue.add("b")
            await asyncio.sleep(2)
            assert sample("workqueue_depth", labels) == 1
            assert sample("workqueue_adds_total", labels) == 2
            assert sample("workqueue_unfinished_work_seconds", labels) == 2
            assert sample("workqueue_longest_running_processor_seconds", labels) == 2
            await asyncio.sleep(100)
            assert sample("workqueue_depth", labels) == 0
            assert sample("workqueue_retries_total", labels) == 1
            assert sample("workqueue_work_duration_seconds_count", labels) == 3
            assert sample("workqueue_work_duration_seconds_sum", labels) == 24
            assert sample("workqueue_queue_duration_seconds_count", labels) == 3
            assert sample("workqueue_unfinished_work_seconds", labels) == 0

    in_virtual_time(story())
