"""Kubernetes Events: what the operator has to tell people who look at an object with `kubectl describe`.

Events are a courtesy. They wait for nobody, fail nobody, and are few: the same one is not repeated soon, and a storm of
different ones is cut off.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, Literal, Self

from audit_operator.clients.kubernetes import FIELD_MANAGER, Kubernetes
from audit_operator.clients.kubernetes_errors import KubernetesError
from audit_operator.clients.kubernetes_kinds import EVENT, Object

_log = logging.getLogger(__name__)

WAITING: Final = 100
PER_SECOND: Final = 5.0
SAME_AGAIN_SECONDS: Final = 600.0
EventType = Literal["Normal", "Warning"]

_REMEMBERED: Final = 4096
_MAX_NOTE: Final = 1024
_MAX_NAME: Final = 200


class Events:
    """Posts what it is given, at most `per_second`. Leaving the context drops what still waits.

    `instance` names this process: the API demands to know who reports.
    """

    def __init__(
        self,
        api: Kubernetes,
        *,
        instance: str,
        namespace: str = "default",
        per_second: float = PER_SECOND,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._instance = instance
        self._namespace = namespace
        self._pause_seconds = 1 / per_second
        self._clock = clock
        self._waiting: asyncio.Queue[Object] = asyncio.Queue(WAITING)
        self._told: OrderedDict[tuple[str, str, str], float] = OrderedDict()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Start to post."""
        self._task = asyncio.create_task(self._post_all(), name="events")
        return self

    async def __aexit__(self, *_exception: object) -> None:
        """Stop posting."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))

    async def post(
        self,
        regarding: Object,
        *,
        type: EventType,  # noqa: A002 - the API's name for it
        reason: str,
        message: str,
        action: str = "Reconcile",
    ) -> None:
        """Tell `message` about an object; `reason` and `action` are words in CamelCase. Returns at once."""
        uid = regarding["metadata"]["uid"]
        now = self._clock()
        if now < self._told.get((uid, reason, message), now):
            return
        self._told[uid, reason, message] = now + SAME_AGAIN_SECONDS
        self._told.move_to_end((uid, reason, message))
        while len(self._told) > _REMEMBERED:
            self._told.popitem(last=False)
        event = self._event(regarding, type, reason, message, action)
        try:
            self._waiting.put_nowait(event)
        except asyncio.QueueFull:
            self._api.telemetry.events_dropped.inc()

    async def _post_all(self) -> None:
        while True:
            event = await self._waiting.get()
            try:
                await self._api.create(event)
            except KubernetesError as error:
                self._api.telemetry.events_dropped.inc()
                _log.info("event_not_posted reason=%s error=%s", event["reason"], error)
            await asyncio.sleep(self._pause_seconds)

    def _event(self, regarding: Object, kind: EventType, reason: str, message: str, action: str) -> Object:
        metadata = regarding["metadata"]
        namespace = metadata.get(
            "namespace", self._namespace
        )  # of something without one: where kubectl looks
        name = f"{metadata['name'][:_MAX_NAME]}.{uuid.uuid4().hex[:16]}"
        reference = {
            "apiVersion": regarding["apiVersion"],
            "kind": regarding["kind"],
            "name": metadata["name"],
            "namespace": metadata.get("namespace", ""),
            "uid": metadata["uid"],
            "resourceVersion": metadata.get("resourceVersion", ""),
        }
        return {
            "apiVersion": EVENT.api_version,
            "kind": EVENT.name,
            "metadata": {"name": name, "namespace": namespace},
            "eventTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "reportingController": f"auditlog.dev/{FIELD_MANAGER}",
            "reportingInstance": self._instance[:128],
            "action": action,
            "reason": reason,
            "type": kind,
            "note": message.encode()[:_MAX_NOTE].decode("utf-8", "ignore"),
            "regarding": reference,
        }
