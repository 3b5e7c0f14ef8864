"""A stream is not condemned for what was seen of it while it moved on."""

from __future__ import annotations

import msgspec
import pytest

from audit_functions.writer.examine import Examiner
from audit_functions.writer.state import Freeze, Offset, Reason
from tests.support.writing import StreamedShard, a_tenant_id


async def test_a_fault_counts_only_at_an_offset_that_stood_still(shard: StreamedShard) -> None:
    await shard.instance().publish(a_tenant_id())
    async with shard.writer():
        await shard.committed()
    now = await shard.offset()
    past = msgspec.structs.replace(now, frame_sha256=b"h" * 32)
    async with shard.wired() as wired:
        examiner = Examiner(wired.stream, shard.shard_id)
        with pytest.raises(Freeze) as freeze:
            await examiner.examine(lambda: past)
        assert freeze.value.reason is Reason.FRAME_DIFFERS
        offsets: list[Offset] = [past, now, now]
        await examiner.examine(lambda: offsets.pop(0))
        assert offsets == []
