"""Credentials that change while a function works: it goes over to the new ones, and nobody who calls it notices."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from tests.support.audittenant import a_tenant
from tests.support.events import an_event, encoded
from tests.support.functions import FunctionsProcess, SeededShard, SeededTenant, functions_process
from tests.support.http_load import closed_loop, post
from tests.support.nats import NatsServer
from tests.support.provisioning import Provisioned
from tests.support.query_server import serving_queries
from tests.support.writing import NewShard, a_tenant_id, until

ROTATIONS = 3
GOES_ON_SECONDS = 10.0
TENANT = a_tenant_id()


def mount(folder: Path, generation: int, files: dict[str, bytes]) -> None:
    """Put files there as the kubelet does with the keys of a Secret: all of them change at once."""
    hidden = folder / f"..{generation}"
    hidden.mkdir(parents=True)
    for name, content in files.items():
        (hidden / name).write_bytes(content)
    (folder / "..data_tmp").symlink_to(hidden.name)
    (folder / "..data_tmp").rename(folder / "..data")
    for name in files:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")


async def times_logged(process: FunctionsProcess, event: str, times: int) -> None:
    async def is_logged() -> bool:
        return process.log().count(event) >= times

    await until(is_logged, 20)


async def test_no_request_fails_while_ingest_changes_its_credentials(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    shard, tenant = SeededShard(nats=nats_server, folder=tmp_path / "laid_out"), SeededTenant(name="acme")
    await shard.laid_out(tenant)
    mounted = tmp_path / "mounted"

    def hand_out(generation: int) -> None:
        creds = nats_server.function_creds(shard.shard_id, "ingest").read_bytes()
        mount(mounted, generation, {f"{shard.shard_id}.ingest.creds": creds})

    hand_out(0)
    acknowledged: set[object] = set()
    numbers = iter(range(10_000_000))

    def request() -> tuple[object, bytes]:
        event_id = f"rotated-{next(numbers)}"
        body = encoded(an_event(id=event_id))
        return event_id, post("127.0.0.1", "/api/v1/audit/logs", tenant.key, body)

    def answered(token: object, status: int, body: bytes) -> None:
        if status == 202:
            acknowledged.add(token)

    async with functions_process(nats_server, mounted) as process:
        loading = asyncio.create_task(closed_loop(process.port, 8, request, seconds=12, sink=answered))
        for generation in range(1, ROTATIONS + 1):
            hand_out(generation)
            await times_logged(process, "shard_opened", generation + 1)
        load = await loading
        assert set(load.statuses) == {202}, load.statuses
    assert acknowledged == (await shard.bodies()).keys()
    assert len(await shard.watermarks()) == ROTATIONS + 1


async def test_a_stream_of_lines_goes_on_over_a_change_of_credentials(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    shard, tenant = SeededShard(nats=nats_server, folder=tmp_path), SeededTenant(name="acme")
    await shard.laid_out(tenant)
    async with functions_process(nats_server, tmp_path) as process:

        def lines() -> Iterator[bytes]:
            yield encoded(an_event(id="before")) + b"\n"
            shutil.copy(
                nats_server.function_creds(shard.shard_id, "ingest"),
                tmp_path / shard.shard_id / "ingest.creds",
            )
            deadline = time.monotonic() + 20
            while process.log().count("shard_opened") < 2 and time.monotonic() < deadline:
                time.sleep(0.1)
            yield encoded(an_event(id="after")) + b"\n"

        answer = await process.post(tenant, lines(), "/batch", Content_Type="application/x-ndjson")
        assert (answer.status, sum(line["accepted"] for line in answer.lines)) == (202, 2)
        assert process.log().count("shard_opened") == 2
    assert {mark.frame for mark in await shard.watermarks()} == {1}


async def test_no_request_fails_while_query_changes_its_credentials(provisioned: Provisioned) -> None:
    made = await provisioned.reconciler.converge(a_tenant("acme"))
    assert made.tenant_id is not None
    key = provisioned.key(made.tenant_id)
    async with serving_queries(provisioned) as server:
        await server.serves(made.shard_id)
        [former] = server.function.folder.serving.values()
        creds = provisioned.nats.function_creds(made.shard_id, "query")
        shutil.copy(creds, provisioned.shards / made.shard_id / "query.creds")
        statuses: dict[int, int] = {}
        async with asyncio.timeout(20):
            while [former] == list(server.function.folder.serving.values()) or statuses[200] < 200:
                answer = await server.get(key=key)
                statuses[answer.status] = statuses.get(answer.status, 0) + 1
        assert set(statuses) == {200}


async def test_the_writer_goes_on_within_seconds_of_a_change_of_its_credentials(new_shard: NewShard) -> None:
    async with new_shard() as shard:
        seeded, ingest = shard.seeded, shard.instance()
        async with functions_process(seeded.nats, seeded.folder, "writer", AUDIT_BACKUP="none") as process:
            await ingest.publish(TENANT)
            await shard.committed()
            target = seeded.folder / shard.shard_id / "writer.creds"
            shutil.copy(seeded.nats.function_creds(shard.shard_id, "writer"), target)
            async with asyncio.timeout(60):
                while process.log().count("shard_closed") < 1:
                    published = await ingest.publish(TENANT)
                    await shard.committed(published.seq, GOES_ON_SECONDS)
            published = await ingest.publish(TENANT)
            await shard.committed(published.seq, GOES_ON_SECONDS)
            metrics = (await process.request("GET", "/metrics")).body.decode()
            assert f'audit_writer_lag_seconds{{shard="{shard.shard_id}"}}' in metrics
        assert len(await shard.events()) == published.seq
