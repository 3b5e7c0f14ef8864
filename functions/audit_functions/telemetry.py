"""The metrics of ingest and of the HTTP side, declared in one place.

The label `tenant` (the name) stands only where what is counted is what a tenant sends; everything else would grow with
the number of tenants for nothing.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_LATENCY_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_EVENT_BUCKETS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000)
_BYTE_BUCKETS: Final = (1024, 4096, 16384, 65536, 131072, 262144, 524288, 786432)


class Telemetry:
    """What an ingest process counts. One for a process, in a registry of its own."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        of_tenant = ("tenant",)
        self.accepted = Counter(
            "audit_ingest_events_accepted",
            "Events acknowledged, by tenant",
            of_tenant,
            registry=self.registry,
        )
        self.rejected = Counter(
            "audit_ingest_events_rejected",
            "Events refused, by tenant and by the status their caller got",
            ("tenant", "status"),
            registry=self.registry,
        )
        self.bytes = Counter(
            "audit_ingest_events_bytes",
            "Canonical bytes acknowledged, by tenant",
            of_tenant,
            registry=self.registry,
        )
        self.requests = Histogram(
            "audit_ingest_request_seconds",
            "Time from a request's head to its answer, by operation",
            ("operation",),
            buckets=_LATENCY_BUCKETS,
            registry=self.registry,
        )
        self.refused = Counter(
            "audit_ingest_requests_refused",
            "Requests refused as a whole, by status",
            ("status",),
            registry=self.registry,
        )
        self.frames_abandoned = Counter(
            "audit_ingest_frames_abandoned",
            "Frames whose storage is unknown and whose callers got 503",
            registry=self.registry,
        )
        self.shards = Gauge("audit_ingest_shards_count", "Shards that are served", registry=self.registry)
        self.inflight_bytes = Gauge(
            "audit_ingest_inflight_bytes",
            "Bytes reserved for bodies that are under way",
            registry=self.registry,
        )
        self._publish_seconds = Histogram(
            "audit_ingest_frame_publish_seconds",
            "Time from sending a frame to its settlement",
            buckets=_LATENCY_BUCKETS,
            registry=self.registry,
        )
        self._frame_events = Histogram(
            "audit_ingest_frame_events_count",
            "Events in a frame",
            buckets=_EVENT_BUCKETS,
            registry=self.registry,
        )
        self._frame_bytes = Histogram(
            "audit_ingest_frame_bytes", "Bytes of a frame", buckets=_BYTE_BUCKETS, registry=self.registry
        )

    def frame(self, events: int, size: int, seconds: float) -> None:
        """Count one frame that was settled."""
        self._publish_seconds.observe(seconds)
        self._frame_events.observe(events)
        self._frame_bytes.observe(size)
