"""What is derived once from a caller and used for each of its events."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from audit_core.canonical import canonical_json
from audit_core.errors import Forbidden
from audit_core.event import EventLimits
from audit_core.ids import idempotent_id, tenant_subkey
from audit_functions.ingest.shard import IngestCaller
from audit_functions.telemetry import Telemetry

TRANSPORT: Final = "http"
_ENVELOPE_HEAD: Final = b'{"accepted_at":"'
_TIME_CHARS: Final = len("2026-11-23T10:00:00.000001Z")
_MAX_REMEMBERED: Final = 10_000
_SECOND_NS: Final = 1_000_000_000


class Sender:
    """One caller: its limits, its envelope, its ids, its counters."""

    __slots__ = ("_caller", "_envelope_tail", "_idempotency", "counts", "limits", "tenant_id")

    def __init__(self, caller: IngestCaller, telemetry: Telemetry) -> None:
        self._caller = caller
        self._idempotency: bytes | None = None
        self.tenant_id = caller.tenant_id
        self.limits = EventLimits(max_event_bytes=caller.tenant.limits.max_event_bytes)
        self.counts = telemetry.tenant(caller.tenant.name)
        rest = {"key_id": caller.grant.key_id, "principal": caller.grant.principal, "transport": TRANSPORT}
        self._envelope_tail = b'","' + canonical_json(rest)[2:]  # `accepted_at` sorts before them

    @property
    def envelope_bytes(self) -> int:
        """How long an envelope is."""
        return len(_ENVELOPE_HEAD) + _TIME_CHARS + len(self._envelope_tail)

    def envelope(self, accepted_at: bytes) -> bytes:
        """Return the envelope's canonical JSON."""
        return _ENVELOPE_HEAD + accepted_at + self._envelope_tail

    def demand_own(self, tenant_hint: str) -> None:
        """Raise Forbidden when an event names another tenant than the credential."""
        if tenant_hint not in (self.tenant_id, self._caller.tenant.name):
            raise Forbidden("tenant_id names another tenant than the credential")

    def idempotent_id(self, key: str, index: int) -> str:
        """Return the id of the event at `index` of a request with that Idempotency-Key."""
        if self._idempotency is None:
            self._idempotency = tenant_subkey(self._caller.secret, "idempotency")
        return idempotent_id(self._idempotency, key, index)


class Senders:
    """The senders of the callers seen lately. A caller is another object as soon as its configuration changes."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._known: dict[IngestCaller, Sender] = {}

    def of(self, caller: IngestCaller) -> Sender:
        """Return the sender of a caller."""
        sender = self._known.get(caller)
        if sender is None:
            if len(self._known) >= _MAX_REMEMBERED:
                self._known.clear()
            sender = self._known[caller] = Sender(caller, self._telemetry)
        return sender


class Clock:
    """Writes the current time as RFC 3339 with microseconds; the seconds are formatted once each."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._second = -1
        self._text = ""

    def text(self) -> bytes:
        """Return the time, such as `2026-11-23T10:00:00.000001Z`."""
        second, rest = divmod(self._now_ns(), _SECOND_NS)
        if second != self._second:
            self._second = second
            self._text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._text}.{rest // 1000:06d}Z".encode("ascii")
