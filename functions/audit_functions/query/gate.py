"""How many queries run at once: in a shard as many as it has connections, of one tenant no more than its share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from audit_core.errors import Overloaded, TooManyQueries

WAIT_SECONDS: Final = 2.0


@dataclass(slots=True)
class _Tenant:
    turns: asyncio.Semaphore
    under_way: int = field(default=0)


class Gate:
    """Admits queries to one shard's connections. Holds an entry per tenant with a query under way, and no others."""

    def __init__(self, connections: int, *, wait_seconds: float = WAIT_SECONDS) -> None:
        """Let `connections` queries run, and others wait for `wait_seconds` at most."""
        self._connections = asyncio.Semaphore(connections)
        self._wait_seconds = wait_seconds
        self._tenants: dict[str, _Tenant] = {}

    @asynccontextmanager
    async def admitted(self, tenant_id: str, *, concurrency: int, share: int) -> AsyncIterator[None]:
        """Run the body when it is its turn, beside at most `share` - 1 others of the tenant.

        Raises TooManyQueries when the tenant has `concurrency` queries under way, waiting ones included, and Overloaded
        when the turn does not come in time.
        """
        tenant = self._tenants.get(tenant_id)
        if tenant is None:
            tenant = self._tenants[tenant_id] = _Tenant(asyncio.Semaphore(share))
        if tenant.under_way >= concurrency:
            raise TooManyQueries(concurrency)
        tenant.under_way += 1
        try:
            await self._turn(tenant.turns)
            try:
                await self._turn(self._connections)
                try:
                    yield
                finally:
                    self._connections.release()
            finally:
                tenant.turns.release()
        finally:
            tenant.under_way -= 1
            if tenant.under_way == 0:
                del self._tenants[tenant_id]

    async def _turn(self, semaphore: asyncio.Semaphore) -> None:
        try:
            async with asyncio.timeout(self._wait_seconds):
                await semaphore.acquire()
        except TimeoutError:
            raise Overloaded("query connections") from None
