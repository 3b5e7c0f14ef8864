"""The operator's metrics, declared in one place.

Those of the work queue have the names and labels of controller-runtime, so that the usual dashboards and alerts hold.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1000.0)
_OF_QUEUE: Final = ("name",)


class KubernetesTelemetry:
    """Requests to the API server, each attempt counted. `code` is the HTTP status, or `none` without an answer."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self.requests = Counter(
            "audit_operator_kubernetes_requests",
            "Requests to the API server, by verb, kind and status",
            ("verb", "kind", "code"),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "audit_operator_kubernetes_request_seconds",
            "Time from a request to its answer, watches left out",
            ("verb",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.events_dropped = Counter(
            "audit_operator_kubernetes_events_dropped",
            "Kubernetes Events that were not posted: too many at once, or refused",
            registry=self.registry,
        )


class TenantTelemetry:
    """What is told about tenants. Series of a tenant go with it."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self.changes = Counter(
            "audit_operator_changes",
            "What was written to the API server, or (withheld) would have been",
            ("verb", "kind", "withheld"),
            registry=self.registry,
        )
        self.ready = Gauge(
            "audit_operator_tenant_ready",
            "Whether a tenant's condition Ready is True",
            ("tenant",),
            registry=self.registry,
        )
        self.leading = Gauge(
            "audit_operator_leading", "Whether this process holds the Lease", registry=self.registry
        )
        self.silence = Gauge(
            "audit_operator_watch_silence_seconds",
            "Time since the quietest watch was last heard",
            registry=self.registry,
        )

    def looked(self, name: str, ready: bool) -> None:  # noqa: FBT001 - the gauge's value
        """Note how a tenant stands."""
        self.ready.labels(name).set(ready)

    def forget(self, name: str) -> None:
        """Drop the series of a tenant that is gone."""
        with contextlib.suppress(KeyError):
            self.ready.remove(name)


class QueueTelemetry:
    """What work queues count. One for a process; each queue has its name as a label."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self.depth = Gauge("workqueue_depth", "Keys that wait", _OF_QUEUE, registry=self.registry)
        self.adds = Counter("workqueue_adds", "Keys added to the queue", _OF_QUEUE, registry=self.registry)
        self.retries = Counter(
            "workqueue_retries", "Keys taken up again after a failure", _OF_QUEUE, registry=self.registry
        )
        self.queue_seconds = self._histogram("queue", "Time that a key waits before it is worked on")
        self.work_seconds = self._histogram("work", "Time that the work on a key takes")
        self._longest = Gauge(
            "workqueue_longest_running_processor_seconds",
            "How long the longest piece of work has been running",
            _OF_QUEUE,
            registry=self.registry,
        )
        self._unfinished = Gauge(
            "workqueue_unfinished_work_seconds",
            "How long the work that is in progress has been running, added up",
            _OF_QUEUE,
            registry=self.registry,
        )

    def running(self, name: str, seconds: Callable[[], list[float]]) -> None:
        """Show how long each piece of work in progress has been running, as `seconds` tells when asked."""
        self._longest.labels(name).set_function(lambda: max(seconds(), default=0.0))
        self._unfinished.labels(name).set_function(lambda: sum(seconds()))

    def _histogram(self, what: str, text: str) -> Histogram:
        return Histogram(
            f"workqueue_{what}_duration_seconds", text, _OF_QUEUE, buckets=_SECONDS, registry=self.registry
        )
