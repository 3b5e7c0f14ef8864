"""Two processes and one Lease of a real API server: one is killed, frozen, asked to stop. Each writes down its acts."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.cluster import Cluster
from tests.support.leader import LEASE_SECONDS

ROOT = Path(__file__).parents[2]
MODULES = os.pathsep.join(str(ROOT / folder) for folder in ("core", "operator", "."))


class Candidates:
    """Processes that would lead, and the journal that they share. Monotonic time is the machine's, not a process's."""

    def __init__(self, cluster: Cluster, namespace: str, journal: Path) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._journal = journal
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        command = [sys.executable, "-m", "tests.support.leader", str(self._cluster.kubeconfig)]
        self.processes[name] = subprocess.Popen(
            [*command, self._namespace, name, str(self._journal)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": MODULES},
            stderr=subprocess.DEVNULL,
        )

    def signal(self, name: str, what: signal.Signals) -> None:
        self.processes[name].send_signal(what)

    def acts(self) -> list[tuple[float, str]]:
        lines = self._journal.read_text().splitlines() if self._journal.exists() else []
        return [(float(at), name) for at, name in (line.split() for line in lines)]

    def leaders(self) -> list[str]:
        names = [name for _, name in sorted(self.acts())]
        return names[:1] + [after for before, after in pairwise(names) if before != after]

    def longest_pause(self) -> float:
        return max(after - before for (before, _), (after, _) in pairwise(sorted(self.acts())))

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(40):
            while not holds():  # noqa: ASYNC110 - what other processes do
                await asyncio.sleep(0.05)

    async def leads(self, name: str) -> None:
        await self.until(lambda: self.leaders()[-1:] == [name])


@pytest.fixture
def candidates(cluster: Cluster, tmp_path: Path) -> Iterator[Candidates]:
    namespace = f"test-{uuid.uuid4().hex[:12]}"
    cluster.kubectl("create", "namespace", namespace)
    candidates = Candidates(cluster, namespace, tmp_path / "acts")
    yield candidates
    for process in candidates.processes.values():
        process.kill()
        process.wait()
    cluster.kubectl("delete", "namespace", namespace, "--wait=false")


async def test_when_the_leader_is_killed_the_other_leads_after_the_leases_time(
    candidates: Candidates,
) -> None:
    candidates.start("a")
    await candidates.leads("a")
    candidates.start("b")
    await asyncio.sleep(2)
    candidates.signal("a", signal.SIGKILL)
    await candidates.leads("b")
    assert candidates.leaders() == ["a", "b"]
    assert LEASE_SECONDS * 0.5 < candidates.longest_pause() < LEASE_SECONDS + 4


async def test_a_leader_that_was_frozen_for_longer_than_its_lease_acts_no_more(
    candidates: Candidates,
) -> None:
    candidates.start("a")
    await candidates.leads("a")
    candidates.start("b")
    await asyncio.sleep(2)
    candidates.signal("a", signal.SIGSTOP)
    await candidates.leads("b")
    woken_after = len(candidates.acts())
    candidates.signal("a", signal.SIGCONT)
    await asyncio.sleep(LEASE_SECONDS)
    later = candidates.acts()[woken_after:]
    assert len(later) > 10
    assert {name for _, name in later} == {"b"}
    assert candidates.processes["a"].wait(10) == 70  # its work was beyond its time: ended, to be started anew


async def test_while_the_api_server_is_away_nobody_leads_and_afterwards_one_does(
    cluster: Cluster, candidates: Candidates
) -> None:
    candidates.start("a")
    await candidates.leads("a")
    candidates.start("b")
    cluster.stop_apiserver()
    try:
        await asyncio.sleep(LEASE_SECONDS)
        before = len(candidates.acts())
        await asyncio.sleep(LEASE_SECONDS)
        assert len(candidates.acts()) == before
    finally:
        cluster.start_apiserver()
    await candidates.until(lambda: len(candidates.acts()) > before + 20)
    assert len({name for _, name in candidates.acts()[before:]}) == 1
