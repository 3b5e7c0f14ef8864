"""One turn of a writer: from the offset in PostgreSQL to the first error.

One batch is committed while the next lands and the one after it is prepared. Any error throws away what is not
committed; so does a batch that PostgreSQL refuses, and the next turn then takes one batch at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from audit_core.frame import DEDUPE_WINDOW_US
from audit_core.projection import Frozen
from audit_functions.logs import Log
from audit_functions.writer.examine import Examiner
from audit_functions.writer.intake import MAX_BYTES, Intake, Jump, Read, keys_of
from audit_functions.writer.ledger import MAX_BATCHES_AWAY, Ledger
from audit_functions.writer.ports import Inflow, Landed, Shard
from audit_functions.writer.repair import repaired
from audit_functions.writer.settle import Batch, Settling
from audit_functions.writer.state import Freeze, Gap, Offset, Reason, RowsRefused
from audit_functions.writer.stream_check import Evidence
from audit_functions.writer.together import together
from audit_functions.writer.upkeep import Upkeep

LINGER_SECONDS: Final = 0.04
"""Between two small commits, which would compete with NATS for fsync."""
ENOUGH_BYTES: Final = 512 * 1024
"""So much is committed without lingering."""
EXAMINE_EVERY_SECONDS: Final = 2.0
OUTCOME_MICROSECONDS: Final = 15_000_000
"""How long somebody may wait for an outcome; what is older is not told."""
CAREFUL_BATCHES: Final = 10
"""After so many batches without a refusal, one at a time is over."""
_TAKE_SECONDS: Final = 0.25
_SHOWN_BY_PROGRESS: Final = frozenset({Reason.UNKNOWN_VERSION, Reason.STORE_CONTRADICTS})

_log: Final = Log("writer")


class Again(Exception):
    """The turn ended as it should, and the next may start."""


class Turn:
    """One turn: `examine`, then `run`, which ends with an error; with Again when `stopping` is set."""

    def __init__(
        self,
        shard: Shard,
        upkeep: Upkeep,
        offset: Offset,
        *,
        careful: bool,
        stopping: asyncio.Event,
        thawed: Callable[[], None],
    ) -> None:
        self.offset = offset
        self._shard = shard
        self._upkeep = upkeep
        self._examiner = Examiner(shard.stream, shard.shard_id)
        self._careful = careful
        self._stopping = stopping
        self._thawed = thawed
        self._ledger = Ledger(offset)
        self._depth = 1 if careful else MAX_BATCHES_AWAY
        self._slots = asyncio.Semaphore(self._depth)
        self._prepared: asyncio.Queue[Batch | None] = asyncio.Queue()
        self._landed: asyncio.Queue[Landed | None] = asyncio.Queue()
        self._cut_at = 0.0
        self._doubtful = False

    async def examine(self) -> None:
        """Demand that the stream is the offset's. Raises Freeze."""
        await self._thaw_unless_doubtful(await self._examiner.examine(lambda: self.offset))

    async def run(self) -> None:
        """Work until something is wrong or nothing more is to be done."""
        storing = (
            {"one_by_one": self._one_by_one()}
            if self._careful
            else {"land": self._land(), "commit": self._commit()}
        )
        try:
            await together(
                prepare=self._prepare(),
                **storing,
                watch=self._watch(),
                upkeep=self._upkeep.run(lambda: self.offset),
            )
        finally:
            self._shard.store.give_up()

    async def _thaw_unless_doubtful(self, seen: Evidence) -> None:
        """Say that the shard goes on, unless only a commit can show that it does."""
        shown = await self._shard.board.frozen()
        progress_shows = shown is not None and shown.reason in _SHOWN_BY_PROGRESS
        self._doubtful = progress_shows and seen.following is not None
        if not self._doubtful:
            await self._thaw(shown)

    async def _thaw(self, shown: Frozen | None) -> None:
        self._doubtful = False
        if shown is not None:
            await self._shard.board.thaw()
        self._thawed()

    async def _prepare(self) -> None:
        intake = Intake(self._shard.shard_id, self.offset)
        async with self._shard.stream.consumer(self.offset.stream_sequence + 1) as inflow:
            while True:
                await self._slots.acquire()
                reads = await self._next(inflow, intake)
                if reads is None:
                    break
                self._prepared.put_nowait(await self._settled(reads))
        self._prepared.put_nowait(None)

    async def _next(self, inflow: Inflow, intake: Intake) -> list[Read] | None:
        """Return the messages of the next batch, none for a batch without messages; None when stopped."""
        while not self._stopping.is_set():
            if intake.bytes < MAX_BYTES:
                intake.add(await inflow.take(0 if intake.bytes else _TAKE_SECONDS))
                await self._gather(inflow, intake)
                await self._linger(inflow, intake)
            try:
                reads = await intake.cut()
            except Jump as jump:
                await self._jump(jump.gap, intake)
                continue
            except Freeze:
                await self._all_committed()
                raise
            if reads or self._upkeep.lacks:
                self._cut_at = self._shard.clock.monotonic()
                return reads
        return None

    async def _gather(self, inflow: Inflow, intake: Intake) -> None:
        """Take in what follows already: a backlog goes faster in large transactions."""
        while intake.expects_more:
            arrived = await inflow.take(_TAKE_SECONDS)
            if not arrived:
                break
            intake.add(arrived)

    async def _linger(self, inflow: Inflow, intake: Intake) -> None:
        wait = self._cut_at + LINGER_SECONDS - self._shard.clock.monotonic()
        if intake.bytes and wait > 0 and intake.bytes < ENOUGH_BYTES:
            await asyncio.sleep(wait)
            intake.add(await inflow.take(0))

    async def _jump(self, gap: Gap, intake: Intake) -> None:
        """Go on behind a gap that is accepted. What came before it is committed first, whatever comes of it."""
        await self._all_committed()
        await self._examiner.demand_accepted(gap)
        _log.warning("gap_skipped", shard_id=self._shard.shard_id, first=gap.first, last=gap.last)
        intake.skip(gap)

    async def _all_committed(self) -> None:
        """Return when nothing is away but what is being prepared."""
        for _ in range(self._depth - 1):
            await self._slots.acquire()
        for _ in range(self._depth - 1):
            self._slots.release()

    async def _settled(self, reads: Sequence[Read]) -> Batch:
        store, shard_id = self._shard.store, self._shard.shard_id
        lacking = self._upkeep.take_lacking()
        tenants, events, instances = keys_of(reads, shard_id)
        wanted = self._ledger.wanted(tenants, events, instances | {lack.instance for lack in lacking})
        start = reads[0].received_at if reads else 0
        if wanted:
            found = await store.look_up(wanted, since=start - DEDUPE_WINDOW_US)
            self._ledger.learn(wanted, found)
        if reads:
            await store.ensure_partition(start)
        settling = Settling(ledger=self._ledger, shard_id=shard_id)
        for read in reads:
            settling.take(read.message, read.content, read.received_at)
            await asyncio.sleep(0)
        for lack in lacking:
            settling.lack(lack.instance, lack.epoch, lack.acknowledged)
        return settling.batch()

    async def _land(self) -> None:
        while (batch := await self._prepared.get()) is not None:
            self._landed.put_nowait(await self._shard.store.land(batch))
        self._landed.put_nowait(None)

    async def _commit(self) -> None:
        while (landed := await self._landed.get()) is not None:
            await landed.commit()
            await self._committed(landed.batch)
        raise Again

    async def _one_by_one(self) -> None:
        for _ in range(CAREFUL_BATCHES):
            batch = await self._prepared.get()
            if batch is None:
                break
            refused = await self._committed_with_care(batch)
            if refused:
                break
        raise Again

    async def _committed_with_care(self, batch: Batch) -> bool:
        """Commit a batch, repaired if need be; return whether there was need."""
        store = self._shard.store
        try:
            await (await store.land(batch)).commit()
        except RowsRefused as refused:
            _log.error("rows_refused", shard_id=self._shard.shard_id, sqlstate=refused.code)
        else:
            await self._committed(batch)
            return False
        batch = await repaired(batch, store.refused)
        try:
            await (await store.land(batch)).commit()
        except RowsRefused as refused:
            raise Freeze(
                Reason.STORE_CONTRADICTS, sqlstate=refused.code, sequence=batch.after.stream_sequence
            ) from refused
        await self._committed(batch)
        return True

    async def _committed(self, batch: Batch) -> None:
        self.offset = batch.after
        self._slots.release()
        if self._doubtful:
            await self._thaw(await self._shard.board.frozen())
        now = self._shard.clock.microseconds()
        at = batch.after.received_at or now
        self._shard.telemetry.committed(self._shard.shard_id, batch.counts, (now - at) / 1e6)
        if now - at < OUTCOME_MICROSECONDS:
            for instance, outcome in batch.outcomes:
                await self._shard.teller.tell(instance, outcome)

    async def _watch(self) -> None:
        while True:
            seen = await self._examiner.examine(lambda: self.offset)
            age = 0.0
            if seen.following is not None:
                age = self._shard.clock.microseconds() / 1e6 - seen.following.timestamp_ns / 1e9
            self._shard.telemetry.lag.labels(self._shard.shard_id).set(max(0.0, age))
            await asyncio.sleep(EXAMINE_EVERY_SECONDS)
