"""The metrics of ingest, declared in one place.

What is counted for each request is counted in plain numbers and turned into metrics when somebody asks: a counter of the
client library takes a lock and a microsecond, a request has about twenty. Everything here runs on one event loop.

The label `tenant` (the name) stands only where what is counted is what a tenant sends; everything else would grow with
the number of tenants for nothing.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

LATENCY_BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_EVENT_BOUNDS: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 5000.0)
_BYTE_BOUNDS: Final = (1024.0, 4096.0, 16384.0, 65536.0, 131072.0, 262144.0, 524288.0, 786432.0)
_OPERATIONS: Final = ("createAuditLog", "createAuditLogs", "createKubernetesAuditLogs")


class Distribution:
    """Counts of values by upper bound."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        """Return the counts as Prometheus wants them: cumulated, by bound."""
        names = [str(bound) for bound in self.bounds] + ["+Inf"]
        sums: list[tuple[str, float]] = []
        seen = 0
        for name, count in zip(names, self.counts, strict=True):
            seen += count
            sums.append((name, seen))
        return sums


class TenantCounts:
    """What one tenant sent to this process."""

    __slots__ = ("accepted", "bytes", "rejected")

    def __init__(self) -> None:
        self.accepted = 0
        self.bytes = 0
        self.rejected: dict[int, int] = {}

    def reject(self, status: int, events: int = 1) -> None:
        """Count events that were refused."""
        self.rejected[status] = self.rejected.get(status, 0) + events


class Telemetry(Collector):
    """What an ingest process counts. One for a process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = {name: Distribution(LATENCY_BOUNDS) for name in _OPERATIONS}
        self.publish_seconds = Distribution(LATENCY_BOUNDS)
        self.frame_events = Distribution(_EVENT_BOUNDS)
        self.frame_bytes = Distribution(_BYTE_BOUNDS)
        self.frames_abandoned = 0
        self.refused: dict[int, int] = {}
        self.shards: Callable[[], int] = int
        self.inflight_bytes: Callable[[], int] = int
        self._tenants: dict[str, TenantCounts] = {}
        registry.register(self)

    def tenant(self, name: str) -> TenantCounts:
        """Return the counts of a tenant."""
        counts = self._tenants.get(name)
        if counts is None:
            counts = self._tenants[name] = TenantCounts()
        return counts

    def refuse(self, status: int) -> None:
        """Count a request that was refused as a whole."""
        self.refused[status] = self.refused.get(status, 0) + 1

    def frame(self, events: int, size: int, seconds: float) -> None:
        """Count one frame that was settled."""
        self.publish_seconds.observe(seconds)
        self.frame_events.observe(events)
        self.frame_bytes.observe(size)

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics as they are now."""
        yield from self._of_tenants()
        yield _histograms(
            "audit_ingest_request_seconds",
            "Time from a request's head to its answer, by operation",
            "operation",
            self.requests,
        )
        refused = CounterMetricFamily(
            "audit_ingest_requests_refused", "Requests refused as a whole, by status", labels=("status",)
        )
        for status, count in self.refused.items():
            refused.add_metric((str(status),), count)
        yield refused
        yield CounterMetricFamily(
            "audit_ingest_frames_abandoned",
            "Frames whose storage is unknown and whose callers got 503",
            self.frames_abandoned,
        )
        yield _histogram(
            "audit_ingest_frame_publish_seconds",
            "Time from sending a frame to its settlement",
            self.publish_seconds,
        )
        yield _histogram("audit_ingest_frame_events_count", "Events in a frame", self.frame_events)
        yield _histogram("audit_ingest_frame_bytes", "Bytes of a frame", self.frame_bytes)
        yield GaugeMetricFamily("audit_ingest_shards_count", "Shards that are served", self.shards())
        yield GaugeMetricFamily(
            "audit_ingest_inflight_bytes",
            "Bytes reserved for bodies that are under way",
            self.inflight_bytes(),
        )

    def _of_tenants(self) -> Iterator[Metric]:
        accepted = CounterMetricFamily(
            "audit_ingest_events_accepted", "Events acknowledged, by tenant", labels=("tenant",)
        )
        size = CounterMetricFamily(
            "audit_ingest_events_bytes", "Canonical bytes acknowledged, by tenant", labels=("tenant",)
        )
        rejected = CounterMetricFamily(
            "audit_ingest_events_rejected",
            "Events refused, by tenant and by the status that their caller got",
            labels=("tenant", "status"),
        )
        for name, counts in self._tenants.items():
            accepted.add_metric((name,), counts.accepted)
            size.add_metric((name,), counts.bytes)
            for status, count in counts.rejected.items():
                rejected.add_metric((name, str(status)), count)
        yield from (accepted, size, rejected)


def _histogram(name: str, text: str, distribution: Distribution) -> Metric:
    return HistogramMetricFamily(name, text, buckets=distribution.buckets(), sum_value=distribution.total)


def _histograms(name: str, text: str, label: str, by_value: dict[str, Distribution]) -> Metric:
    family = HistogramMetricFamily(name, text, labels=(label,))
    for value, distribution in by_value.items():
        family.add_metric((value,), distribution.buckets(), distribution.total)
    return family
