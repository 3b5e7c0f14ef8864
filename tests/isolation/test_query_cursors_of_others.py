"""A cursor is of use to the tenant it was given to, and to nobody else."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from audit_core.errors import InvalidQuery
from audit_core.tenant import Isolation
from audit_functions.query.service import Query
from tests.support.events import an_event
from tests.support.postgres import NOW, Database
from tests.support.reading import a_logged, a_reader, a_search, reading, write

A, B = a_reader("tenant-a"), a_reader("tenant-b")
FILTERED = a_search(outcome="success", limit=2)


@pytest.fixture(params=Isolation, ids=lambda isolation: isolation.value)
async def query(database: Database, request: pytest.FixtureRequest) -> AsyncIterator[Query]:
    shard = await database.a_shard(isolation=request.param)
    for tenant_id in ("tenant-a", "tenant-b"):
        await write(
            shard,
            [
                a_logged(an_event(), tenant_id=tenant_id, received_at=NOW + sequence, sequence=sequence)
                for sequence in range(10)
            ],
        )
    async with reading(shard) as query:
        yield query


async def test_another_tenant_gets_the_same_refusal_as_for_nonsense(query: Query) -> None:
    cursor = (await query.page(A, FILTERED)).next_cursor
    assert cursor is not None
    for text in (cursor, "nonsense", cursor[:-1]):
        with pytest.raises(InvalidQuery) as refused:
            await query.page(B, replace(FILTERED, cursor=text))
        assert refused.value.fields() == {"parameter": "cursor", "reason": "not a cursor of this list"}
    assert len((await query.page(A, replace(FILTERED, cursor=cursor))).events) == 2


async def test_even_with_a_secret_in_common_a_cursor_names_its_tenant(query: Query) -> None:
    shared = bytes(32)
    cursor = (await query.page(a_reader("tenant-a", secret=shared), FILTERED)).next_cursor
    with pytest.raises(InvalidQuery):
        await query.page(a_reader("tenant-b", secret=shared), replace(FILTERED, cursor=cursor))


async def test_other_filters_or_another_order_cannot_use_it(query: Query) -> None:
    cursor = (await query.page(A, FILTERED)).next_cursor
    for other in (a_search(limit=2), a_search(outcome="success", order="asc"), a_search(outcome="denied")):
        with pytest.raises(InvalidQuery):
            await query.page(A, replace(other, cursor=cursor))


async def test_a_reader_keeps_its_cursor_when_it_names_its_filters_in_another_way(query: Query) -> None:
    first = a_search(user_id="user-8123", outcome=["success", "denied"], limit=3)
    cursor = (await query.page(A, first)).next_cursor
    same = a_search(actor="user-8123", outcome=["denied", "success", "denied"], limit=3, cursor=cursor)
    assert [event.sequence for event in (await query.page(A, same)).events] == [6, 5, 4]
