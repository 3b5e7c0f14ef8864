"""Processes that would lead one Lease, and the journal of what they do as leaders."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from tests.support.cluster import Cluster

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


@contextmanager
def candidates_on(cluster: Cluster, folder: Path) -> Iterator[Candidates]:
    """Give candidates for a Lease in a namespace of its own. What they started ends with the context."""
    namespace = f"test-{uuid.uuid4().hex[:12]}"
    cluster.kubectl("create", "namespace", namespace)
    candidates = Candidates(cluster, namespace, folder / "acts")
    try:
        yield candidates
    finally:
        for process in candidates.processes.values():
            process.kill()
            process.wait()
        cluster.kubectl("delete", "namespace", namespace, "--wait=false")
