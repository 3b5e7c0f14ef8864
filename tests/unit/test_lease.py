"""The Lease: never two leaders, whatever fails; a crash costs a lease's time, a clean exit next to none."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, TypeVar

import pytest

from audit_operator.clients.kubernetes_errors import ApiUnavailable, Conflict
from audit_operator.clients.kubernetes_kinds import LEASE, Ref
from audit_operator.clients.lease import LeadershipLost, Lease
from tests.support.lease_store import LeaseStore
from tests.support.virtual_time import in_virtual_time

REF = Ref(LEASE, "audit-operator", "audit-system")
SECONDS = 15.0

T = TypeVar("T")


@dataclass(slots=True)
class Network:
    """One candidate's way to the server, which can be cut in all the ways that differ for a client."""

    server: LeaseStore
    dice: random.Random = field(default_factory=lambda: random.Random(1))
    fault: str = ""
    in_flight: set[asyncio.Task[Any]] = field(default_factory=set)

    async def find(self, ref: Ref) -> dict[str, Any] | None:
        assert ref == REF
        return await self._carry(self.server.read)

    async def create(self, manifest: dict[str, Any]) -> dict[str, Any]:
        return await self._carry(lambda: self.server.write(manifest, anew=True))

    async def replace(self, manifest: dict[str, Any]) -> dict[str, Any]:
        return await self._carry(lambda: self.server.write(manifest, anew=False))

    async def _carry(self, request: Callable[[], T]) -> T:
        fault = self.fault
        await asyncio.sleep(self.dice.uniform(0.001, 0.1))
        if fault == "refused":
            raise ApiUnavailable(503, "", "")
        if fault == "hangs":
            await asyncio.sleep(10_000)
        if fault == "late":  # arrives after its sender has given up, and is carried out nevertheless
            late = asyncio.create_task(self._later(request))
            self.in_flight.add(late)
            landed = await asyncio.shield(late)
            if isinstance(landed, Conflict):
                raise landed
            return landed
        answer = request()
        if fault == "four seconds":
            await asyncio.sleep(4.0)
        if fault == "answer lost":
            await asyncio.sleep(self.dice.choice((0.01, 100.0)))
            raise ApiUnavailable(0, "ServerDisconnectedError", "")
        if fault == "slow":
            await asyncio.sleep(self.dice.uniform(0.0, 12.0))
        return answer

    async def _later(self, request: Callable[[], T]) -> T | Conflict:
        await asyncio.sleep(self.dice.uniform(0.0, 40.0))
        try:
            return request()
        except Conflict as conflict:
            return conflict


class Candidate:
    """Leads whenever it may, again after each loss, and records what it does as leader."""

    def __init__(self, name: str, network: Network, acts: list[tuple[float, str]], skew: float = 0.0) -> None:
        self.name = name
        self.network = network
        self.losses = 0
        self.expired = 0
        self.slow_to_end = 0.0
        self.terms: list[tuple[float, float]] = []
        self._acts = acts
        self.lease = Lease(
            network,
            REF,
            identity=name,
            seconds=SECONDS,
            clock=lambda: asyncio.get_running_loop().time() + skew,
            expired=self._expire,
        )

    async def stand(self) -> None:
        while True:
            try:
                await self.lease.lead(self.act)
            except LeadershipLost:
                self.losses += 1

    async def act(self) -> None:
        began = asyncio.get_running_loop().time()
        try:
            while True:
                self._acts.append((asyncio.get_running_loop().time(), self.name))
                await asyncio.sleep(0.3)
        finally:
            await asyncio.sleep(self.slow_to_end)
            self.terms.append((began, asyncio.get_running_loop().time()))

    def _expire(self) -> None:
        self.expired += 1


def _terms(acts: list[tuple[float, str]]) -> list[str]:
    """Name each leader once for each time that it took over."""
    names = [name for _, name in acts]
    return names[:1] + [after for before, after in pairwise(names) if before != after]


def _gap(acts: list[tuple[float, str]]) -> float:
    return max(later - earlier for (earlier, _), (later, _) in pairwise(acts))


def test_one_leads_and_the_other_waits() -> None:
    async def story() -> None:
        server, acts = LeaseStore(), list[tuple[float, str]]()
        both = [asyncio.create_task(Candidate(name, Network(server), acts).stand()) for name in "ab"]
        await asyncio.sleep(3600)
        assert len(_terms(acts)) == 1
        assert _gap(acts) < 0.4
        await _cancel(*both)

    in_virtual_time(story())


def test_a_clean_exit_hands_over_within_two_seconds() -> None:
    async def story() -> None:
        server, acts = LeaseStore(), list[tuple[float, str]]()
        first = asyncio.create_task(Candidate("a", Network(server), acts).stand())
        await asyncio.sleep(5)
        second = asyncio.create_task(Candidate("b", Network(server), acts).stand())
        await asyncio.sleep(60)
        await _cancel(first)
        assert server.holder() == ""
        await asyncio.sleep(10)
        assert _terms(acts) == ["a", "b"]
        assert _gap(acts) < 2
        await _cancel(second)

    in_virtual_time(story())


def test_a_crash_is_taken_over_after_a_leases_time_whatever_the_clocks_say() -> None:
    async def story() -> None:
        server, acts = LeaseStore(), list[tuple[float, str]]()
        away = Network(server)
        first = asyncio.create_task(Candidate("a", away, acts).stand())
        await asyncio.sleep(5)
        second = asyncio.create_task(Candidate("b", Network(server), acts, skew=-86_400.0).stand())
        await asyncio.sleep(60)
        away.fault = "hangs"  # so that nothing is released
        await _cancel(first)
        assert server.holder() == "a"
        await asyncio.sleep(30)
        assert _terms(acts) == ["a", "b"]
        assert SECONDS * 0.8 < _gap(acts) < SECONDS + 5
        await _cancel(second)

    in_virtual_time(story())


def test_a_short_outage_changes_nothing() -> None:
    async def story() -> None:
        server, acts = LeaseStore(), list[tuple[float, str]]()
        candidate = Candidate("a", Network(server), acts)
        standing = asyncio.create_task(candidate.stand())
        await asyncio.sleep(30)
        candidate.network.fault = "refused"
        await asyncio.sleep(5)
        candidate.network.fault = ""
        await asyncio.sleep(60)
        assert candidate.losses == 0
        assert _gap(acts) < 0.4
        await _cancel(standing)

    in_virtual_time(story())


def test_an_outage_ends_leading_before_the_lease_runs_out() -> None:
    async def story() -> None:
        server, acts = LeaseStore(), list[tuple[float, str]]()
        candidate = Candidate("a", Network(server), acts)
        standing = asyncio.create_task(candidate.stand())
        await asyncio.sleep(30)
        candidate.network.fault = "hangs"
        await asyncio.sleep(30)
        assert candidate.losses == 1
        assert acts[-1][0] <= 30 + SECONDS * 2 / 3
        assert not candidate.lease.leading()
        assert candidate.expired == 0
        await _cancel(standing)

    in_virtual_time(story())


def test_leading_counts_from_before_a_renewal_was_sent_not_from_its_answer() -> None:
    async def story() -> None:
        server, acts = LeaseStore(), list[tuple[float, str]]()
        candidate = Candidate("a", Network(server), acts)
        candidate.network.fault = "four seconds"
        standing = asyncio.create_task(candidate.stand())
        await asyncio.sleep(8.5)  # four to find no Lease, four to create one
        assert server.version == 1
        candidate.network.fault = "hangs"
        await asyncio.sleep(30)
        assert acts[-1][0] <= 4.5 + SECONDS * 2 / 3
        await _cancel(standing)

    in_virtual_time(story())


def test_work_that_does_not_end_in_time_is_ended_with_its_process() -> None:
    async def story() -> None:
        server, acts = LeaseStore(), list[tuple[float, str]]()
        candidate = Candidate("a", Network(server), acts)
        candidate.slow_to_end = 60.0
        standing = asyncio.create_task(candidate.stand())
        await asyncio.sleep(30)
        candidate.network.fault = "refused"
        await asyncio.sleep(SECONDS)
        assert candidate.expired == 1
        await _cancel(standing)

    in_virtual_time(story())


def test_an_exit_that_takes_long_keeps_the_lease_until_it_has_ended() -> None:
    async def story() -> None:
        server, acts = LeaseStore(), list[tuple[float, str]]()
        candidate = Candidate("a", Network(server), acts)
        candidate.slow_to_end = 60.0
        standing = asyncio.create_task(candidate.stand())
        await asyncio.sleep(30)
        standing.cancel()
        await asyncio.sleep(59)
        assert server.holder() == "a"
        with pytest.raises(asyncio.CancelledError):
            await standing
        assert server.holder() == ""
        assert candidate.expired == 0

    in_virtual_time(story())


def test_a_lease_that_somebody_else_took_is_given_up_at_the_next_renewal() -> None:
    async def story() -> None:
        server, acts = LeaseStore(), list[tuple[float, str]]()
        candidate = Candidate("a", Network(server), acts)
        standing = asyncio.create_task(candidate.stand())
        await asyncio.sleep(30)
        taken = server.read()
        assert taken
        taken["spec"]["holderIdentity"] = "an administrator"
        server.write(taken, anew=False)
        await asyncio.sleep(SECONDS / 3)
        assert candidate.losses == 1
        assert server.holder() == "an administrator"
        await _cancel(standing)

    in_virtual_time(story())


def test_what_the_work_raises_comes_out_and_the_lease_is_free() -> None:
    async def story() -> None:
        server = LeaseStore()
        lease = Lease(
            Network(server), REF, identity="a", seconds=SECONDS, clock=asyncio.get_running_loop().time
        )

        async def work() -> None:
            raise ValueError("as told")

        with pytest.raises(ValueError, match="as told"):
            await lease.lead(work)
        assert server.holder() == ""
        assert not lease.leading()

    in_virtual_time(story())


@pytest.mark.parametrize("seed", range(10))
def test_no_two_lead_in_a_hundred_outages(seed: int) -> None:
    dice = random.Random(seed)
    faults = ("refused", "hangs", "late", "answer lost", "slow")

    async def story() -> None:
        server, acts = LeaseStore(), list[tuple[float, str]]()
        networks = [Network(server, dice) for _ in "abc"]
        candidates = [
            Candidate(name, network, acts, skew=dice.uniform(-1e6, 1e6))
            for name, network in zip("abc", networks, strict=True)
        ]
        standing = [asyncio.create_task(each.stand()) for each in candidates]
        for _ in range(100):
            await asyncio.sleep(dice.uniform(0, 40))
            cut = dice.sample(networks, dice.randint(1, 3))
            for network in cut:
                network.fault = dice.choice(faults)
            await asyncio.sleep(dice.uniform(0, 40))
            for network in cut:
                network.fault = ""
        await _cancel(*standing)
        late = [task for network in networks for task in network.in_flight]
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

        assert sum(each.losses for each in candidates) > 10
        assert sum(each.expired for each in candidates) == 0
        terms = sorted(term for each in candidates for term in each.terms)
        assert len(terms) > 20
        assert [pair for pair in pairwise(terms) if pair[0][1] > pair[1][0]] == []

    in_virtual_time(story())


async def _cancel(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in results), results
