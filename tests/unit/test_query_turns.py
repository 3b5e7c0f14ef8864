"""Queries take turns: a tenant has its limit and its share, and whoever waits too long is told so."""

from __future__ import annotations

import asyncio

import pytest

from audit_core.errors import Overloaded, TooManyQueries
from audit_functions.query.gate import Gate


class Queries:
    """Queries that run until they are told to finish."""

    def __init__(self, connections: int, *, wait_seconds: float = 5.0) -> None:
        self.gate = Gate(connections, wait_seconds=wait_seconds)
        self.running: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self._finish: dict[str, asyncio.Event] = {}

    async def start(self, name: str, tenant: str, *, concurrency: int = 16, share: int = 16) -> None:
        self._finish[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._run(name, tenant, concurrency, share))
        await _settle()

    async def finish(self, name: str) -> None:
        self._finish[name].set()
        await self.tasks[name]
        await _settle()

    async def _run(self, name: str, tenant: str, concurrency: int, share: int) -> None:
        async with self.gate.admitted(tenant, concurrency=concurrency, share=share):
            self.running.append(name)
            await self._finish[name].wait()
        self.running.remove(name)


async def _settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_as_many_run_as_there_are_connections_and_the_next_when_one_ends() -> None:
    queries = Queries(2)
    for name in ("one", "two", "three"):
        await queries.start(name, name)
    assert queries.running == ["one", "two"]
    await queries.finish("one")
    assert queries.running == ["two", "three"]
    await queries.finish("two")
    await queries.finish("three")


async def test_a_tenants_slow_queries_leave_room_for_another_tenant() -> None:
    queries = Queries(4)
    for number in range(4):
        await queries.start(f"slow {number}", "a", share=2)
    assert queries.running == ["slow 0", "slow 1"]
    await queries.start("quick", "b", share=2)
    assert queries.running == ["slow 0", "slow 1", "quick"]
    for name in ("quick", "slow 0", "slow 1", "slow 2", "slow 3"):
        await queries.finish(name)


async def test_a_tenants_limit_counts_the_waiting_ones_too() -> None:
    queries = Queries(1)
    await queries.start("one", "a", concurrency=2)
    await queries.start("two", "a", concurrency=2)
    await queries.start("three", "a", concurrency=2)
    with pytest.raises(TooManyQueries) as refused:
        await queries.tasks["three"]
    assert refused.value.limit == 2
    await queries.finish("one")
    await queries.start("four", "a", concurrency=2)
    await queries.finish("two")
    await queries.finish("four")


async def test_who_waits_too_long_is_told_to_come_back() -> None:
    queries = Queries(1, wait_seconds=0.05)
    await queries.start("one", "a")
    await queries.start("two", "b")
    with pytest.raises(Overloaded):
        await queries.tasks["two"]
    await queries.start("again", "b")
    await queries.finish("one")
    await queries.finish("again")


async def test_a_query_that_is_given_up_frees_its_turn() -> None:
    queries = Queries(1)
    await queries.start("running", "a", concurrency=2)
    await queries.start("waiting", "a", concurrency=2)
    for name in ("waiting", "running"):
        queries.tasks[name].cancel()
        await asyncio.gather(queries.tasks[name], return_exceptions=True)
    await queries.start("next", "a", concurrency=1)
    assert queries.running[-1] == "next"
    await queries.finish("next")


async def test_nothing_is_remembered_of_a_tenant_without_queries() -> None:
    queries = Queries(2)
    await queries.start("one", "a")
    await queries.finish("one")
    assert queries.gate._tenants == {}
