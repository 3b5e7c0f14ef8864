"""A shard whose stream is gone keeps nobody else down, and goes on by order of a person."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from audit_core.tenant import stream_name
from audit_operator.clients.tenants import tenant_named
from audit_operator.local.settings import local_settings
from audit_operator.local.stack import Stack
from audit_operator.local.stack import stack as opened
from tests.support.local_stack import LocalStack

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[LocalStack]:
    made = LocalStack(tmp_path)
    yield made
    made.close()


async def _delete_stream(stack: Stack, name: str) -> None:
    async with stack.database() as connection:
        tenant = await tenant_named(connection, name)
    assert tenant is not None
    async with (
        stack.reconciler() as reconciler,
        reconciler.shards.cluster.streams(tenant.shard_id) as streams,
    ):
        await streams.delete_stream(stream_name(tenant.shard_id))


async def test_a_lost_stream_is_begun_anew_by_order(stack: LocalStack) -> None:
    stack.start()
    assert stack.post({"event_type": "before"}).status == 202
    stack.logs("event_type=before", expected=1)
    behind = opened(local_settings(stack.environment))
    behind.attach()
    await _delete_stream(behind, "acme")
    stack.until(lambda: stack.post({"event_type": "lost"}).status == 503)
    assert stack.stop() == 0

    stack.launch()  # it cannot say that everything runs
    stack.says("It stays up although the functions are not ready")
    stack.says("python -m audit_operator.local recover-stream acme --confirm")
    assert stack.post({"event_type": "other"}, tenant="globex").status == 202
    assert stack.post({"event_type": "lost"}).status == 503

    hesitant = stack.run("recover-stream", "acme")
    assert (hesitant.returncode, "add --confirm" in hesitant.stderr) == (1, True)
    done = stack.run("recover-stream", "acme", "--confirm")
    assert done.returncode == 0, done.stderr
    stack.until(lambda: stack.post({"event_type": "after"}).status == 202)
    stack.logs("event_type=after", expected=1)
    stack.logs("event_type=before", expected=1)

    again = stack.run("recover-stream", "acme", "--confirm")
    assert (again.returncode, again.stderr.split(":")[0]) == (1, "nothing was done")
    gap = stack.run("accept-gap", "acme", "3", "4", "--confirm")
    assert (gap.returncode, gap.stderr) == (1, "nothing was done: the shard is not frozen\n")
    unknown = stack.run("accept-gap", "nobody", "3", "4", "--confirm")
    assert (unknown.returncode, "Traceback" in unknown.stderr) == (1, False)
    assert stack.stop() == 0
