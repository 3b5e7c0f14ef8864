"""A process that leads whenever it may, and writes down each act: `python -m tests.support.leader kubeconfig name journal`."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from audit_operator.clients.kubernetes import Kubernetes
from audit_operator.clients.kubernetes_kinds import LEASE, Ref
from audit_operator.clients.kubernetes_transport import configuration
from audit_operator.clients.lease import LeadershipLost, Lease

LEASE_SECONDS = 3.0


async def _stand(kubeconfig: str, namespace: str, name: str, journal: Path) -> None:
    async with Kubernetes(await configuration(kubeconfig)) as api:
        lease = Lease(api, Ref(LEASE, "operator", namespace), identity=name, seconds=LEASE_SECONDS)

        async def act() -> None:
            while True:
                decided_at = time.monotonic()  # what was decided in time may be written down late
                if lease.leading():
                    with journal.open("a") as acts:
                        acts.write(f"{decided_at} {name}\n")
                await asyncio.sleep(0.02)

        while True:
            try:
                await lease.lead(act)
            except LeadershipLost:
                continue


if __name__ == "__main__":
    asyncio.run(_stand(sys.argv[1], sys.argv[2], sys.argv[3], Path(sys.argv[4])))
