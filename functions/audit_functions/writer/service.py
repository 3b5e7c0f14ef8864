"""The writer of one shard: turn after turn, and stopping where going on would hide a loss."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import Final

from audit_core.errors import Unavailable
from audit_core.frame import FRAME_VERSION
from audit_core.projection import Frozen
from audit_functions.logs import Log
from audit_functions.writer.ports import Shard
from audit_functions.writer.standby import Onlooker
from audit_functions.writer.state import FenceLost, Freeze, Offset, RowsRefused
from audit_functions.writer.turn import Again, Turn
from audit_functions.writer.upkeep import Backup, Upkeep

FROZEN_PAUSE_SECONDS: Final = 2.0
LOOK_ON_EVERY_SECONDS: Final = 0.5
_FIRST_PAUSE_SECONDS: Final = 0.1
_LONGEST_PAUSE_SECONDS: Final = 5.0

_log: Final = Log("writer")


class ShardWriter:
    """Writes one shard until it is stopped.

    `frozen` says why it does not, `trouble` what it waits for; both None while it works or looks on.
    """

    def __init__(self, shard: Shard, backup: Backup) -> None:
        self.frozen: Freeze | None = None
        self.trouble: str | None = None
        self._shard = shard
        self._upkeep = Upkeep(shard=shard, backup=backup)
        self._onlooker: Onlooker | None = None
        self._careful = False
        self._pause = _FIRST_PAUSE_SECONDS
        self._stopping = asyncio.Event()

    def state(self) -> str | None:
        """Return what keeps the writer from its work, or None."""
        if self.frozen is not None:
            return f"frozen: {self.frozen.reason}"
        return self.trouble

    def stop(self) -> None:
        """Commit what is prepared, then end `run`."""
        self._stopping.set()

    async def run(self) -> None:
        """Take turns until stopped."""
        while not self._stopping.is_set():
            started = self._shard.clock.monotonic()
            pause = await self._turn_ended()
            if self._shard.clock.monotonic() - started > _LONGEST_PAUSE_SECONDS:
                self._pause = _FIRST_PAUSE_SECONDS
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()

    async def _turn_ended(self) -> float:
        """Take one turn; return how long to wait before the next."""
        try:
            return await self._turn()
        except Again:
            self._careful = False
        except RowsRefused as refused:
            _log.warning("batch_refused", shard_id=self._shard.shard_id, sqlstate=refused.code)
            self._careful = True
        except FenceLost as lost:
            self._look_on(lost)
        except Freeze as freeze:
            return await self._freeze(freeze)
        except Unavailable as error:
            return self._waits_for(error)
        return 0.0

    async def _turn(self) -> float:
        offset = await self._shard.store.offset()
        if self._onlooker is not None and not await self._takes_over(self._onlooker, offset):
            return LOOK_ON_EVERY_SECONDS
        turn = Turn(
            self._shard,
            self._upkeep,
            offset,
            careful=self._careful,
            stopping=self._stopping,
            thawed=self._thawed,
        )
        try:
            await turn.examine()
            await self._shard.board.reads_frame_version(FRAME_VERSION)
            self._works()
            await turn.run()
        except Freeze:
            if await self._is_still_at(turn.offset):
                raise
        return 0.0

    async def _is_still_at(self, offset: Offset) -> bool:
        """Tell whether what was held against the stream is still the shard's place, and not another writer's past."""
        try:
            return (await self._shard.store.offset()).is_at(offset)
        except Unavailable:
            return True

    async def _takes_over(self, onlooker: Onlooker, offset: Offset) -> bool:
        stream = await self._shard.stream.state()
        last = offset.stream_sequence if stream is None else stream.last_sequence
        self.trouble = None
        return onlooker.sees(offset.stream_sequence, last, self._shard.clock.monotonic())

    def _look_on(self, lost: FenceLost) -> None:
        self._shard.telemetry.fences_lost.labels(self._shard.shard_id).inc()
        self._shard.telemetry.standby.labels(self._shard.shard_id).set(1)
        _log.info("writer_stood_by", shard_id=self._shard.shard_id, offset=lost.found)
        self._onlooker = Onlooker(lost.found, self._shard.clock.monotonic())

    def _works(self) -> None:
        if self._onlooker is not None:
            _log.warning("writer_took_over", shard_id=self._shard.shard_id)
        if self.trouble is not None:
            _log.info("writer_recovered", shard_id=self._shard.shard_id)
        self._shard.telemetry.standby.labels(self._shard.shard_id).set(0)
        self._onlooker = self.trouble = None

    def _thawed(self) -> None:
        if self.frozen is not None:
            _log.warning("shard_thawed", shard_id=self._shard.shard_id, reason=str(self.frozen.reason))
            self._shard.telemetry.frozen.labels(self._shard.shard_id, str(self.frozen.reason)).set(0)
        self.frozen = None

    async def _freeze(self, freeze: Freeze) -> float:
        """Say why the shard stands still, each time anew: whoever reads it must not miss it."""
        shard_id = self._shard.shard_id
        if self.frozen is None or self.frozen.fields() != freeze.fields():
            _log.error("shard_frozen", shard_id=shard_id, reason=str(freeze.reason), **freeze.evidence)
            if self.frozen is not None:
                self._shard.telemetry.frozen.labels(shard_id, str(self.frozen.reason)).set(0)
        self.frozen = freeze
        self._shard.telemetry.frozen.labels(shard_id, str(freeze.reason)).set(1)
        shown = Frozen(
            reason=str(freeze.reason), since=self._shard.clock.microseconds(), evidence=freeze.evidence
        )
        try:
            await self._shard.board.freeze(shown)
        except Unavailable as error:
            self._waits_for(error)
        return FROZEN_PAUSE_SECONDS

    def _waits_for(self, error: Unavailable) -> float:
        """Wait longer each time; log the first of a row."""
        if self.trouble is None:
            _log.warning("writer_interrupted", shard_id=self._shard.shard_id, error=str(error))
        self.trouble = str(error)
        self._shard.telemetry.errors.labels(self._shard.shard_id, type(error).__name__).inc()
        if self._onlooker is not None:
            self._onlooker.blind(self._shard.clock.monotonic())
        pause = self._pause * random.uniform(0.5, 1.0)  # noqa: S311 - spreads retries, guards nothing
        self._pause = min(2 * self._pause, _LONGEST_PAUSE_SECONDS)
        return pause
