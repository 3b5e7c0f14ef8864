"""Two hundred outages of an API server over HTTP, in real time: of all who may lead a Lease, never two at once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise

import msgspec
import pytest
from aiohttp import web
from kubernetes.aio.client import Configuration

from audit_operator.clients.kubernetes import Kubernetes
from audit_operator.clients.kubernetes_errors import Conflict
from audit_operator.clients.kubernetes_kinds import LEASE, Ref
from audit_operator.clients.lease import LeadershipLost, Lease
from tests.support.lease_store import LeaseStore

SECONDS = 1.0
LEASES = 10
OUTAGES_OF_EACH = 20
FAULTS = ("refuses", "hangs", "cuts", "cuts after", "late")

Act = tuple[float, str]


class Faulty:
    """Leases over HTTP. Each candidate comes by a path of its own, where faults can be planted."""

    def __init__(self) -> None:
        self.leases = [LeaseStore() for _ in range(LEASES)]
        self.faults: dict[tuple[str, str], str] = {}
        self.suffered = dict.fromkeys(FAULTS, 0)

    async def handle(self, request: web.Request) -> web.Response:
        candidate, number = request.match_info["candidate"], request.match_info["lease"]
        body = await request.read()
        fault = self.faults.get((candidate, number), "")
        if fault:
            self.suffered[fault] += 1
        if fault == "refuses":
            return web.Response(status=503)
        if fault == "hangs":
            await asyncio.sleep(60)
        if fault == "late":  # carried out after the sender gave up
            await asyncio.shield(asyncio.create_task(self._late(int(number), request.method, body)))
        answer = web.Response() if fault == "cuts" else self._answer(int(number), request.method, body)
        if fault.startswith("cuts"):
            assert request.transport
            request.transport.close()
        return answer

    async def _late(self, number: int, method: str, body: bytes) -> None:
        await asyncio.sleep(random.uniform(0.0, 2 * SECONDS))
        self._answer(number, method, body)

    def _answer(self, number: int, method: str, body: bytes) -> web.Response:
        store = self.leases[number]
        try:
            found = store.write(msgspec.json.decode(body), anew=method == "POST") if body else store.read()
        except Conflict:
            return web.Response(status=409)
        if found is None:
            return web.Response(status=404)
        return web.Response(body=msgspec.json.encode(found), content_type="application/json")


@asynccontextmanager
async def _served(faulty: Faulty) -> AsyncIterator[str]:
    app = web.Application()
    path = "/{candidate}/apis/coordination.k8s.io/v1/namespaces/{lease}/leases"
    for end in ("", "/operator"):
        app.router.add_route("*", path + end, faulty.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


class Candidate:
    """Stands for one Lease, and writes down when it acts."""

    def __init__(self, api: Kubernetes, name: str, number: str, acts: list[Act]) -> None:
        self.losses = 0
        self.expired = 0
        self._name = name
        self._acts = acts
        where = Ref(LEASE, "operator", number)
        self._lease = Lease(api, where, identity=name, seconds=SECONDS, expired=self._expire)

    async def stand(self) -> None:
        while True:
            try:
                await self._lease.lead(self._act)
            except LeadershipLost:
                self.losses += 1

    async def _act(self) -> None:
        while True:
            if self._lease.leading():
                self._acts.append((asyncio.get_running_loop().time(), self._name))
            await asyncio.sleep(0.02)

    def _expire(self) -> None:
        self.expired += 1


async def _trouble(faulty: Faulty, number: str, dice: random.Random) -> None:
    for _ in range(OUTAGES_OF_EACH):
        cut = dice.sample("ab", dice.randint(1, 2))
        for candidate in cut:
            faulty.faults[candidate, number] = dice.choice(FAULTS)
        await asyncio.sleep(dice.uniform(0.1, 1.5 * SECONDS))
        for candidate in cut:
            faulty.faults.pop((candidate, number))
        await asyncio.sleep(dice.uniform(0.0, SECONDS))


@pytest.mark.slow
async def test_in_two_hundred_outages_no_two_lead() -> None:
    dice = random.Random(4)
    faulty = Faulty()
    acts: list[list[Act]] = [[] for _ in range(LEASES)]
    candidates: list[Candidate] = []
    async with _served(faulty) as url, AsyncExitStack() as stack:
        for name in "ab":
            api = await stack.enter_async_context(Kubernetes(Configuration(host=f"{url}/{name}")))
            candidates += [Candidate(api, name, str(number), acts[number]) for number in range(LEASES)]
        standing = [asyncio.create_task(each.stand()) for each in candidates]
        await asyncio.gather(*(_trouble(faulty, str(number), dice) for number in range(LEASES)))
        for task in standing:
            task.cancel()
        await asyncio.gather(*standing, return_exceptions=True)
        assert all(task.cancelled() for task in standing)

    assert min(faulty.suffered.values()) > 20
    assert sum(each.losses for each in candidates) > LEASES
    changes = [pair for each in acts for pair in pairwise(each) if pair[0][1] != pair[1][1]]
    assert len(changes) > LEASES
    # Two who led at once would take turns at the pace of their acts. Whoever takes over a Lease that was not released
    # comes a third of its time after the other's last act; who takes over a released one reads and writes it first,
    # and the one who released it needs as much to come again.
    for each in acts:
        turns = [later for earlier, later in pairwise(each) if earlier[1] != later[1]]
        assert all(after - before > SECONDS / 20 for (before, _), (after, _) in pairwise(turns))
