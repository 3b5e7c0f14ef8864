"""Requests that fail: which are tried again, for how long, and what the caller learns."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from audit_operator.clients.kubernetes import Kubernetes, NoLongerLeading
from audit_operator.clients.kubernetes_errors import ApiUnavailable, Conflict, Forbidden
from audit_operator.clients.kubernetes_kinds import SECRET, Ref
from tests.support.fake_api import Answer, FakeApi, cuts, fake_api, hangs, says

REF = Ref(SECRET, "keys", "audit-a")
METADATA = {"name": "keys", "namespace": "audit-a"}
SECRET_OBJECT = {"apiVersion": "v1", "kind": "Secret", "metadata": METADATA}


@asynccontextmanager
async def _against(*answers: Answer, **options: Any) -> AsyncIterator[tuple[Kubernetes, FakeApi]]:
    async with fake_api() as fake, Kubernetes(fake.configuration(), **options) as api:
        fake.answers.extend(answers)
        yield api, fake


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_what_an_overloaded_server_refuses_is_tried_again(status: int) -> None:
    async with _against(says({}, status), says({}, status), says(SECRET_OBJECT)) as (api, fake):
        assert await api.apply(SECRET_OBJECT) == SECRET_OBJECT
        assert len(fake.asked) == 3


async def test_a_lost_connection_is_tried_again_and_counted() -> None:
    async with _against(cuts, says(SECRET_OBJECT)) as (api, fake):
        assert await api.apply(SECRET_OBJECT) == SECRET_OBJECT
        assert len(fake.asked) == 2
        labels = {"verb": "apply", "kind": "Secret", "code": "none"}
        sample = api.telemetry.registry.get_sample_value
        assert sample("audit_operator_kubernetes_requests_total", labels) == 1


async def test_a_server_that_says_when_is_left_alone_until_then() -> None:
    busy = says({}, 429, **{"Retry-After": "1"})
    async with _against(busy, says(SECRET_OBJECT)) as (api, fake):
        await api.get(REF)
        assert fake.times[1] - fake.times[0] >= 1.0


async def test_after_the_deadline_the_api_is_unavailable() -> None:
    async with _against(says({}, 503), deadline_seconds=1.0) as (api, fake):
        with pytest.raises(ApiUnavailable) as raised:
            await api.get(REF)
        assert raised.value.code == 503
        assert len(fake.asked) >= 3


async def test_a_server_that_never_answers_is_unavailable_at_the_deadline() -> None:
    async with _against(hangs, deadline_seconds=0.5) as (api, _fake), asyncio.timeout(5):
        with pytest.raises(ApiUnavailable):
            await api.get(REF)


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    async with fake_api() as fake:
        gone = fake.configuration()
    async with Kubernetes(gone, deadline_seconds=0.5) as api:
        with pytest.raises(ApiUnavailable):
            await api.get(REF)


async def test_a_refusal_is_not_tried_again() -> None:
    async with _against(says({"message": "not yours"}, 403)) as (api, fake):
        with pytest.raises(Forbidden) as raised:
            await api.get(REF)
        assert raised.value.message == "not yours"
        assert len(fake.asked) == 1


async def test_a_compare_and_set_is_sent_once() -> None:
    async with _against(says({}, 503)) as (api, fake):
        for write in (api.replace, api.create):
            with pytest.raises(ApiUnavailable):
                await write(SECRET_OBJECT)
        assert [method for method, _ in fake.asked] == ["PUT", "POST"]


async def test_whoever_stops_leading_between_two_attempts_sends_no_more() -> None:
    leading = [True, False]
    async with _against(says({}, 503), may_write=lambda: leading.pop(0)) as (api, fake):
        with pytest.raises(NoLongerLeading):
            await api.apply(SECRET_OBJECT)
        assert len(fake.asked) == 1


async def test_a_conflict_that_stays_is_told_after_some_attempts() -> None:
    live = {**SECRET_OBJECT, "metadata": {**METADATA, "uid": "u", "resourceVersion": "1"}}
    answers = [says(live), says({}, 409)] * 5
    async with _against(*answers) as (api, fake):
        with pytest.raises(Conflict):
            await api.add_finalizer(REF, "auditlog.dev/release", uid="u")
        assert len(fake.asked) == 10


async def test_a_listing_that_the_server_forgot_is_begun_anew() -> None:
    first = says({"items": [_named("a")], "metadata": {"resourceVersion": "1", "continue": "token"}})
    both = says({"items": [_named("a"), _named("b")], "metadata": {"resourceVersion": "2"}})
    async with _against(first, says({}, 410), both) as (api, fake):
        page = await api.snapshot(SECRET)
        assert [item["metadata"]["name"] for item in page.items] == ["a", "b"]
        assert page.resource_version == "2"
        assert ["continue" in path for _, path in fake.asked] == [False, True, False]


def _named(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "audit-a"}}
