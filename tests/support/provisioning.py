"""Provisioning against real servers, with a clock that the test sets and secrets in a temporary folder."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from asyncpg import Connection

from audit_core.projection import ConfigView
from audit_core.tenant import config_bucket, stream_name, watermark_bucket
from audit_operator.clients import postgres
from audit_operator.clients.buckets import Bucket, Entry, stream_of
from audit_operator.clients.cluster import Cluster
from audit_operator.clients.jetstream import JetStream, StreamConfig, StreamInfo
from audit_operator.local.keys import KeyFolder
from audit_operator.local.shard_folder import ShardFolder
from audit_operator.reconcile.converge import Reconciler
from audit_operator.reconcile.installation import Installation
from audit_operator.reconcile.keys import FirstKey
from audit_operator.reconcile.shard import ShardReconciler
from tests.support.nats import NatsServer
from tests.support.postgres import NOW, Database

MIB = 1 << 20


@dataclass
class Clock:
    """A time in µs that stands still until it is set."""

    now: int = NOW

    def __call__(self) -> int:
        return self.now


@dataclass(kw_only=True)
class Provisioned:
    """A database, a NATS server and the reconciler on them."""

    database: Database
    nats: NatsServer
    folder: Path
    reconciler: Reconciler
    clock: Clock

    def streams(self, shard_id: str) -> AbstractAsyncContextManager[JetStream]:
        """Use JetStream in a shard's account."""
        return self.reconciler.shards.cluster.streams(shard_id)

    @property
    def shards(self) -> Path:
        """What the functions would read as AUDIT_SHARDS."""
        return self.folder / "shards"

    def key(self, tenant_id: str) -> str:
        """Return the text of a tenant's first key."""
        key = KeyFolder(self.folder / "keys").key(tenant_id)
        assert key is not None
        return key

    async def stream(self, shard_id: str) -> StreamInfo | None:
        async with self.streams(shard_id) as streams:
            return await streams.stream(stream_name(shard_id))

    @asynccontextmanager
    async def bucket(self, shard_id: str) -> AsyncIterator[Bucket]:
        """Use a shard's configuration bucket."""
        async with self.streams(shard_id) as streams:
            yield Bucket(streams, config_bucket(shard_id))

    async def view(self, shard_id: str) -> ConfigView:
        """Return the configuration as the functions see it."""
        view = ConfigView()
        async with self.bucket(shard_id) as bucket:
            for key, entry in (await bucket.entries()).items():
                assert view.apply(key, entry.value) is None
        return view

    async def observed(self, shard_id: str) -> Observed:
        """Return everything that a reconcile could have written, for whole-value comparison."""
        names = (
            stream_name(shard_id),
            *map(stream_of, (config_bucket(shard_id), watermark_bucket(shard_id))),
        )
        async with self.streams(shard_id) as account, self.bucket(shard_id) as bucket:
            streams = [await account.stream(name) for name in names]
            entries = await bucket.entries()
        return Observed(
            streams=tuple(stream.config for stream in streams if stream is not None),
            sequences=tuple(stream.state.last_seq for stream in streams if stream is not None),
            entries=entries,
            rows=await row_versions(self.database.admin, shard_id),
            files={
                str(path.relative_to(self.folder)): (path.stat().st_mtime_ns, path.read_text())
                for path in self.folder.rglob("*")
                if path.is_file()
            },
        )


class Observed(msgspec.Struct, frozen=True, kw_only=True):
    """The state of everything that provisioning writes. `rows` are the versions of every row of ours."""

    streams: tuple[StreamConfig, ...]
    sequences: tuple[int, ...]
    entries: dict[str, Entry]
    rows: tuple[tuple[str, str, str], ...]
    files: dict[str, tuple[int, str]]


async def row_versions(connection: Connection, shard_id: str) -> tuple[tuple[str, str, str], ...]:
    """Return (table, place, version) of every row of the control schema, the shard's, and the catalogue's of both."""
    found: list[tuple[str, str, str]] = []
    tables = await connection.fetch(
        "SELECT format('%I.%I', nspname, relname) FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace"
        " WHERE relkind = 'r' AND (nspname IN ('control', $1) OR relname = ANY ($2)) ORDER BY 1",
        f"shard_{shard_id}",
        ["pg_authid", "pg_class", "pg_proc", "pg_policy", "pg_db_role_setting", "pg_namespace"],
    )
    for [table] in tables:
        rows = await connection.fetch(
            f"SELECT ctid::text, xmin::text FROM {table}"
            + (f" WHERE rolname LIKE 'audit_{shard_id}%'" if table.endswith("pg_authid") else "")
            + (
                " WHERE relnamespace IN (SELECT oid FROM pg_namespace WHERE nspname !~ '^pg_')"
                if table.endswith("pg_class")
                else ""
            )
        )
        found += [(table, place, version) for place, version in rows]
    return tuple(sorted(found))


def a_reconciler(
    database: Database,
    cluster: Cluster,
    nats: NatsServer,
    folder: Path,
    clock: Clock,
) -> Reconciler:
    """Wire a reconciler as the local runtime does."""

    def opened() -> AbstractAsyncContextManager[Connection]:
        return postgres.connected(database.server.dsn(database=database.name))

    shards = ShardReconciler(
        installation=Installation(
            stream_replicas=1,
            stream_max_bytes=64 * MIB,
            pool_max_bytes=64 * MIB,
            config_max_bytes=4 * MIB,
            watermark_max_bytes=MIB,
        ),
        cluster=cluster,
        credentials=ShardFolder(
            folder=folder / "shards",
            authority=nats.embedded.authority,
            dsn=lambda role, password: database.server.dsn(
                database=database.name, user=role, password=password
            ),
            random=os.urandom,
        ),
        clock=clock,
    )
    first_key = FirstKey(keyring=KeyFolder(folder / "keys"), clock=clock, random=os.urandom)
    return Reconciler(database=opened, shards=shards, first_key=first_key, random=os.urandom)


async def provisioned_on(
    exits: AsyncExitStack, database: Database, nats: NatsServer, folder: Path
) -> Provisioned:
    """Connect a reconciler to running servers for as long as `exits` is open."""
    cluster = Cluster(lambda: nats.url, nats.embedded.authority, os.urandom)
    await exits.enter_async_context(cluster)
    clock = Clock()
    return Provisioned(
        database=database,
        nats=nats,
        folder=folder,
        reconciler=a_reconciler(database, cluster, nats, folder, clock),
        clock=clock,
    )


@pytest.fixture
async def provisioned(
    database: Database, nats_server: NatsServer, tmp_path: Path
) -> AsyncIterator[Provisioned]:
    """Make a reconciler on the session's servers, with a fresh database."""
    async with AsyncExitStack() as exits:
        yield await provisioned_on(exits, database, nats_server, tmp_path)
