"""The metrics of the query function, declared in one place."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from audit_functions.web.problem import problem_of

_LATENCY_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class QueryTelemetry:
    """What a query process counts. `away` tells how many of its shards have a database that cannot be used."""

    def __init__(self, registry: CollectorRegistry, away: Callable[[], int]) -> None:
        self._seconds = Histogram(
            "audit_query_request_seconds",
            "Time from an admitted request to its answer, by operation",
            ("operation",),
            buckets=_LATENCY_BUCKETS,
            registry=registry,
        )
        self._refused = Counter(
            "audit_query_requests_refused",
            "Requests of valid callers that got no answer, by operation and status",
            ("operation", "status"),
            registry=registry,
        )
        self.events = Counter("audit_query_events_shown", "Events in answers", registry=registry)
        Gauge(
            "audit_query_databases_away_count", "Shards whose database cannot be used", registry=registry
        ).set_function(away)

    @contextmanager
    def answering(self, operation: str) -> Iterator[None]:
        """Measure one request; an error counts as a refusal, and passes."""
        since = time.perf_counter()
        try:
            yield
        except Exception as error:
            self._refused.labels(operation, str(problem_of(error).status)).inc()
            raise
        self._seconds.labels(operation).observe(time.perf_counter() - since)
