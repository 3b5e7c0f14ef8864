"""Which shards a process serves: one for each that the function's files are there of, looked at every 2 s.

A shard that appears is served without a restart, one that goes is let go, and one that fails is opened again while
the others go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final, Generic, TypeVar

from audit_core.tenant import ShardId
from audit_functions.logs import Log
from audit_functions.web.shard_files import ShardFiles, shards_in

SCAN_EVERY_SECONDS: Final = 2.0
_FIRST_PAUSE_SECONDS: Final = 0.5
_LONGEST_PAUSE_SECONDS: Final = 10.0

_log: Final = Log("shards")
S = TypeVar("S")


class ShardFolder(Generic[S]):
    """Opens and closes the shards of one function.

    `files` names what must be there of a shard; `opened` gives a shard for the time of its `async with`, in which
    it may raise when it cannot go on, and on whose exit it drains. `serving` always holds the open ones.
    """

    def __init__(
        self,
        folder: Path,
        files: Iterable[str],
        opened: Callable[[ShardId, ShardFiles], AbstractAsyncContextManager[S]],
    ) -> None:
        self.serving: dict[ShardId, S] = {}
        self._folder = folder
        self._files = tuple(files)
        self._opened = opened
        self._sessions: dict[ShardId, _Session] = {}
        self._scanned = False
        self._draining = False

    def awaited(self) -> int:
        """Return how many shards are known and not open; at least one before the folder was looked at."""
        return len(self._sessions) - len(self.serving) if self._scanned else 1

    @property
    def known(self) -> frozenset[ShardId]:
        """The shards whose files are there."""
        return frozenset(self._sessions)

    async def run(self) -> None:
        """Look at the folder for ever; when cancelled, drain and close every shard."""
        try:
            while True:
                self._scan()
                await asyncio.sleep(SCAN_EVERY_SECONDS)
        finally:
            await self.drain()

    async def drain(self) -> None:
        """Close every shard, each in its own time and all at once."""
        self._draining = True
        sessions = list(self._sessions.values())
        for session in sessions:
            session.stop.set()
        await asyncio.gather(*(session.task for session in sessions), return_exceptions=True)

    def _scan(self) -> None:
        if self._draining:
            return
        present = shards_in(self._folder, self._files)
        for shard_id in present - self._sessions.keys():
            self._sessions[shard_id] = self._session(shard_id)
        for shard_id in self._sessions.keys() - present:
            self._sessions[shard_id].stop.set()
        self._scanned = True

    def _session(self, shard_id: ShardId) -> _Session:
        stop = asyncio.Event()
        task = asyncio.get_running_loop().create_task(self._serve(shard_id, stop), name=f"shard {shard_id}")
        return _Session(stop, task)

    async def _serve(self, shard_id: ShardId, stop: asyncio.Event) -> None:
        """Keep one shard open until `stop`; its failures end here and pause longer each time."""
        pause = _FIRST_PAUSE_SECONDS
        while not stop.is_set():
            opened_at = asyncio.get_running_loop().time()
            try:
                await self._serve_once(shard_id, stop)
            except Exception as error:  # noqa: BLE001 - one shard's fault, whatever it is, must not stop the others
                _log.failure("shard_failed", error, shard_id=shard_id)
            if asyncio.get_running_loop().time() - opened_at > _LONGEST_PAUSE_SECONDS:
                pause = _FIRST_PAUSE_SECONDS
            if not stop.is_set():
                await _pause(stop, pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        self._sessions.pop(shard_id, None)

    async def _serve_once(self, shard_id: ShardId, stop: asyncio.Event) -> None:
        opening = asyncio.ensure_future(self._open_until(shard_id, stop))
        stopped = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({opening, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if shard_id not in self.serving:
                opening.cancel()  # stopped, or failed, before it was open: nothing to drain
            await opening
        except asyncio.CancelledError:
            if not opening.cancelled():
                raise
        finally:
            stopped.cancel()
            opening.cancel()

    async def _open_until(self, shard_id: ShardId, stop: asyncio.Event) -> None:
        async with self._opened(shard_id, ShardFiles(self._folder, shard_id)) as shard:
            self.serving[shard_id] = shard
            _log.info("shard_opened", shard_id=shard_id)
            try:
                await stop.wait()
            finally:
                del self.serving[shard_id]
        _log.info("shard_closed", shard_id=shard_id)


class _Session:
    __slots__ = ("stop", "task")

    def __init__(self, stop: asyncio.Event, task: asyncio.Task[None]) -> None:
        self.stop = stop
        self.task = task


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
