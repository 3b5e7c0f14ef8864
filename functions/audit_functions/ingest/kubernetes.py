"""`POST /api/v1/audit/kubernetes`: where the audit webhook of a kube-apiserver posts its lists.

The webhook knows two answers: 2xx, after which it forgets the list, and everything else, after which it sends the
whole list a few times more and then forgets it too. So there is no answer item by item, nothing of a list is refused
for what it holds, and 2xx waits for every frame.
"""

from __future__ import annotations

import asyncio
from typing import Final

from audit_core.errors import AuditError, BodyTooLarge
from audit_core.event import EventLimits
from audit_core.mappings.kubernetes import Mapped, kubernetes_event
from audit_core.mappings.kubernetes_list import records_in
from audit_functions.ingest.answers import ACCEPTED, ListAnswer, encoded
from audit_functions.ingest.edge import Endpoint, Exchange, log
from audit_functions.ingest.http import whole_body
from audit_functions.ingest.media import demand_json
from audit_functions.ingest.service import Request
from audit_functions.ingest.shard import IngestCaller
from audit_functions.web.problem import problem_of

MAX_LIST_BYTES: Final = 12 * 1024 * 1024
"""A list before and after decompression: the API server's own bound for one (10 MiB when truncating), and room."""


class KubernetesList(Endpoint):
    """An EventList, as one."""

    operation = "createKubernetesAuditLogs"

    async def serve(self, exchange: Exchange) -> None:
        """Answer 202 once the stream has every event of the list. Raises what anything of it was refused for."""
        edge = self.edge
        caller = edge.caller(exchange.headers)
        demand_json(exchange.headers.get(b"content-type"))
        body = await whole_body(edge, exchange, MAX_LIST_BYTES)
        edge.budget.take(len(body))
        try:
            answer = await self._recorded(caller, body)
        except AuditError as error:
            edge.ingest.refused(caller, problem_of(error).status)
            raise
        finally:
            edge.budget.give(len(body))
        await exchange.answer(ACCEPTED, encoded(answer))

    async def _recorded(self, caller: IngestCaller, body: bytes) -> ListAnswer:
        ingest = self.edge.ingest
        limits = caller.tenant.limits
        mapped = await asyncio.to_thread(
            _mapped, body, EventLimits(max_event_bytes=limits.max_event_bytes), limits.max_batch_events
        )
        submission = await ingest.batch(Request(caller), [event.body for event in mapped])
        settled = await submission.settled()
        ingest.counted(caller, settled.accepted)
        if settled.refused:
            raise settled.refused[0][1]
        unmapped = sum(1 for event in mapped if not event.is_mapped)
        if unmapped:
            log.warning("kubernetes_events_unmapped", tenant=caller.tenant.name, events=unmapped)
        return ListAnswer(accepted=len(mapped), unmapped=unmapped)


def _mapped(body: bytes, limits: EventLimits, max_events: int) -> list[Mapped]:
    """Map a whole list. In a thread of its own: seconds of work, should somebody mean harm."""
    records = records_in(body)
    if len(records) > max_events:
        raise BodyTooLarge(max_events, "events")
    return [kubernetes_event(record, limits) for record in records]
