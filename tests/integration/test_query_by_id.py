"""An id leads to the newest event that has it."""

from __future__ import annotations

import pytest

from audit_core.errors import NotFound
from audit_core.leaf import Kind
from audit_core.tenant import Isolation
from tests.support.events import an_event
from tests.support.postgres import NOW, Database
from tests.support.reading import a_logged, a_reader, reading, write

HOUR = 3_600_000_000
FIRST = a_logged(an_event(outcome="success"), id="e-1", received_at=NOW, sequence=0)
CONFLICT = a_logged(
    an_event(outcome="denied"), id="e-1", received_at=NOW + HOUR, sequence=1, kind=int(Kind.CONFLICT)
)
AGAIN = a_logged(an_event(outcome="failure"), id="e-1", received_at=NOW + 25 * HOUR, sequence=2)
TWIN = a_logged(an_event(outcome="unknown"), id="e-1", received_at=NOW + 25 * HOUR, sequence=3)
NEXT_MONTH = a_logged(an_event(), id="e-2", received_at=NOW + 30 * 24 * HOUR, sequence=4)
THEIRS = a_logged(an_event(), id="e-3", tenant_id="tenant-b")


@pytest.mark.parametrize("isolation", Isolation)
async def test_the_newest_event_of_an_id_is_shown_and_never_a_conflict(
    database: Database, isolation: Isolation
) -> None:
    shard = await database.a_shard(isolation=isolation)
    async with reading(shard) as query:
        await write(shard, [FIRST, CONFLICT])
        assert await query.event(a_reader(), "e-1") == FIRST.event
        await write(shard, [AGAIN, NEXT_MONTH])
        assert await query.event(a_reader(), "e-1") == AGAIN.event
        await write(shard, [TWIN])
        assert await query.event(a_reader(), "e-1") == TWIN.event
        assert await query.event(a_reader(), "e-2") == NEXT_MONTH.event


@pytest.mark.parametrize("isolation", Isolation)
async def test_what_is_not_there_or_not_theirs_is_not_found_alike(
    database: Database, isolation: Isolation
) -> None:
    shard = await database.a_shard(isolation=isolation)
    await write(shard, [THEIRS])
    async with reading(shard) as query:
        errors = []
        for event_id in ("e-1", "e-3", "", "e 3", "é", "e\0", "x" * 129, "\ud800", "e-3\n"):
            with pytest.raises(NotFound) as refused:
                await query.event(a_reader(), event_id)
            errors.append(refused.value.fields())
        assert errors == [{"what": "event"}] * len(errors)
        assert await query.event(a_reader("tenant-b"), "e-3") == THEIRS.event
