"""A supervisor for tests, the embedded servers as its children, and what is seen of processes from outside."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from audit_operator.local.processes import Supervisor

PATIENCE_SECONDS = 20.0


class Told:
    """What a supervisor told: deaths as (name, status), failed restarts as (name, reason)."""

    def __init__(self) -> None:
        self.deaths: list[tuple[str, int]] = []
        self.failed_starts: list[tuple[str, str]] = []

    def died(self, name: str, status: int) -> None:
        self.deaths.append((name, status))

    def not_started(self, name: str, trouble: Exception) -> None:
        self.failed_starts.append((name, str(trouble)))


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
async def supervisor(tmp_path: Path, told: Told) -> AsyncIterator[Supervisor]:
    made = Supervisor(tmp_path / "logs", told.died, told.not_started)
    yield made
    await made.stop_all()


async def until(holds: Callable[[], bool]) -> None:
    """Return when `holds` does; other processes decide when that is."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not holds():  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.01)


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def listening_addresses(pid: int) -> set[str]:
    """Return the addresses, in the kernel's notation, on which a process listens."""
    links = [link.readlink() for link in Path(f"/proc/{pid}/fd").iterdir()]
    sockets = {str(link)[8:-1] for link in links if str(link).startswith("socket:[")}
    found: set[str] = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in sockets:
                found.add(fields[1])
    return found
