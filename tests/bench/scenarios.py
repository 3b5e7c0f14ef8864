"""The scenarios. Each takes a running stack and adds figures; ratios are paired with a ceiling of the same minutes.

"Committed" is counted as rows in the table. Servers, writer and generator share the machine.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import signal
import statistics
import time
from collections.abc import Awaitable, Callable
from functools import partial

from tests.bench.copy_ceiling import copy_rate, make_scratch, read_rows
from tests.bench.generator import Burst, burst, noop_server
from tests.bench.paired import Ratio, abba
from tests.bench.results import Results
from tests.support.running import RunningStack

Scenario = Callable[[RunningStack, Results, int], Awaitable[None]]

TENANT = "acme"
BACKLOG_EVENTS = 150_000
COPY_ROWS = BACKLOG_EVENTS  # as many as a drain: fewer would fit into caches and flatter the ceiling


def _ratio(results: Results, name: str, ratio: Ratio, goal: str, rate: str) -> None:
    note = f"{ratio.a:,.0f} against {ratio.b:,.0f} {rate}"
    results.add(name, ratio.value, "ratio", spread=ratio.spread, goal=goal, note=note)


async def singles_over_noop(stack: RunningStack, results: Results, repetitions: int) -> None:
    """Single durable requests, writer paused, against a no-op that reads the body."""
    await stack.drained(TENANT)
    stack.signal("writer", signal.SIGSTOP)
    try:
        for connections, goal, p99 in ((1, "", ""), (64, ">= 0.45", "<= 15"), (1000, ">= 0.65", "")):
            seen: list[Burst] = []
            async with noop_server("answer") as noop:
                ratio = await abba(
                    partial(_durable, stack, seen, connections=connections),
                    partial(_rate, noop, connections=connections),
                    repetitions,
                )
            suffix = "" if connections == 64 else f"_{connections}"
            _ratio(results, f"single_durable_over_noop{suffix}", ratio, goal, "requests/s")
            _latency(results, f"single_durable{suffix}", seen, p99)
    finally:
        stack.signal("writer", signal.SIGCONT)
    await stack.drained(TENANT)


async def singles_over_suspended_noop(stack: RunningStack, results: Results, repetitions: int) -> None:
    """Single durable requests, writer paused, against a no-op that suspends once on a shared future."""
    stack.signal("writer", signal.SIGSTOP)
    try:
        async with noop_server("answer_after_a_shared_future") as noop:
            ratio = await abba(
                partial(_durable, stack, [], connections=64),
                partial(_rate, noop, connections=64),
                repetitions,
            )
        _ratio(results, "single_durable_over_suspended_noop", ratio, ">= 0.7", "requests/s")
    finally:
        stack.signal("writer", signal.SIGCONT)
    await stack.drained(TENANT)


async def batches_over_copy(stack: RunningStack, results: Results, repetitions: int) -> None:
    """Rows committed from batches of 100 and 1,000 with varied keys, against raw COPY of the same rows."""
    for size in (100, 1000):
        seen: list[Burst] = []
        await burst(stack.port, stack.key(TENANT), batch=size, connections=8, seconds=2)
        await stack.drained(TENANT)
        rows = await _rows(stack)
        async with stack.database() as connection:
            ratio = await abba(
                partial(_committed, stack, seen, size), partial(copy_rate, connection, rows), repetitions
            )
        goal = ">= 0.5" if size == 100 else ""
        _ratio(results, f"batch{size}_over_copy", ratio, goal, "rows/s")
        _latency(results, f"batch{size}", seen, "")


async def drain_over_copy(stack: RunningStack, results: Results, repetitions: int) -> None:
    """Drain a backlog by the writer alone, against raw COPY of the same rows."""
    await burst(stack.port, stack.key(TENANT), batch=100, connections=8, seconds=2)
    await stack.drained(TENANT)
    rows = await _rows(stack)
    async with stack.database() as connection:
        ratio = await abba(lambda: _drained(stack), lambda: copy_rate(connection, rows), repetitions)
    _ratio(results, "drain_over_copy", ratio, ">= 0.65", "rows/s")


async def singles_with_writer(stack: RunningStack, results: Results, repetitions: int) -> None:
    """Single events at full speed with the writer on: no backlog may grow."""
    seconds = 120.0 if repetitions >= 5 else 20.0
    before = await stack.count(TENANT)
    done = await burst(stack.port, stack.key(TENANT), connections=64, seconds=seconds)
    stored = await stack.count(TENANT) - before
    sent = round(done.rate * done.seconds)
    results.add("singles_with_writer", done.rate, "events/s", goal=">= 8,000", note=f"errors {done.errors}")
    results.add("singles_backlog_at_end", (sent - stored) / done.rate, "s", note=f"{sent - stored:,} events")
    await stack.drained(TENANT)
    crowd = await burst(stack.port, stack.key(TENANT), connections=1000, seconds=10)
    results.add(
        "singles_1000_connections_errors", crowd.errors, "errors", goal="0", note=f"{crowd.rate:,.0f}/s"
    )
    await stack.drained(TENANT)


async def open_loop_latency(stack: RunningStack, results: Results, repetitions: int) -> None:
    """1,000 single events a second on a fixed schedule: latency of the answer, and of being queryable."""
    latencies, lags = [], []
    for _ in range(max(repetitions // 2, 1)):
        watching = asyncio.create_task(_lags(stack, seconds=10))
        done = await burst(stack.port, stack.key(TENANT), rate=1000, seconds=10, connections=128)
        lags += await watching
        latencies.append(done.p99_ms)
    spread = max(latencies) - min(latencies)
    results.add("open_loop_1000_p99", statistics.median(latencies), "ms", spread=spread, goal="<= 10")
    lags.sort()
    results.add("acked_to_queryable_p99", lags[len(lags) * 99 // 100] * 1000, "ms", goal="<= 300")


async def list_by_cursor(stack: RunningStack, results: Results, repetitions: int) -> None:
    """Pages of 100 by cursor."""
    taken = await asyncio.to_thread(_pages, stack.port, stack.key(TENANT), 40 * repetitions)
    taken.sort()
    results.add("list_by_cursor_p50", taken[len(taken) // 2] * 1000, "ms")
    results.add("list_by_cursor_p95", taken[len(taken) * 95 // 100] * 1000, "ms", goal="<= 10")


async def postgres_outage(stack: RunningStack, results: Results, repetitions: int) -> None:
    """PostgreSQL stopped at 2,000 events a second open loop: latency during, drain rate afterwards."""
    rate, outage = 2000.0, 60.0 if repetitions >= 5 else 10.0
    await stack.drained(TENANT)
    before = await burst(stack.port, stack.key(TENANT), rate=rate, seconds=15, connections=128)
    await stack.drained(TENANT)
    stack.signal("postgres", signal.SIGQUIT)
    await stack.supervisor.stop("postgres")
    during = await burst(stack.port, stack.key(TENANT), rate=rate, seconds=outage, connections=128)
    await stack.start("postgres")
    arriving = asyncio.create_task(
        burst(stack.port, stack.key(TENANT), rate=rate, seconds=outage / 2, connections=128)
    )
    drained = await _catch_up_rate(stack, rate)
    await arriving
    results.add("outage_errors", before.errors + during.errors, "errors", goal="0")
    note = f"{during.p99_ms:.1f} ms against {before.p99_ms:.1f} ms"
    results.add("outage_p99_over_before", during.p99_ms / before.p99_ms, "ratio", goal="<= 2", note=note)
    results.add("catch_up_over_arrival", drained / rate, "ratio", goal=">= 2", note=f"{drained:,.0f} rows/s")
    await stack.drained(TENANT)


async def memory(stack: RunningStack, results: Results, repetitions: int) -> None:
    """Peak resident memory of ingest and writer after everything above."""
    for name, goal in (("functions", "<= 150"), ("writer", "<= 250")):
        peak = await stack.vm_high_water_kib(name)
        results.add(f"{name}_vm_high_water", peak / 1024, "MiB", goal=goal)


ALL: tuple[Scenario, ...] = (
    singles_over_noop,
    singles_over_suspended_noop,
    batches_over_copy,
    drain_over_copy,
    singles_with_writer,
    open_loop_latency,
    list_by_cursor,
    postgres_outage,
    memory,
)


async def _rate(port: int, *, connections: int) -> float:
    return (await burst(port, connections=connections)).rate


async def _durable(stack: RunningStack, seen: list[Burst], *, connections: int) -> float:
    done = await burst(stack.port, stack.key(TENANT), connections=connections)
    seen.append(done)
    return done.rate


def _latency(results: Results, name: str, seen: list[Burst], goal: str) -> None:
    p99 = [done.p99_ms for done in seen]
    errors = sum(done.errors for done in seen)
    spread = max(p99) - min(p99)
    results.add(
        f"{name}_p99", statistics.median(p99), "ms", spread=spread, goal=goal, note=f"errors {errors}"
    )


async def _rows(stack: RunningStack) -> list[bytes]:
    async with stack.database() as connection:
        await make_scratch(connection, stack.schema(TENANT))
        return await read_rows(connection, stack.schema(TENANT), COPY_ROWS)


async def _committed(stack: RunningStack, seen: list[Burst], size: int) -> float:
    """Send batches for a while; return rows committed per second until the last one is."""
    before = await stack.offset(TENANT)
    started = time.perf_counter()
    seen.append(await burst(stack.port, stack.key(TENANT), batch=size, connections=8, seconds=6))
    await stack.drained(TENANT)
    seconds = time.perf_counter() - started
    return await _rows_behind(stack, before) / seconds


async def _drained(stack: RunningStack) -> float:
    """Pile up a backlog; return rows per second from the first commit that follows until it is gone."""
    stack.signal("writer", signal.SIGSTOP)
    await burst(
        stack.port, stack.key(TENANT), batch=100, connections=8, requests=BACKLOG_EVENTS // 100, seconds=60
    )
    stalled = await stack.offset(TENANT)
    stack.signal("writer", signal.SIGCONT)
    while (first := await stack.offset(TENANT)) == stalled:  # noqa: ASYNC110 - another process
        await asyncio.sleep(0.02)
    started = time.perf_counter()
    await stack.drained(TENANT)
    seconds = time.perf_counter() - started
    return await _rows_behind(stack, first) / seconds


async def _rows_behind(stack: RunningStack, stream_sequence: int) -> int:
    """Count the rows of messages behind one. To be asked when the clock has stopped: it reads the whole table."""
    async with stack.database() as connection:
        return int(
            await connection.fetchval(
                f"SELECT count(*) FROM {stack.schema(TENANT)}.event WHERE stream_sequence > $1 AND kind = 1",
                stream_sequence,
            )
        )


async def _lags(stack: RunningStack, *, seconds: float) -> list[float]:
    """Sample how old the newest committed event is at the moment it is first seen, in seconds."""
    lags: list[float] = []
    end = time.perf_counter() + seconds
    statement = (
        f"SELECT stream_sequence, extract(epoch FROM clock_timestamp() - received_at)::float8"
        f" FROM {stack.schema(TENANT)}.shard_offset"
    )
    last = 0
    async with stack.database() as connection:
        while time.perf_counter() < end:
            sequence, age = await connection.fetchrow(statement)  # type: ignore[misc]  # there is one row
            if sequence != last and last:
                lags.append(age)
            last = sequence
            await asyncio.sleep(0.003)
    return lags


def _pages(port: int, key: str, count: int) -> list[float]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    taken, cursor = [], ""
    for _ in range(count):
        started = time.perf_counter()
        connection.request(
            "GET", f"/api/v1/audit/logs?limit=100{cursor}", headers={"Authorization": f"Bearer {key}"}
        )
        page = json.loads(connection.getresponse().read())
        taken.append(time.perf_counter() - started)
        cursor = f"&cursor={page['next_cursor']}" if page["next_cursor"] else ""
    connection.close()
    return taken


async def _catch_up_rate(stack: RunningStack, arriving: float) -> float:
    """Return rows committed per second from the first commit until the lag is below a second."""
    async with asyncio.timeout(60):
        while (first := await stack.offset(TENANT)) < 0:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)
        while await stack.offset(TENANT) == first:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.02)
    started = time.perf_counter()
    before = await stack.count(TENANT)
    statement = f"SELECT extract(epoch FROM clock_timestamp() - received_at)::float8 FROM {stack.schema(TENANT)}.shard_offset"
    async with stack.database() as connection:
        while float(await connection.fetchval(statement)) > 1.0:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)
    return (await stack.count(TENANT) - before) / (time.perf_counter() - started)
