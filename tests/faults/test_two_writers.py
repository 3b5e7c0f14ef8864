"""Two writers on one shard: one works, the other goes on within 15 seconds when that one freezes, wherever it does."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from tests.support.functions import FunctionsProcess, functions_process
from tests.support.writing import Instance, StreamedShard, a_tenant_id, an_event, until

TENANT = a_tenant_id()
TAKE_OVER_SECONDS = 15.0
_BACKENDS = """
SELECT pid, state, query, wait_event
FROM pg_stat_activity
WHERE usename LIKE 'audit%writer' AND datname = current_database() AND client_port = ANY ($1::int[])
"""
_IN_COPY = "state = 'active' AND query LIKE 'COPY%landing%'"
_HOLDING_THE_LOCK = "state = 'idle in transaction' AND query NOT LIKE 'COPY%' AND query NOT LIKE 'BEGIN%'"


@asynccontextmanager
async def two_processes(shard: StreamedShard) -> AsyncIterator[tuple[FunctionsProcess, FunctionsProcess]]:
    """Run two writer processes on the shard."""
    nats, folder = shard.seeded.nats, shard.seeded.folder
    async with (
        functions_process(nats, folder, "writer", AUDIT_BACKUP="none") as first,
        functions_process(nats, folder, "writer", AUDIT_BACKUP="none") as second,
    ):
        yield first, second


def pid(process: FunctionsProcess) -> int:
    assert process.process is not None
    return process.process.pid


def ports(process_id: int) -> list[int]:
    """Return the local TCP ports of a process, by which the server knows its connections."""
    inodes = set()
    for descriptor in Path(f"/proc/{process_id}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            target = str(descriptor.readlink())
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    rows = [line.split() for line in Path(f"/proc/{process_id}/net/tcp").read_text().splitlines()[1:]]
    return [int(row[1].split(":")[1], 16) for row in rows if row[9] in inodes]


async def backends(shard: StreamedShard, process: FunctionsProcess, where: str) -> int:
    """Return how many of a process's sessions are in a state."""
    query = f"SELECT count(*) FROM ({_BACKENDS}) AS s WHERE {where}"
    count: int = await shard.admin.fetchval(query, ports(pid(process)))
    return count


async def stands_by(process: FunctionsProcess) -> bool:
    answer = await process.request("GET", "/metrics")
    lines = answer.body.decode().splitlines()
    return any(line.startswith("audit_writer_shard_standby{") and line.endswith(" 1.0") for line in lines)


async def the_one_at_work(processes: tuple[FunctionsProcess, FunctionsProcess]) -> FunctionsProcess:
    """Return the one that does not look on, once the other does."""
    found: list[FunctionsProcess] = []

    async def is_one() -> bool:
        found[:] = [process for process in processes if not await stands_by(process)]
        return len(found) == 1

    await until(is_one)
    return found[0]


async def backlog(shard: StreamedShard, ingest: Instance, frames: int) -> None:
    """Publish frames that keep a writer busy."""
    for _ in range(frames):
        await ingest.publish(TENANT, *(an_event() for _ in range(1_000)))


async def frozen_while(
    shard: StreamedShard, processes: tuple[FunctionsProcess, FunctionsProcess], state: str
) -> int:
    """Stop the process at work at a moment when one of its sessions is in `state`; return its pid."""
    async with asyncio.timeout(60):
        while True:
            process = await the_one_at_work(processes)
            for _ in range(200):
                await asyncio.sleep(random.uniform(0, 0.02))
                os.kill(pid(process), signal.SIGSTOP)
                await asyncio.sleep(0.03)  # what the server was doing by itself is done
                if await backends(shard, process, state):
                    return pid(process)
                os.kill(pid(process), signal.SIGCONT)


async def progress_after(shard: StreamedShard, started: float) -> float:
    """Return how long after `started` the offset moved."""
    before = (await shard.offset()).stream_sequence

    async def moved() -> bool:
        return (await shard.offset()).stream_sequence > before

    await until(moved, seconds=2 * TAKE_OVER_SECONDS)
    return time.monotonic() - started


async def demand_each_once(shard: StreamedShard) -> None:
    await shard.committed(seconds=60)
    published = [
        event.id for frame in await shard.seeded.frames() for entry in frame.entries for event in entry.events
    ]
    rows = await shard.admin.fetch(f"SELECT id, sequence FROM {shard.schema}.event ORDER BY sequence")
    assert [tuple(row) for row in rows] == [(event_id, number) for number, event_id in enumerate(published)]


async def test_the_second_of_two_looks_on(shard: StreamedShard) -> None:
    ingest = shard.instance()
    async with shard.writer() as first, shard.writer() as second:
        for _ in range(30):
            await ingest.publish(TENANT, an_event(), an_event())
            await asyncio.sleep(0.02)
        await shard.committed()
        standby = [running.metric("shard_standby") for running in (first, second)]
        assert sorted(standby) == [0, 1]
        assert first.metric("fences_lost_total") + second.metric("fences_lost_total") == 1
    await demand_each_once(shard)


async def test_the_second_goes_on_when_the_first_is_gone(shard: StreamedShard) -> None:
    ingest = shard.instance()
    async with shard.writer() as first, shard.writer() as second:
        while first.metric("shard_standby") + second.metric("shard_standby") != 1:
            await ingest.publish(TENANT)
            await asyncio.sleep(0.02)
        at_work = first if second.metric("shard_standby") else second
        await at_work.cancel()
        await ingest.publish(TENANT)
        await shard.committed(seconds=TAKE_OVER_SECONDS)
    await demand_each_once(shard)


@pytest.mark.slow
@pytest.mark.parametrize("state", [_IN_COPY, _HOLDING_THE_LOCK], ids=["in a copy", "holding the lock"])
async def test_the_second_goes_on_when_the_first_freezes(shard: StreamedShard, state: str) -> None:
    ingest = shard.instance()
    await backlog(shard, ingest, 250)
    async with two_processes(shard) as processes:
        frozen = await frozen_while(shard, processes, state)
        started = time.monotonic()
        try:
            assert await progress_after(shard, started) <= TAKE_OVER_SECONDS
            await asyncio.sleep(max(0.0, 20 - (time.monotonic() - started)))
        finally:
            os.kill(frozen, signal.SIGCONT)
        await backlog(shard, ingest, 3)
        await demand_each_once(shard)


@pytest.mark.slow
async def test_the_second_goes_on_when_the_first_freezes_at_any_moment(shard: StreamedShard) -> None:
    ingest = shard.instance()
    enough = asyncio.Event()

    async def publish() -> None:
        while not enough.is_set():
            await ingest.publish(TENANT, *(an_event() for _ in range(20)))
            await asyncio.sleep(0.01)

    async with two_processes(shard) as processes:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(publish())
            at_work = pid(await the_one_at_work(processes))
            await asyncio.sleep(random.uniform(0, 0.5))
            os.kill(at_work, signal.SIGSTOP)
            started = time.monotonic()
            try:
                assert await progress_after(shard, started) <= TAKE_OVER_SECONDS
                await asyncio.sleep(max(0.0, 20 - (time.monotonic() - started)))
            finally:
                os.kill(at_work, signal.SIGCONT)
            enough.set()
        await demand_each_once(shard)
