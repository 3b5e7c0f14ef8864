"""PostgreSQL away: ingest does not notice, queries say so, and what was acknowledged meanwhile is stored afterwards.

`AUDIT_OUTAGE_SECONDS` sets how long (`make faults`: a minute). Latency and drain rate are the benchmark's to measure.
"""

from __future__ import annotations

import asyncio
import os
import signal
import urllib.error
import urllib.request
from pathlib import Path

from tests.support.client import JournallingClient, journal_at
from tests.support.running import RunningStack, running_stack

OUTAGE_SECONDS = float(os.environ.get("AUDIT_OUTAGE_SECONDS", "5"))
RATE = 500.0


def _query_status(stack: RunningStack) -> int:
    request = urllib.request.Request(
        f"http://127.0.0.1:{stack.port}/api/v1/audit/logs?limit=1",
        headers={"Authorization": f"Bearer {stack.key('acme')}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=15) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        return refused.code


async def test_ingest_goes_on_without_postgres_and_everything_is_stored_afterwards(tmp_path: Path) -> None:
    async with running_stack(tmp_path) as stack:
        with journal_at(tmp_path) as journal:
            client = JournallingClient(stack.port, stack.key("acme"), journal)
            load = asyncio.create_task(client.at_rate(RATE, OUTAGE_SECONDS + 2))
            await asyncio.sleep(1)
            stack.signal("postgres", signal.SIGQUIT)
            await stack.supervisor.stop("postgres")
            assert await asyncio.to_thread(_query_status, stack) == 503
            await asyncio.sleep(OUTAGE_SECONDS)
            await stack.start("postgres")
            answered = await load
            await stack.drained("acme")
            verdict = journal.verdict(await stack.markers("acme"))
        assert answered.statuses == {202: answered.answered}
        assert verdict.kept, verdict
        assert verdict.stored == verdict.sent == answered.answered
        async with asyncio.timeout(20):
            while await asyncio.to_thread(_query_status, stack) != 200:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.2)
