"""Every search finds exactly the events that a few lines of Python find, in order, whatever the size of its pages."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit_core.query import FILTERED_COLUMNS, Order, Search
from audit_core.query_parameters import FILTER_PARAMETERS, parse_search
from audit_core.rfc3339 import time_text
from audit_core.tenant import Isolation
from audit_functions.query.service import Query
from tests.support.postgres import NOW, Database
from tests.support.reading import Logged, a_logged, a_reader, events_of, pages, reading, write

EVENTS = 3000
SPAN_US = 60 * 86_400_000_000
VALUES: dict[str, list[str]] = {
    "event_type": ["user_login", "user.logout", "doc:share", "billing.invoice.paid"],
    "user_id": ["u1", "u2", "ü 3", "%", "x'); --"],
    "actor_type": ["user", "service_account", "anonymous"],
    "resource_id": ["r1", "r/2", "{}"],
    "resource_type": ["doc", "invoice"],
    "action": ["logout", "share", "delete", "user_login"],
    "outcome": ["success", "failure", "denied", "unknown"],
    "severity": ["info", "critical"],
    "service": ["billing", "web"],
    "correlation_id": ["c1", "c2"],
    "ip": ["10.0.0.1", "2001:db8::7"],
}


def _an_event(choice: random.Random) -> dict[str, Any]:
    def maybe(name: str) -> str | None:
        return choice.choice([*VALUES[name], None])

    actor = {"id": maybe("user_id"), "type": maybe("actor_type")}
    target = {"id": maybe("resource_id"), "type": maybe("resource_type")}
    event = {
        "event_type": choice.choice(VALUES["event_type"]),
        "actor": choice.choice([actor, None]),
        "targets": choice.choice([[target], [target, {"id": "r1"}], None]),
        "action": maybe("action"),
        "outcome": maybe("outcome"),
        "severity": maybe("severity"),
        "source": {"service": maybe("service")},
        "context": {"correlation_id": maybe("correlation_id"), "ip": maybe("ip")},
        "metadata": {"n": choice.random()},
    }
    return {name: value for name, value in event.items() if value is not None}


def _a_log(tenant_id: str, seed: int) -> list[Logged]:
    """Build a log as frames make it: many events share a time, and some sequences belong to other kinds."""
    choice = random.Random(seed)
    times = sorted(NOW + choice.randrange(SPAN_US) // choice.choice([1, 1, 1000]) for _ in range(EVENTS // 3))
    received = sorted(choice.choices(times, k=EVENTS))
    return [
        a_logged(
            _an_event(choice),
            tenant_id=tenant_id,
            received_at=at,
            sequence=sequence,
            id=f"{tenant_id}-{sequence}",
            kind=choice.choices([1, 2, 3], [18, 1, 1])[0],
        )
        for sequence, at in enumerate(received)
    ]


LOG = _a_log("tenant-a", 1)
NEIGHBOUR = _a_log("tenant-b", 2)
TIMES = [logged.event.received_at for logged in LOG]


@pytest.fixture(params=[Isolation.DEDICATED, Isolation.POOLED], ids=lambda isolation: isolation.value)
async def query(database: Database, request: pytest.FixtureRequest) -> AsyncIterator[Query]:
    shard = await database.a_shard(isolation=request.param)
    await write(shard, LOG)
    if request.param is Isolation.POOLED:
        await write(shard, NEIGHBOUR)
    async with reading(shard) as query:
        yield query


def expected(search: Search, log: Sequence[Logged]) -> list[Logged]:
    """Return what a search should find."""
    filters = search.filters
    found = [
        logged
        for logged in log
        if logged.row["kind"] == 1
        and (filters.received_from is None or logged.event.received_at >= filters.received_from)
        and (filters.received_to is None or logged.event.received_at < filters.received_to)
        and all(
            not (any_of := getattr(filters, column)) or getattr(logged.columns, column) in any_of
            for column in FILTERED_COLUMNS
        )
    ]
    return found if search.order is Order.ASCENDING else found[::-1]


_filters = st.lists(
    st.sampled_from([parameter.name for parameter in FILTER_PARAMETERS]).flatmap(
        lambda name: st.tuples(st.just(name), st.sampled_from(VALUES[name]))
    ),
    max_size=4,
)
_moments = st.sampled_from(TIMES) | st.integers(NOW - 10**9, NOW + SPAN_US + 10**9)


@st.composite
def searches(draw: st.DrawFn) -> list[tuple[str, str]]:
    pairs = draw(_filters)
    ends = sorted(draw(st.lists(_moments, min_size=2, max_size=2, unique=True)))
    pairs += [
        (name, time_text(at)) for name, at in zip(("from", "to"), ends, strict=True) if draw(st.booleans())
    ]
    if draw(st.booleans()):
        pairs.append(("order", draw(st.sampled_from(["asc", "desc"]))))
    pairs.append(("limit", str(draw(st.integers(50, 1000)))))
    return pairs


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(searches())
async def test_any_search_finds_what_the_oracle_finds(query: Query, pairs: list[tuple[str, str]]) -> None:
    search = parse_search(pairs)
    walked = await pages(query, a_reader(), search)
    assert events_of(walked) == [logged.event for logged in expected(search, LOG)]
    assert [len(page.events) for page in walked[:-1]] == [search.limit] * (len(walked) - 1)
    assert len(walked[-1].events) < search.limit


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_pages_of_every_size_hold_the_same_events(query: Query, order: str) -> None:
    ends = [("from", time_text(TIMES[100])), ("to", time_text(TIMES[140])), ("order", order)]
    everything = [logged.event for logged in expected(parse_search(ends), LOG)]
    assert 20 < len(everything) < 60
    for limit in range(1, len(everything) + 2):
        walked = await pages(query, a_reader(), parse_search([*ends, ("limit", str(limit))]))
        assert events_of(walked) == everything
        assert len(walked) == len(everything) // limit + 1


async def test_both_orders_hold_the_same_events(query: Query) -> None:
    search = parse_search([("limit", "700")])
    newest_first = events_of(await pages(query, a_reader(), search))
    oldest_first = events_of(
        await pages(query, a_reader(), parse_search([("limit", "700"), ("order", "asc")]))
    )
    assert newest_first == oldest_first[::-1]
    assert len(newest_first) == sum(logged.row["kind"] == 1 for logged in LOG)


async def test_a_list_may_go_on_with_another_page_size(query: Query) -> None:
    first = await query.page(a_reader(), parse_search([("limit", "10")]))
    assert first.next_cursor is not None
    second = await query.page(a_reader(), parse_search([("limit", "25"), ("cursor", first.next_cursor)]))
    newest = [logged.event for logged in expected(parse_search([]), LOG)]
    assert [*first.events, *second.events] == newest[:35]
