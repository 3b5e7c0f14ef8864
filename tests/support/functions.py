"""A functions process on a free port against a real NATS server, with shards that a test lays out itself.

For what ingest and query do by themselves; the whole pipeline stands in `tests.support.running`.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from audit_core.frame import Frame, decode_message
from audit_core.ids import api_key_hash, new_api_key
from audit_core.projection import (
    DURABILITY_KEY,
    FROZEN_KEY,
    Durability,
    Frozen,
    KeyGrant,
    Limits,
    Scope,
    State,
    TenantConfig,
    TenantSecret,
    Watermark,
    api_key_key,
    secret_key,
    tenant_key,
)
from audit_core.tenant import config_bucket, new_id, stream_name, watermark_bucket
from audit_operator.clients.buckets import Bucket, bucket_config
from audit_operator.clients.jetstream import JetStream
from audit_operator.local.ports import HOST, free_port
from audit_operator.local.processes import die_with_parent
from audit_operator.reconcile.stream import wanted_stream
from tests.support.nats import NatsServer

UNLIMITED = Limits(events_per_second=1_000_000, burst=10_000_000)
MIB = 1 << 20
START_SECONDS = 20.0


@dataclass(kw_only=True)
class SeededTenant:
    """A tenant with one key."""

    name: str
    limits: Limits = UNLIMITED
    state: State = "Active"
    scopes: tuple[Scope, ...] = ("events:write", "events:read")
    expires_at: int | None = None
    tenant_id: str = field(default_factory=lambda: new_id(os.urandom(10)))
    secret: bytes = field(default_factory=lambda: os.urandom(32))
    key: str = field(default_factory=lambda: new_api_key(os.urandom(32)))
    key_id: str = "key-1"
    principal: str = "app@example"

    @property
    def spec(self) -> TenantConfig:
        return TenantConfig(tenant_id=self.tenant_id, name=self.name, state=self.state, limits=self.limits)

    def entries(self) -> dict[str, bytes]:
        """Return what provisioning would write of it."""
        grant = KeyGrant(
            tenant_id=self.tenant_id,
            key_id=self.key_id,
            principal=self.principal,
            scopes=self.scopes,
            expires_at=self.expires_at,
        )
        return {
            tenant_key(self.tenant_id): msgspec.json.encode(self.spec),
            secret_key(self.tenant_id): msgspec.json.encode(TenantSecret(secret=self.secret)),
            api_key_key(api_key_hash(self.key)): msgspec.json.encode(grant),
        }


@dataclass(kw_only=True)
class SeededShard:
    """A shard's stream, buckets and credentials."""

    nats: NatsServer
    folder: Path
    shard_id: str = field(default_factory=lambda: new_id(os.urandom(10)))
    epoch: bytes = field(default_factory=lambda: os.urandom(16))

    async def laid_out(
        self, *tenants: SeededTenant, max_bytes: int = 256 * MIB, attested_at: int | None = None
    ) -> None:
        """Make stream, buckets, configuration and the folder that the process reads."""
        async with self.nats.provisioner(self.shard_id) as client:
            streams = JetStream(client)
            await streams.create_stream(
                wanted_stream(self.shard_id, self.epoch, max_bytes=max_bytes, replicas=1)
            )
            for bucket in (config_bucket(self.shard_id), watermark_bucket(self.shard_id)):
                await streams.create_stream(bucket_config(bucket, max_bytes=8 * MIB, replicas=1))
        await self.attest(attested_at)
        for tenant in tenants:
            await self.put(tenant)
        target = self.folder / self.shard_id
        target.mkdir(parents=True)
        for function in ("ingest", "query"):
            shutil.copy(self.nats.function_creds(self.shard_id, function), target / f"{function}.creds")

    async def put(self, tenant: SeededTenant) -> None:
        """Write a tenant as it is now."""
        for key, value in tenant.entries().items():
            await self.write(key, value)

    async def revoke(self, tenant: SeededTenant) -> None:
        """Delete a tenant's key."""
        await self.write(api_key_key(api_key_hash(tenant.key)), None)

    async def attest(self, at: int | None = None) -> None:
        """Write the attestation of durability, as of now or of another time (µs)."""
        at = time.time_ns() // 1000 if at is None else at
        await self.write(
            DURABILITY_KEY, msgspec.json.encode(Durability(attested_at=at, peers=("test",), replicas=1))
        )

    async def freeze(self, reason: str) -> None:
        """Say that the writer stopped."""
        await self.write(FROZEN_KEY, msgspec.json.encode(Frozen(reason=reason, since=0)))

    async def write(self, key: str, value: bytes | None) -> None:
        """Write or delete an entry of the configuration."""
        async with self.nats.provisioner(self.shard_id) as client:
            bucket = Bucket(JetStream(client), config_bucket(self.shard_id))
            entry = await bucket.entry(key)
            revision = 0 if entry is None else entry.revision
            if value is None:
                assert await bucket.delete(key, revision=revision)
            else:
                assert await bucket.put(key, value, revision=revision)

    async def messages(self) -> list[bytes]:
        """Return every message of the stream, in order."""
        async with self.nats.provisioner(self.shard_id) as client:
            name = stream_name(self.shard_id)
            info = await JetStream(client).stream(name)
            assert info is not None
            found = []
            for sequence in range(info.state.first_seq, info.state.last_seq + 1):
                request = json.dumps({"seq": sequence}).encode()
                answer = await client.request(f"$JS.API.DIRECT.GET.{name}", request, timeout=5)
                found.append(answer.data)
            return found

    async def frames(self) -> list[Frame]:
        """Return every frame of the stream, in order."""
        decoded = [decode_message(message) for message in await self.messages()]
        return [message for message in decoded if isinstance(message, Frame)]

    async def bodies(self) -> dict[str, bytes]:
        """Return the canonical bytes of every event in the stream, by id."""
        return {
            event.id: event.body
            for frame in await self.frames()
            for entry in frame.entries
            for event in entry.events
        }

    async def watermarks(self) -> list[Watermark]:
        """Return what the instances wrote."""
        async with self.nats.provisioner(self.shard_id) as client:
            entries = await Bucket(JetStream(client), watermark_bucket(self.shard_id)).entries()
        return [msgspec.json.decode(entry.value or b"", type=Watermark) for entry in entries.values()]


async def until(claim: Callable[[], Awaitable[bool]], seconds: float = 10.0) -> None:
    """Return when `claim` holds; look every 50 ms. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not await claim():  # noqa: ASYNC110 - what is waited for happens in another process
            await asyncio.sleep(0.05)


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.body.splitlines()]


class FunctionsProcess:
    """`python -m audit_functions`, under gunicorn as in production."""

    def __init__(self, nats_url: str, shards: Path, functions: str = "ingest", **environment: str) -> None:
        self.port = free_port()
        self.log_file = Path(tempfile.mkdtemp(prefix="audit-functions-")) / "stderr"
        self._environment = os.environ | {
            "AUDIT_FUNCTIONS": functions,
            "AUDIT_SHARDS": str(shards),
            "AUDIT_NATS_URL": nats_url,
            "AUDIT_PORT": str(self.port),
            **environment,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "audit_functions"],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - one call of libc, which no lock can hold up
            )

    async def started(self) -> None:
        """Start, and return when it is ready."""
        self.start()
        await self.until_ready()

    async def until_ready(self, seconds: float = START_SECONDS) -> None:
        """Return when `/readyz` says yes."""
        async with asyncio.timeout(seconds):
            while not await asyncio.to_thread(self._is_ready):
                assert self.process is not None
                assert self.process.poll() is None, self.log()
                await asyncio.sleep(0.05)

    def _is_ready(self) -> bool:
        try:
            return self.request_now("GET", "/readyz").status == 200
        except OSError:
            return False

    def stop(self, how: signal.Signals = signal.SIGTERM, *, wait_seconds: float = 40) -> int:
        """Stop it and return its exit code."""
        if self.process is None:
            return 0
        if how is signal.SIGKILL:
            os.killpg(self.process.pid, signal.SIGKILL)
        else:
            self.process.send_signal(how)
        code = self.process.wait(wait_seconds)
        self.process = None
        return code

    def worker_pid(self) -> int:
        """Return the process that serves, which is gunicorn's child."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0])

    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def request_now(
        self,
        method: str,
        path: str,
        body: bytes | Iterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        timeout: float = 30,
    ) -> Answer:
        """Send one request on a connection of its own."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=timeout)
        try:
            connection.request(method, path, body=body, headers=dict(headers or {}))
            answer = connection.getresponse()
            content = answer.read()
            told = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, told, content)
        finally:
            connection.close()

    async def request(self, *arguments: Any, **named: Any) -> Answer:
        """Send one request from another thread."""
        return await asyncio.to_thread(self.request_now, *arguments, **named)

    async def post(
        self, tenant: SeededTenant, body: bytes | Iterator[bytes], path: str = "", **headers: str
    ) -> Answer:
        """Post a body, in pieces if it is given in pieces, as a tenant; underscores in names of headers stand for hyphens."""
        sent = {"Authorization": f"Bearer {tenant.key}", "Content-Type": "application/json"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.request("POST", f"/api/v1/audit/logs{path}", body, sent)


@asynccontextmanager
async def functions_process(
    nats: NatsServer, shards: Path, functions: str = "ingest", **environment: str
) -> AsyncIterator[FunctionsProcess]:
    """Run a process until it is ready, and stop it afterwards."""
    process = FunctionsProcess(nats.url, shards, functions, **environment)
    try:
        await process.started()
        yield process
    finally:
        process.stop()
        shutil.rmtree(process.log_file.parent)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedIngest:
    """One ingest process that many tests share, with a shard and two tenants in it."""

    process: FunctionsProcess
    shard: SeededShard
    acme: SeededTenant
    globex: SeededTenant

    async def post(self, body: bytes | Iterator[bytes], path: str = "", **headers: str) -> Answer:
        """Post as acme."""
        return await self.process.post(self.acme, body, path, **headers)


@pytest.fixture(scope="module")
def served_ingest(
    nats_server: NatsServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServedIngest]:
    """Serve a shard for the tests of one file; none of them may disturb it."""
    folder = tmp_path_factory.mktemp("shards")
    shard = SeededShard(nats=nats_server, folder=folder)
    acme, globex = SeededTenant(name="acme"), SeededTenant(name="globex")
    process = FunctionsProcess(nats_server.url, folder)

    async def start() -> None:
        await shard.laid_out(acme, globex)
        await process.started()

    try:
        asyncio.run(start())
        yield ServedIngest(process=process, shard=shard, acme=acme, globex=globex)
    finally:
        process.stop()
        shutil.rmtree(process.log_file.parent)
