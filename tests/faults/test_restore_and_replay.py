"""PostgreSQL at an earlier point and the stream give back, byte for byte, what was there."""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from asyncpg import Connection, Record

from audit_operator.clients.database import create_database, provision_database
from audit_operator.clients.shards import open_shard, provision_shard
from tests.support.nats import NatsServer
from tests.support.postgres import NOW, Database, PostgresServer, connected
from tests.support.writing import StreamedShard, publish_everything, streamed_shard

TABLES = ("event", "dedupe", "log_head", "producer", "dead_letter", "shard_offset")


async def everything(shard: StreamedShard) -> dict[str, list[Record]]:
    """Return all that a writer has stored."""
    return {name: await shard.table(name) for name in TABLES}


async def second_database(shard: StreamedShard, admin: Connection) -> None:
    """Provision the same shard once more, in an empty database."""
    await provision_database(admin)
    stored = shard.stored
    await provision_shard(admin, stored.stored, stored.passwords, now=NOW)
    await open_shard(admin, stored.stored)


async def test_an_empty_database_and_the_stream_give_the_same_rows(shard: StreamedShard) -> None:
    await publish_everything(shard, 150)
    for seed in (2, 3):
        async with shard.writer():
            await asyncio.sleep(0.03)
            await publish_everything(shard, 40, seed=seed)
    async with shard.writer():
        await shard.committed()
    before = await everything(shard)
    server, name = shard.stored.database.server, "audit_replayed"
    async with connected(server.dsn()) as maintenance:
        await create_database(maintenance, name)
        try:
            async with connected(server.dsn(database=name)) as shard.admin:
                await second_database(shard, shard.admin)
                dsn = shard.stored.dsn("writer").replace(f"/{shard.stored.database.name}", f"/{name}")
                async with shard.writer(dsn=dsn):
                    await shard.committed()
                after = await everything(shard)
        finally:
            await maintenance.execute(f"DROP DATABASE {name} WITH (FORCE)")
    kinds = {row["kind"] for row in before["event"]}
    assert kinds == {1, 2, 3, 6}
    assert len(before["dead_letter"]) > 5
    assert any(row["missing"] for row in before["producer"])
    assert after == before


def base_backup(server: PostgresServer, target: Path) -> None:
    """Copy the running cluster as PostgreSQL's own tool does."""
    embedded = server.embedded
    run_as = embedded.run_as
    done = subprocess.run(
        [
            embedded.binaries / "pg_basebackup",
            "-d",
            server.dsn(),
            "-D",
            target,
            "-X",
            "stream",
            "-c",
            "fast",
            "-N",
        ],
        user=None if run_as is None else run_as.uid,
        group=None if run_as is None else run_as.gid,
        extra_groups=None if run_as is None else [],
        cwd=embedded.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


async def test_a_base_backup_taken_under_load_and_the_stream_give_the_same_rows(
    new_postgres: Callable[[], PostgresServer], nats_server: NatsServer, tmp_path: Path
) -> None:
    postgres = new_postgres()
    postgres.start()
    backup = postgres.embedded.folder / "backup"
    async with connected(postgres.dsn()) as maintenance:
        await create_database(maintenance, "audit")
    async with connected(postgres.dsn(database="audit")) as admin:
        await provision_database(admin)
        database = Database(server=postgres, name="audit", admin=admin)
        async with streamed_shard(database, nats_server, tmp_path / "shards") as shard:
            async with shard.writer():
                load = asyncio.create_task(publish_everything(shard, 400))
                await asyncio.sleep(0.3)
                await asyncio.to_thread(base_backup, postgres, backup)
                await load
                await publish_everything(shard, 100, seed=2)
                await shard.committed()
            before = await everything(shard)

            postgres.stop(signal.SIGQUIT)
            shutil.rmtree(postgres.embedded.data)
            backup.rename(postgres.embedded.data)
            postgres.start()
            async with connected(postgres.dsn(database="audit")) as shard.admin:
                restored = await shard.offset()
                assert 0 < restored.stream_sequence < before["shard_offset"][0]["stream_sequence"]
                async with shard.writer():
                    await shard.committed()
                assert await everything(shard) == before
    postgres.stop(signal.SIGQUIT)
