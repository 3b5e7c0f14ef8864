"""A tenant's events per second: a bucket that fills with time, asked as a whole, with limits that may change."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_core.errors import RateLimited
from audit_core.projection import Limits
from audit_functions.ingest.quota import Quotas

LIMITS = Limits(events_per_second=10, burst=20)


def is_admitted(
    quotas: Quotas, events: int, now: float, limits: Limits = LIMITS, tenant_id: str = "t"
) -> bool:
    try:
        quotas.admit(tenant_id, limits, events, now)
    except RateLimited:
        return False
    return True


def test_a_burst_is_admitted_and_then_the_rate() -> None:
    quotas = Quotas()
    assert [is_admitted(quotas, 1, 100.0) for _ in range(21)] == [True] * 20 + [False]
    assert is_admitted(quotas, 1, 100.15)
    assert not is_admitted(quotas, 1, 100.15)


def test_events_that_belong_together_are_admitted_or_refused_together() -> None:
    quotas = Quotas()
    assert is_admitted(quotas, 15, 0.0)
    assert not is_admitted(quotas, 6, 0.0)
    assert is_admitted(quotas, 5, 0.0)


def test_a_refusal_says_when_it_would_be_otherwise() -> None:
    quotas = Quotas()
    quotas.admit("t", LIMITS, 20, 0.0)
    with pytest.raises(RateLimited) as refused:
        quotas.admit("t", LIMITS, 5, 0.0)
    assert refused.value.fields() == {"retry_after_seconds": 0.5, "limit": 10, "burst": 20}
    assert is_admitted(quotas, 5, 0.5)


def test_more_than_a_burst_is_admitted_when_the_bucket_is_full_and_paid_back_afterwards() -> None:
    quotas = Quotas()
    assert is_admitted(quotas, 50, 0.0)
    assert not is_admitted(quotas, 1, 2.9)
    assert is_admitted(quotas, 1, 3.1)


def test_a_changed_limit_counts_at_once() -> None:
    quotas = Quotas()
    assert is_admitted(quotas, 20, 0.0)
    assert not is_admitted(quotas, 1, 0.05)
    assert is_admitted(quotas, 40, 1.0, Limits(events_per_second=1000, burst=2000))
    small = Limits(events_per_second=1, burst=5)
    assert is_admitted(quotas, 5, 1.0, small)
    assert not is_admitted(quotas, 1, 1.0, small)


def test_tenants_do_not_share_tokens() -> None:
    quotas = Quotas()
    assert is_admitted(quotas, 20, 0.0, tenant_id="a")
    assert is_admitted(quotas, 20, 0.0, tenant_id="b")
    assert not is_admitted(quotas, 1, 0.0, tenant_id="a")


def test_ten_thousands_of_tenants_are_remembered_within_bounds() -> None:
    quotas = Quotas()
    for number in range(50_000):
        assert is_admitted(quotas, 1, number / 1000, tenant_id=str(number))
    assert len(quotas._buckets) <= 20_000


@given(st.lists(st.tuples(st.integers(1, 30), st.floats(0, 0.5)), max_size=60))
def test_no_more_is_admitted_than_a_burst_and_the_rate_allow(asked: list[tuple[int, float]]) -> None:
    quotas = Quotas()
    now = admitted = 0.0
    for events, pause in asked:
        now += pause
        if is_admitted(quotas, events, now):
            admitted += events
            assert admitted <= LIMITS.burst + now * LIMITS.events_per_second + 30 + 1e-6
