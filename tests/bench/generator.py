"""Starting the generator and the no-op servers as processes of their own."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from audit_operator.local.ports import free_port, is_free

BURST_SECONDS = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """What one run of the generator reported. `rate` in requests per second."""

    rate: float
    seconds: float
    statuses: dict[str, int]
    p50_ms: float
    p99_ms: float
    cpu_share: float

    @property
    def errors(self) -> int:
        """Answers other than 202, lost connections included."""
        return sum(count for status, count in self.statuses.items() if status != "202")


async def burst(port: int, key: str = "akl_none", **options: float) -> Burst:
    """Run the generator. Options are those of `tests.bench.generate`, with underscores."""
    chosen = {"seconds": BURST_SECONDS, **options}
    arguments = [f"--{name.replace('_', '-')}={value:g}" for name, value in chosen.items()]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.bench.generate",
        f"--port={port}",
        f"--key={key}",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
    )
    answer, _ = await process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"the generator ended with status {process.returncode}")
    return Burst(**json.loads(answer))


@asynccontextmanager
async def noop_server(app: str) -> AsyncIterator[int]:
    """Serve `tests.bench.noop:<app>` as the functions are served: same server, worker class, loop and parser."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.bench.serve", app, str(port))
    try:
        async with asyncio.timeout(20):
            while is_free(port):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.05)
        yield port
    finally:
        process.terminate()
        await process.wait()
