"""Leadership by a Lease: one process at a time, whatever the network, the server and the clocks do.

Nobody's wall clock is compared with anybody else's. A candidate takes a Lease over after it has watched it stand unchanged
for a lease's time on its own monotonic clock. A leader counts from the moment before it sent the last renewal that
succeeded, stops at two thirds of the lease's time, and has the last third to end its work.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import random
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final, Protocol, TypeVar

from audit_operator.clients.kubernetes_errors import Conflict, KubernetesError
from audit_operator.clients.kubernetes_kinds import Object, Ref

_log = logging.getLogger(__name__)

T = TypeVar("T")

SECONDS: Final = 15.0
_LEAD_SHARE: Final = 2 / 3
"""How much of a lease's time a leader leads on without a renewal. By `_EXPIRY_SHARE` its work must have ended."""
_EXPIRY_SHARE: Final = 0.9
_RENEW_SHARE: Final = 1 / 6
_LOOK_SHARE: Final = 1 / 20
_ATTEMPT_SHARE: Final = 1 / 3
_JITTER: Final = 0.2


class Leases(Protocol):
    """What is needed of the API server; `Kubernetes` has it. Raises KubernetesError."""

    async def find(self, ref: Ref) -> Object | None:
        """Return a Lease, or None when there is none."""
        ...

    async def create(self, manifest: Object) -> Object:
        """Create one; Conflict when it is there."""
        ...

    async def replace(self, manifest: Object) -> Object:
        """Replace one; Conflict when it was changed since."""
        ...


class LeadershipLost(Exception):
    """The Lease could not be renewed in time, or is somebody else's. What was led has ended."""


def _end_process() -> None:
    """End at once: what must not run any longer does not stop."""
    _log.critical("leadership_expired_while_working")
    os._exit(70)


class Lease:
    """A candidate for the Lease at `ref`. `identity` is this process's alone, or two would take each other for one.

    `api` should have connections of its own, so that a renewal never waits behind other requests. When work has not ended
    by the time that another process may lead, as when this one was frozen meanwhile, `expired` is called: it ends the
    process.
    """

    def __init__(
        self,
        api: Leases,
        ref: Ref,
        *,
        identity: str,
        seconds: float = SECONDS,
        clock: Callable[[], float] = time.monotonic,
        expired: Callable[[], None] = _end_process,
    ) -> None:
        self._api = api
        self._ref = ref
        self._identity = identity
        self._seconds = seconds
        self._clock = clock
        self._expired = expired
        self._held: Object | None = None
        self._renewed_at = 0.0

    def leading(self) -> bool:
        """Tell whether this process may act as leader now. True means: nobody else leads for a third of the time yet."""
        return self._held is not None and self._clock() < self._renewed_at + self._seconds * _LEAD_SHARE

    async def lead(self, run: Callable[[], Awaitable[None]]) -> None:
        """Wait until this process leads, then run; return when it has run, and hand over at once.

        Raises LeadershipLost after `run` was cancelled and has ended, because leading could not go on.
        """
        await self._acquire()
        _log.info("leadership_acquired lease=%s identity=%s", self._ref, self._identity)
        work = asyncio.ensure_future(run())
        renewals = asyncio.create_task(self._renew(), name=f"renew {self._ref}")
        lost = False
        try:
            await asyncio.wait((work, renewals), return_when=asyncio.FIRST_COMPLETED)
            lost = not work.done()
        finally:
            try:
                await self._end(work)
            finally:
                renewals.cancel()
                await self._release()
        if lost:
            _log.error("leadership_lost lease=%s identity=%s", self._ref, self._identity)
            raise LeadershipLost from (None if work.cancelled() else work.exception())
        work.result()

    async def _acquire(self) -> None:
        """Return as leader."""
        version, unchanged_since = "", 0.0
        while True:
            try:
                found = await self._within(self._api.find(self._ref))
                now = self._clock()
                spec = found["spec"] if found else {}
                if found and found["metadata"]["resourceVersion"] != version:
                    version, unchanged_since = found["metadata"]["resourceVersion"], now
                nobodys = spec.get("holderIdentity") in (None, "", self._identity)
                if nobodys or now - unchanged_since >= max(self._seconds, spec["leaseDurationSeconds"]):
                    await self._within(self._hold(found))
                    if self.leading():
                        return
            except Conflict:
                _log.info("leadership_taken_by_another lease=%s", self._ref)
            except (KubernetesError, TimeoutError) as error:
                _log.warning("lease_unreachable lease=%s error=%r", self._ref, error)
            await asyncio.sleep(self._pause(_LOOK_SHARE))

    async def _renew(self) -> None:
        """Return when leading must end."""
        while self.leading():
            await asyncio.sleep(min(self._pause(_RENEW_SHARE), self._remaining(_LEAD_SHARE)))
            try:
                await self._within(self._hold(self._held), at_most=self._remaining(_LEAD_SHARE))
            except Conflict:
                if not await self._still_ours():
                    return
            except (KubernetesError, TimeoutError) as error:
                _log.warning("lease_not_renewed lease=%s error=%r", self._ref, error)

    async def _still_ours(self) -> bool:
        """Look again: what conflicts may be a renewal of ours whose answer was lost. In doubt, time decides."""
        try:
            found = await self._within(self._api.find(self._ref), at_most=self._remaining(_LEAD_SHARE))
        except (KubernetesError, TimeoutError):
            return True
        ours = found is not None and found["spec"].get("holderIdentity") == self._identity
        self._held = found if ours else None  # what is another's must not be released
        return ours

    async def _hold(self, found: Object | None) -> None:
        """Write that this process holds the Lease, provided that it is as found."""
        before = found["spec"] if found else {}
        ours = before.get("holderIdentity") == self._identity
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": math.ceil(self._seconds),
            "acquireTime": before["acquireTime"] if ours else now,
            "renewTime": now,
            "leaseTransitions": before.get("leaseTransitions", 0) + (not ours),
        }
        sent_at = self._clock()
        held = await self._write(found, spec)
        self._held, self._renewed_at = held, sent_at

    async def _write(self, found: Object | None, spec: Object) -> Object:
        metadata = found["metadata"] if found else {"name": self._ref.name, "namespace": self._ref.namespace}
        kind = self._ref.kind
        manifest = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, "spec": spec}
        return await (self._api.replace(manifest) if found else self._api.create(manifest))

    async def _end(self, work: asyncio.Future[None]) -> None:
        """Return when the work has ended, however often this is cancelled meanwhile."""
        work.cancel()
        interrupted, in_time = False, True
        while not work.done():
            if in_time and self._remaining(_EXPIRY_SHARE) <= 0:
                in_time = False
                self._expired()
            try:
                await asyncio.wait((work,), timeout=self._remaining(_EXPIRY_SHARE) if in_time else None)
            except asyncio.CancelledError:
                interrupted = True
        if interrupted:
            raise asyncio.CancelledError

    async def _release(self) -> None:
        """Let the next one lead at once, if the Lease is still ours to give."""
        held, leading = self._held, self.leading()
        self._held = None
        if held is None or not leading:
            return
        try:
            await self._within(self._write(held, {**held["spec"], "holderIdentity": ""}))
        except (KubernetesError, TimeoutError) as error:
            _log.info("lease_not_released lease=%s error=%r", self._ref, error)

    async def _within(self, request: Awaitable[T], at_most: float = math.inf) -> T:
        async with asyncio.timeout(max(0.0, min(self._seconds * _ATTEMPT_SHARE, at_most))):
            return await request

    def _remaining(self, share: float) -> float:
        return max(0.0, self._renewed_at + self._seconds * share - self._clock())

    def _pause(self, share: float) -> float:
        return self._seconds * share * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311
