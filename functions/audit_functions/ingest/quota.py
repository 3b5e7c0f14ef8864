"""A tenant's events per second, enforced in this process by a bucket of tokens."""

from __future__ import annotations

from audit_core.errors import RateLimited
from audit_core.projection import Limits

_MAX_BUCKETS = 20_000


class _Bucket:
    __slots__ = ("at", "tokens")

    def __init__(self, tokens: float, at: float) -> None:
        self.tokens = tokens
        self.at = at


class Quotas:
    """One bucket for each tenant that sent lately. Limits are given with each call, so that a change counts at once."""

    def __init__(self) -> None:
        self._buckets: dict[str, _Bucket] = {}

    def admit(self, tenant_id: str, limits: Limits, events: int, now: float) -> None:
        """Take tokens for `events` that are accepted or refused as a whole. `now` in seconds. Raises RateLimited.

        More events than the bucket holds are let in when it is full, and leave a debt.
        """
        bucket = self._buckets.get(tenant_id)
        if bucket is None:
            bucket = self._new(tenant_id, limits, now)
        burst = limits.burst
        tokens = bucket.tokens + (now - bucket.at) * limits.events_per_second
        tokens = min(tokens, burst)
        bucket.at = now
        bucket.tokens = tokens
        missing = min(burst, events) - tokens
        if missing > 0:
            raise RateLimited(
                retry_after_seconds=missing / limits.events_per_second,
                limit=limits.events_per_second,
                burst=burst,
            )
        bucket.tokens = tokens - events

    def _new(self, tenant_id: str, limits: Limits, now: float) -> _Bucket:
        if len(self._buckets) >= _MAX_BUCKETS:
            self._forget_idle(now)
        bucket = self._buckets[tenant_id] = _Bucket(limits.burst, now)
        return bucket

    def _forget_idle(self, now: float) -> None:
        """Drop the older half; a tenant that is forgotten gets a full bucket, as it would have by then."""
        by_age = sorted(self._buckets.items(), key=lambda item: item[1].at)
        for tenant_id, bucket in by_age[: _MAX_BUCKETS // 2]:
            if bucket.tokens >= 0 or bucket.at < now - 1:
                del self._buckets[tenant_id]
