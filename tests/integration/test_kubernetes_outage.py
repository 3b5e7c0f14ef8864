"""A real API server goes away and comes back: what was asked is answered, what happened meanwhile is told."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path
from threading import Thread

from audit_operator.clients.informer import Informer
from audit_operator.clients.kubernetes import Kubernetes
from audit_operator.clients.kubernetes_kinds import NAMESPACE, SECRET, Object, Ref
from audit_operator.clients.kubernetes_transport import configuration
from tests.support.candidates import candidates_on
from tests.support.cluster import Cluster
from tests.support.leader import LEASE_SECONDS

AWAY_SECONDS = 5.0


def _secret(namespace: str, name: str) -> Object:
    metadata = {"name": name, "namespace": namespace, "labels": {"of": namespace}}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata}


async def _soon(names: set[str], expected: set[str]) -> None:
    async with asyncio.timeout(60):
        while names != expected:  # noqa: ASYNC110 - told by callbacks
            await asyncio.sleep(0.05)


async def test_an_api_server_that_is_away_for_five_seconds_costs_no_request_and_no_change(
    private_cluster: Cluster,
) -> None:
    namespace = f"test-{uuid.uuid4().hex[:12]}"
    names: set[str] = set()
    async with Kubernetes(await configuration(str(private_cluster.kubeconfig)), deadline_seconds=60.0) as api:
        await api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        await api.apply(_secret(namespace, "before"))
        informer = Informer(
            api,
            SECRET,
            labels={"of": namespace},
            seen=lambda found: names.add(found["metadata"]["name"]),
            gone=lambda found: names.discard(found["metadata"]["name"]),
        )
        running = asyncio.create_task(informer.run())
        await _soon(names, {"before"})

        await asyncio.to_thread(private_cluster.stop_apiserver)
        asked = asyncio.create_task(api.apply(_secret(namespace, "meanwhile")))
        await asyncio.sleep(AWAY_SECONDS)
        assert not asked.done()
        heard = informer.last_progress
        starting = Thread(target=private_cluster.start_apiserver)
        starting.start()
        await asked
        await _soon(names, {"before", "meanwhile"})
        await asyncio.to_thread(starting.join)
        await api.delete(Ref(SECRET, "before", namespace))
        await _soon(names, {"meanwhile"})
        assert informer.last_progress > heard
        running.cancel()
        await asyncio.wait((running,))
        await api.delete(Ref(NAMESPACE, namespace))


async def test_while_the_api_server_is_away_nobody_leads_and_afterwards_one_does(
    private_cluster: Cluster, tmp_path: Path
) -> None:
    with candidates_on(private_cluster, tmp_path) as candidates:
        candidates.start("a")
        await candidates.leads("a")
        candidates.start("b")
        private_cluster.stop_apiserver()
        try:
            await asyncio.sleep(LEASE_SECONDS)
            before = len(candidates.acts())
            await asyncio.sleep(LEASE_SECONDS)
            assert len(candidates.acts()) == before
        finally:
            private_cluster.start_apiserver()
        await candidates.until(lambda: len(candidates.acts()) > before + 20)
        assert len({name for _, name in candidates.acts()[before:]}) == 1
