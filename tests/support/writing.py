"""A shard with a stream and a schema on real servers, frames published as ingest would, and writers to run on it."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
from asyncpg import Connection, Record
from nats.aio.client import Client

from audit_core.canonical import canonical_json
from audit_core.frame import ControlFrame, FrameEntry, FrameEvent, encode_control, encode_frame
from audit_core.ids import uuid7
from audit_core.projection import FROZEN_KEY, Frozen, Watermark
from audit_core.tenant import (
    config_bucket,
    control_subject,
    inbox_prefix,
    ingest_subject,
    new_id,
    stream_name,
    watermark_bucket,
)
from audit_functions.adapters.jetstream import connected
from audit_functions.writer.board import OutcomeTeller, ShardBoard
from audit_functions.writer.clock import Clock
from audit_functions.writer.ports import Shard
from audit_functions.writer.service import ShardWriter
from audit_functions.writer.state import Offset
from audit_functions.writer.store import ShardStore
from audit_functions.writer.stream import ShardStream
from audit_functions.writer.telemetry import WriterTelemetry
from audit_functions.writer.upkeep import Backup
from audit_operator.clients.buckets import Bucket
from audit_operator.clients.jetstream import Acked, JetStream, StreamInfo
from audit_operator.reconcile.stream import wanted_stream
from tests.support.functions import MIB, SeededShard
from tests.support.nats import NatsServer
from tests.support.postgres import Database, ShardInDatabase

WAIT_SECONDS = 20.0
ENVELOPE = canonical_json(
    {"accepted_at": "2026-01-01T00:00:00.000000Z", "principal": "app", "transport": "http"}
)
EVENT_COLUMNS = (
    "tenant_id, sequence, received_at, kind, id, id_from_client, body, envelope, salt, epoch, stream_sequence,"
    " position, event_type, action, outcome, severity, occurred_at, actor_id, actor_type, target_id, target_type,"
    " correlation_id, service, ip"
)


def a_body(event_type: str = "user.login", **fields: Any) -> bytes:
    """Build canonical bytes."""
    return canonical_json({"event_type": event_type, **fields})


def an_event(body: bytes | None = None, *, id: str | None = None) -> FrameEvent:  # noqa: A002 - the wire's name
    """Build an event of a frame; an `id` counts as the client's."""
    minted = uuid7(time.time_ns() // 1_000_000, int.from_bytes(os.urandom(10)))
    return FrameEvent(id or minted, id is not None, body or a_body())


def a_tenant_id() -> str:
    """Build a tenant_id."""
    return new_id(os.urandom(10))


@dataclass(kw_only=True)
class Instance:
    """One ingest process, as the stream sees it."""

    shard: StreamedShard
    instance: bytes = field(default_factory=lambda: os.urandom(16))
    number: int = 0

    def frame(
        self,
        tenant_id: str,
        events: Sequence[FrameEvent],
        *,
        number: int | None = None,
        abandoned: Sequence[int] = (),
        epoch: bytes | None = None,
    ) -> bytes:
        """Build the next frame, or the one of a number."""
        self.number = self.number + 1 if number is None else max(self.number, number)
        return encode_frame(
            epoch or self.shard.epoch,
            self.instance,
            number or self.number,
            abandoned,
            os.urandom(32),
            [FrameEntry(tenant_id, ENVELOPE, list(events))],
        )

    async def publish(self, tenant_id: str, *events: FrameEvent, **frame: Any) -> Acked:
        """Publish the next frame with these events, one of our own if none."""
        return await self.shard.publish(self.frame(tenant_id, events or (an_event(),), **frame))


@dataclass(kw_only=True)
class StreamedShard:
    """A shard in PostgreSQL and its stream, buckets and credentials in NATS. `admin` is a superuser's connection."""

    stored: ShardInDatabase
    admin: Connection
    seeded: SeededShard
    epoch: bytes
    ingest: Client
    provisioner: Client

    @property
    def shard_id(self) -> str:
        return self.stored.shard_id

    @property
    def schema(self) -> str:
        return self.stored.schema

    @property
    def streams(self) -> JetStream:
        """The JetStream API as the provisioner."""
        return JetStream(self.provisioner)

    def instance(self) -> Instance:
        """Start an ingest process."""
        return Instance(shard=self)

    async def publish(self, data: bytes, *, control: bool = False) -> Acked:
        """Publish bytes, as ingest on its subject or as the provisioner on the control subject."""
        client = self.provisioner if control else self.ingest
        subject = control_subject(self.shard_id) if control else ingest_subject(self.shard_id)
        return await JetStream(client).publish(subject, data, stream=stream_name(self.shard_id))

    async def order(self, frame: ControlFrame) -> Acked:
        """Publish a control frame."""
        return await self.publish(encode_control(frame), control=True)

    async def watermark(self, instance: bytes, mark: Watermark) -> None:
        """Write what an instance was promised."""
        subject = f"$KV.{watermark_bucket(self.shard_id)}.{instance.hex()}"
        await self.ingest.request(subject, msgspec.json.encode(mark))

    async def stream(self) -> StreamInfo:
        info = await self.streams.stream(stream_name(self.shard_id))
        assert info is not None
        return info

    async def make_stream(self, epoch: bytes | None = None, **changes: Any) -> StreamInfo:
        """Make the stream anew; it has to be gone."""
        wanted = wanted_stream(self.shard_id, epoch or self.epoch, max_bytes=256 * MIB, replicas=1)
        return await self.streams.create_stream(msgspec.structs.replace(wanted, **changes))

    async def entry(self, key: str) -> bytes | None:
        """Return an entry of the configuration bucket."""
        found = await Bucket(self.streams, config_bucket(self.shard_id)).entry(key)
        return None if found is None else found.value

    async def frozen(self) -> Frozen | None:
        """Return why the shard is frozen."""
        value = await self.entry(FROZEN_KEY)
        return None if value is None else msgspec.json.decode(value, type=Frozen)

    async def offset(self) -> Offset:
        """Return what is committed."""
        row = await self.admin.fetchrow(
            "SELECT epoch, stream_sequence, received_at, frame_sha256, trimmed_through"
            f" FROM {self.schema}.shard_offset"
        )
        assert row is not None
        return Offset(**row)

    async def events(self, where: str = "true") -> list[Record]:
        """Return stored leaves in the order of the log."""
        return await self.admin.fetch(
            f"SELECT {EVENT_COLUMNS} FROM {self.schema}.event WHERE {where} ORDER BY tenant_id, sequence"
        )

    async def transactions(self) -> int:
        """Return in how many transactions the events were stored."""
        return int(await self.admin.fetchval(f"SELECT count(DISTINCT xmin::text) FROM {self.schema}.event"))

    async def table(self, name: str) -> list[Record]:
        """Return a whole table, in some fixed order."""
        return await self.admin.fetch(f'SELECT * FROM {self.schema}.{name} AS t ORDER BY t::text COLLATE "C"')

    async def committed(self, sequence: int | None = None, seconds: float = WAIT_SECONDS) -> None:
        """Return when everything up to `sequence` is committed, by default all that there is."""
        last = (await self.stream()).state.last_seq if sequence is None else sequence
        await until(lambda: self._is_at(last), seconds)

    async def _is_at(self, sequence: int) -> bool:
        return (await self.offset()).stream_sequence >= sequence

    async def freezes(self, reason: str, seconds: float = WAIT_SECONDS) -> Frozen:
        """Return how the shard is frozen, once it is for that reason."""

        async def is_frozen() -> bool:
            frozen = await self.frozen()
            return frozen is not None and frozen.reason == reason

        await until(is_frozen, seconds)
        frozen = await self.frozen()
        assert frozen is not None
        return frozen

    async def thaws(self, seconds: float = WAIT_SECONDS) -> None:
        """Return when the shard is not frozen."""

        async def is_thawed() -> bool:
            return await self.frozen() is None

        await until(is_thawed, seconds)

    @asynccontextmanager
    async def wired(self, *, clock: Clock | None = None, dsn: str | None = None) -> AsyncIterator[Shard]:
        """Connect everything that a writer needs, as `run` does."""
        async with (
            connected(
                self.seeded.nats.url,
                self.seeded.folder / self.shard_id / "writer.creds",
                name="writer under test",
                inbox=inbox_prefix(self.shard_id, "writer"),
            ) as connection,
            ShardStore(lambda: dsn or self.stored.dsn("writer")) as store,
        ):
            yield Shard(
                shard_id=self.shard_id,
                store=store,
                stream=ShardStream(connection, self.shard_id),
                board=ShardBoard(connection, self.shard_id),
                teller=OutcomeTeller(connection, self.shard_id),
                telemetry=WriterTelemetry(),
                clock=clock or Clock(),
            )

    @asynccontextmanager
    async def writer(
        self, *, clock: Clock | None = None, backup: Backup = "none", dsn: str | None = None
    ) -> AsyncIterator[RunningWriter]:
        """Run a writer in this process for the time of the block."""
        async with self.wired(clock=clock, dsn=dsn) as shard:
            writer = ShardWriter(shard, backup)
            task = asyncio.get_running_loop().create_task(writer.run())
            try:
                yield RunningWriter(writer=writer, shard=shard, task=task)
            finally:
                writer.stop()
                done, _ = await asyncio.wait({task}, timeout=WAIT_SECONDS)
                assert done
                if not task.cancelled():
                    task.result()


@dataclass(kw_only=True)
class RunningWriter:
    """A writer at work."""

    writer: ShardWriter
    shard: Shard
    task: asyncio.Task[None]

    async def cancel(self) -> None:
        """End it in the middle of whatever it does."""
        self.task.cancel()
        await asyncio.wait({self.task})

    def metric(self, name: str, **labels: str) -> float:
        """Return the value of a metric of the shard, 0 before it was counted."""
        labels = {"shard": self.shard.shard_id, **labels}
        value = self.shard.telemetry.registry.get_sample_value(f"audit_writer_{name}", labels)
        return 0.0 if value is None else value


async def until(holds: Callable[[], Any], seconds: float = WAIT_SECONDS) -> None:
    """Return when `holds()` gives true."""
    async with asyncio.timeout(seconds):
        while not await holds():  # noqa: ASYNC110 - what is waited for is in another process
            await asyncio.sleep(0.02)


@asynccontextmanager
async def streamed_shard(
    database: Database, nats: NatsServer, folder: Path, **shard: Any
) -> AsyncIterator[StreamedShard]:
    """Provision a shard on running servers."""
    stored = await database.a_shard(**{"now": time.time_ns() // 1000, **shard})
    seeded = SeededShard(nats=nats, folder=folder, shard_id=stored.shard_id, epoch=stored.stored.epoch)
    await seeded.laid_out()
    target = folder / stored.shard_id
    shutil.copy(nats.function_creds(stored.shard_id, "writer"), target / "writer.creds")
    (target / "writer.dsn").write_text(stored.dsn("writer"))
    async with AsyncExitStack() as exits:
        ingest = await exits.enter_async_context(nats.function(stored.shard_id, "ingest"))
        provisioner = await exits.enter_async_context(nats.provisioner(stored.shard_id))
        yield StreamedShard(
            stored=stored,
            admin=database.admin,
            seeded=seeded,
            epoch=stored.stored.epoch,
            ingest=ingest,
            provisioner=provisioner,
        )


NewShard = Callable[..., AbstractAsyncContextManager[StreamedShard]]


@pytest.fixture
async def new_shard(database: Database, nats_server: NatsServer, tmp_path: Path) -> NewShard:
    """Make shards on the session's servers."""

    def new(**shard: Any) -> AbstractAsyncContextManager[StreamedShard]:
        return streamed_shard(database, nats_server, tmp_path / "shards", **shard)

    return new


@pytest.fixture
async def shard(new_shard: NewShard) -> AsyncIterator[StreamedShard]:
    """Make one shard on the session's servers."""
    async with new_shard() as made:
        yield made


async def publish_everything(shard: StreamedShard, frames: int, *, seed: int = 1) -> None:
    """Publish a stream in which everything happens: tenants, duplicates, conflicts, poison, late and repeated frames."""
    randomness = random.Random(seed)
    tenants = [a_tenant_id() for _ in range(3)]
    instances = [shard.instance() for _ in range(2)]
    given_up: list[tuple[str, bytes]] = []
    for number in range(frames):
        ingest, tenant = randomness.choice(instances), randomness.choice(tenants)
        events = [_some_event(randomness) for _ in range(randomness.randint(1, 12))]
        match randomness.randrange(12):
            case 0:
                await shard.publish(randomness.randbytes(30))
            case 1:
                given_up.append((tenant, ingest.frame(tenant, events)))
                await ingest.publish(tenant, *events, abandoned=[ingest.number])
            case 2 if given_up:
                await shard.publish(given_up.pop()[1])
            case 3:
                frame = ingest.frame(tenant, events)
                await shard.publish(frame)
                await shard.publish(frame)
            case 4:
                await shard.order(ControlFrame("hold", tenant, canonical_json({"number": number}), "ops"))
            case 5:
                ingest.number += 2
                await ingest.publish(tenant, *events)
            case _:
                await ingest.publish(tenant, *events)


def _some_event(randomness: random.Random) -> FrameEvent:
    body = a_body(
        randomness.choice(("user.login", "doc.read")),
        actor={"id": f"u{randomness.randrange(5)}"},
        context={"ip": f"10.0.0.{randomness.randrange(256)}"},
    )
    if randomness.random() < 0.03:
        body = b'{"event_type":'
    return an_event(body, id=f"order-{randomness.randrange(60)}" if randomness.random() < 0.4 else None)
