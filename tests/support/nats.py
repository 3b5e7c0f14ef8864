"""A real nats-server for tests: operator mode, every message fsynced, on a free port, gone with the session."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client

from audit_core.tenant import (
    config_bucket,
    control_subject,
    inbox_prefix,
    ingest_subject,
    stream_name,
    watermark_bucket,
)
from audit_operator.clients.buckets import bucket_config
from audit_operator.clients.jetstream import JetStream, StreamConfig
from audit_operator.clients.nats_accounts import Accounts
from audit_operator.clients.nats_permissions import (
    PROVISIONER_INBOX,
    Permissions,
    ingest_permissions,
    query_permissions,
    writer_permissions,
)
from audit_operator.local.nats import EmbeddedNats
from audit_operator.local.processes import die_with_parent

START_SECONDS = 20.0
PERMISSIONS: dict[str, Callable[[str], Permissions]] = {
    "ingest": ingest_permissions,
    "writer": writer_permissions,
    "query": query_permissions,
}


class NatsServer:
    """One server in a folder of its own. `start` after `stop` or `kill` finds the same data on the same port."""

    def __init__(self, *, sync: str = "always") -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="audit-nats-"))
        self.embedded = EmbeddedNats(self.folder, sync=sync)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return self.embedded.url

    def start(self) -> None:
        self.process = subprocess.Popen(
            self.embedded.command(),
            env=self.embedded.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - one call of libc, which no lock can hold up
        )

    async def started(self) -> None:
        self.start()
        async with asyncio.timeout(START_SECONDS):
            await self.embedded.ready()

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(20)
            self.process = None

    def kill(self) -> None:
        self.stop(signal.SIGKILL)

    def log(self) -> str:
        return (self.folder / "nats.log").read_text(errors="replace")

    def creds(self, shard_id: str, name: str, permissions: Permissions) -> Path:
        """Return the credentials file of a new user of a shard's account."""
        return self._written(
            f"{shard_id}-{name}",
            self.embedded.authority.user_creds(shard_id, name, permissions, os.urandom),
        )

    def function_creds(self, shard_id: str, function: str) -> Path:
        """Return the credentials file of a shard's function. The shard's account must be known to be let in."""
        return self.creds(shard_id, function, PERMISSIONS[function](shard_id))

    async def know(self, *shard_ids: str) -> None:
        """Make the server know the accounts of shards."""
        authority = self.embedded.authority
        async with self.system() as client:
            for shard_id in shard_ids:
                await Accounts(client).make_known(
                    authority.account(shard_id), authority.account_jwt(shard_id)
                )

    @asynccontextmanager
    async def system(self) -> AsyncIterator[Client]:
        """Connect to the system account, as who provisions does."""
        creds = self._written("system", self.embedded.authority.system_creds(os.urandom))
        async with connected(self.url, creds, PROVISIONER_INBOX) as client:
            yield client

    @asynccontextmanager
    async def provisioner(self, shard_id: str) -> AsyncIterator[Client]:
        """Connect to a shard's account, made known if need be, as who makes its stream and buckets."""
        await self.know(shard_id)
        creds = self._written(
            f"{shard_id}-provisioner", self.embedded.authority.provisioner_creds(shard_id, os.urandom)
        )
        async with connected(self.url, creds, PROVISIONER_INBOX) as client:
            yield client

    @asynccontextmanager
    async def function(self, shard_id: str, function: str) -> AsyncIterator[Client]:
        """Connect as one function of a shard."""
        creds = self.function_creds(shard_id, function)
        prefix = inbox_prefix(shard_id, function)  # type: ignore[arg-type]  # tests name the functions as text
        async with connected(self.url, creds, prefix) as client:
            yield client

    def _written(self, name: str, creds: str) -> Path:
        path = self.folder / f"{name}.creds"
        path.touch(mode=0o600)
        path.write_text(creds)
        return path


@asynccontextmanager
async def connected(url: str, creds: Path, inbox: str) -> AsyncIterator[Client]:
    """Connect; refused subjects are collected in `client.refusals` instead of being printed."""
    refusals: list[str] = []

    async def refused(error: Exception) -> None:
        refusals.append(str(error))

    client = await nats.connect(url, user_credentials=str(creds), inbox_prefix=inbox, error_cb=refused)
    client.refusals = refusals  # type: ignore[attr-defined]  # ours, for the tests to look at
    try:
        yield client
    finally:
        await client.close()


async def make_shard(server: NatsServer, shard_id: str) -> None:
    """Make the stream and the buckets of a shard, small ones. What is there stays."""
    async with server.provisioner(shard_id) as client:
        streams = JetStream(client)
        await streams.create_stream(
            StreamConfig(
                name=stream_name(shard_id),
                subjects=(ingest_subject(shard_id), control_subject(shard_id)),
                max_bytes=1 << 20,
                allow_direct=True,
            )
        )
        for bucket in (config_bucket(shard_id), watermark_bucket(shard_id)):
            await streams.create_stream(bucket_config(bucket, max_bytes=1 << 20, replicas=1))


@pytest.fixture(scope="session")
def new_nats() -> Iterator[Callable[[], NatsServer]]:
    """Make servers that are not started yet, for tests that stop or kill theirs; all are gone after the session."""
    servers: list[NatsServer] = []

    def new() -> NatsServer:
        server = NatsServer()
        servers.append(server)
        return server

    yield new
    for server in servers:
        server.kill()
        shutil.rmtree(server.folder)


@pytest.fixture(scope="session")
def nats_server(new_nats: Callable[[], NatsServer]) -> NatsServer:
    """Start the session's server; no test stops it."""
    server = new_nats()
    asyncio.run(server.started())
    return server
