"""The composition root of a writer process: one ShardWriter for each shard whose credentials are in the folder."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Final

import uvloop

from audit_core.tenant import ShardId, inbox_prefix
from audit_functions.adapters.jetstream import connected
from audit_functions.logs import Log
from audit_functions.settings import Settings
from audit_functions.web.shard_files import ShardFiles
from audit_functions.web.shards import ShardFolder
from audit_functions.web.vital import Vital
from audit_functions.writer.board import OutcomeTeller, ShardBoard
from audit_functions.writer.clock import Clock
from audit_functions.writer.ports import Shard
from audit_functions.writer.probe import Probe
from audit_functions.writer.service import ShardWriter
from audit_functions.writer.store import ShardStore
from audit_functions.writer.stream import ShardStream
from audit_functions.writer.telemetry import WriterTelemetry
from audit_functions.writer.upkeep import Backup

STOP_SECONDS: Final = 10.0
"""How long a shard's last commits may take after SIGTERM."""
_FILES: Final = ("writer.creds", "writer.dsn")
_YOUNG_OBJECTS: Final = 50_000

_log: Final = Log("writer")


def run(settings: Settings) -> None:
    """Write every shard of the folder until SIGTERM. Exits with a sentence when that cannot begin."""
    if settings.backup is None:
        sys.exit("audit_functions: AUDIT_BACKUP must say what trimming waits for: archive or none")
    # Batches are thousands of tuples that live for a moment: looking through them again and again finds nothing.
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS)
    sys.exit(uvloop.run(WriterProcess(settings, settings.backup).run()))


class WriterProcess:
    """One process with any number of shards. A shard's failure is its own."""

    def __init__(self, settings: Settings, backup: Backup) -> None:
        self._settings = settings
        self._backup = backup
        self._telemetry = WriterTelemetry()
        self._stopping = asyncio.Event()
        self._folder: ShardFolder[ShardWriter] = ShardFolder(
            settings.shards, _FILES, self._opened, overlap_seconds=0.0
        )

    async def run(self) -> int:
        """Serve until told to stop; return the exit code."""
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, self._stopping.set)
        probe = Probe(self._telemetry.registry, self._states)
        try:
            async with (
                probe.served(self._settings.address, self._settings.port),
                Vital(self._stopping.set) as vital,
            ):
                vital.start("shards", self._folder.run())
                await self._stopping.wait()
                await self._folder.drain()
                return 0 if vital.failed is None else 1
        except OSError as error:
            _log.error("port_not_available", port=self._settings.port, error=str(error))
            return 1

    @asynccontextmanager
    async def _opened(self, shard_id: ShardId, files: ShardFiles) -> AsyncIterator[ShardWriter]:
        """Write one shard for the time of the block; the block ends with an error when that cannot go on."""
        async with (
            connected(
                self._settings.nats_url,
                files / "writer.creds",
                name=f"audit writer {shard_id}",
                inbox=inbox_prefix(shard_id, "writer"),
            ) as connection,
            ShardStore(lambda: (files / "writer.dsn").read_text(encoding="utf-8").strip()) as store,
        ):
            shard = Shard(
                shard_id=shard_id,
                store=store,
                stream=ShardStream(connection, shard_id),
                board=ShardBoard(connection, shard_id),
                teller=OutcomeTeller(connection, shard_id),
                telemetry=self._telemetry,
                clock=Clock(),
            )
            writer = ShardWriter(shard, self._backup)
            try:
                async with asyncio.TaskGroup() as tasks:
                    closed = tasks.create_task(connection.until_closed(), name=f"connection of {shard_id}")
                    work = tasks.create_task(writer.run(), name=f"writer of {shard_id}")
                    yield writer
                    writer.stop()
                    with suppress(TimeoutError):
                        await asyncio.wait_for(work, STOP_SECONDS)
                    closed.cancel()
            finally:
                if shard_id not in self._folder.serving:  # else another writer has taken its place
                    self._telemetry.forget(shard_id)

    def _states(self) -> Mapping[str, str | None] | None:
        if self._folder.awaited() and not self._folder.known:
            return None
        serving = self._folder.serving
        return {
            shard_id: serving[shard_id].state() if shard_id in serving else "opening"
            for shard_id in self._folder.known
        }
