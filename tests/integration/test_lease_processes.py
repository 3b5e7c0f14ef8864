"""Two processes and one Lease of a real API server: one is killed, or frozen. Each writes down its acts."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.candidates import Candidates, candidates_on
from tests.support.cluster import Cluster
from tests.support.leader import LEASE_SECONDS


@pytest.fixture
def candidates(cluster: Cluster, tmp_path: Path) -> Iterator[Candidates]:
    with candidates_on(cluster, tmp_path) as candidates:
        yield candidates


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
    woken_at = time.monotonic()
    candidates.signal("a", signal.SIGCONT)
    await asyncio.sleep(LEASE_SECONDS)
    later = [name for at, name in candidates.acts() if at > woken_at]
    assert len(later) > 10
    assert set(later) == {"b"}
    assert candidates.processes["a"].wait(10) == 70  # its work was beyond its time: ended, to be started anew
