"""Which shards a process serves: one for each that the function's files are there of, looked at every 2 s.

A shard that appears is served without a restart, one that goes is let go, and one that fails is opened again while
the others go on. When what stands in a shard's files changes, as in a rotation of credentials, the shard is opened a
second time with the new ones and takes the place of the first, which is let go a while later: no request is refused.
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
REQUESTS_END_SECONDS: Final = 60.0
"""How long a shard that was replaced is kept for requests that began with it. Streams of lines ask for the shard anew."""
_LOOK_EVERY_SECONDS: Final = 0.05
_FIRST_PAUSE_SECONDS: Final = 0.5
_LONGEST_PAUSE_SECONDS: Final = 10.0

_log: Final = Log("shards")
S = TypeVar("S")


class ShardFolder(Generic[S]):
    """Opens and closes the shards of one function.

    `files` names what must be there of a shard; `opened` gives a shard for the time of its `async with`, in which
    it may raise when it cannot go on, and on whose exit it drains. `serving` always holds the open ones. One takes
    another's place as soon as it is `able`, and that one stays open for `overlap_seconds` more.
    """

    def __init__(
        self,
        folder: Path,
        files: Iterable[str],
        opened: Callable[[ShardId, ShardFiles], AbstractAsyncContextManager[S]],
        *,
        able: Callable[[S], bool] = lambda _: True,
        overlap_seconds: float = REQUESTS_END_SECONDS,
    ) -> None:
        self.serving: dict[ShardId, S] = {}
        self._folder = folder
        self._files = tuple(files)
        self._opened = opened
        self._able = able
        self._overlap_seconds = overlap_seconds
        self._newest: dict[ShardId, _Session] = {}
        self._open: dict[ShardId, _Session] = {}
        self._sessions: set[_Session] = set()
        self._scanned = False
        self._draining = False

    def awaited(self) -> int:
        """Return how many shards are known and not open; at least one before the folder was looked at."""
        return len(self._newest.keys() - self.serving.keys()) if self._scanned else 1

    @property
    def known(self) -> frozenset[ShardId]:
        """The shards whose files are there."""
        return frozenset(self._newest)

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
        for session in self._sessions:
            session.stop.set()
        await asyncio.gather(*(session.task for session in self._sessions), return_exceptions=True)

    def _scan(self) -> None:
        if self._draining:
            return
        present = shards_in(self._folder, self._files)
        for shard_id, digest in present.items():
            newest = self._newest.get(shard_id)
            if newest is None:
                self._start(shard_id, digest)
            elif newest.digest != digest and not newest.stop.is_set():
                _log.info("shard_files_changed", shard_id=shard_id)
                self._start(shard_id, digest)
                if self._open.get(shard_id) is not newest:
                    newest.stop.set()  # it has not taken its place yet, and its files are outdated
        for shard_id in self._newest.keys() - present.keys():
            for session in self._sessions:
                if session.shard_id == shard_id:
                    session.stop.set()
        self._scanned = True

    def _start(self, shard_id: ShardId, digest: bytes) -> None:
        session = _Session(shard_id, digest)
        self._newest[shard_id] = session
        self._sessions.add(session)
        session.task = asyncio.get_running_loop().create_task(self._serve(session), name=f"shard {shard_id}")

    async def _serve(self, session: _Session) -> None:
        """Keep one shard open until told to stop; its failures end here and pause longer each time."""
        pause = _FIRST_PAUSE_SECONDS
        while not session.stop.is_set():
            opened_at = asyncio.get_running_loop().time()
            try:
                await self._serve_once(session)
            except Exception as error:  # noqa: BLE001 - one shard's fault, whatever it is, must not stop the others
                _log.failure("shard_failed", error, shard_id=session.shard_id)
            if self._newest[session.shard_id] is not session:
                break  # the newer one opens, or is open
            if asyncio.get_running_loop().time() - opened_at > _LONGEST_PAUSE_SECONDS:
                pause = _FIRST_PAUSE_SECONDS
            if not session.stop.is_set():
                await _pause(session.stop, pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        self._sessions.discard(session)
        if self._newest[session.shard_id] is session:
            del self._newest[session.shard_id]

    async def _serve_once(self, session: _Session) -> None:
        session.was_open = False
        opening = asyncio.ensure_future(self._open_until(session))
        stopped = asyncio.ensure_future(session.stop.wait())
        try:
            await asyncio.wait({opening, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not session.was_open:
                opening.cancel()  # stopped, or failed, before it was open: nothing to drain
            await opening
        except asyncio.CancelledError:
            if not opening.cancelled():
                raise
        finally:
            stopped.cancel()
            opening.cancel()

    async def _open_until(self, session: _Session) -> None:
        shard_id = session.shard_id
        async with self._opened(shard_id, ShardFiles(self._folder, shard_id)) as shard:
            session.was_open = True
            try:
                while shard_id in self._open and not self._able(shard) and not session.stop.is_set():
                    await _pause(session.stop, _LOOK_EVERY_SECONDS)
                if not session.stop.is_set():
                    self._take_place(session, shard)
                await session.stop.wait()
            finally:
                if self._open.get(shard_id) is session:
                    del self._open[shard_id], self.serving[shard_id]
        _log.info("shard_closed", shard_id=shard_id)

    def _take_place(self, session: _Session, shard: S) -> None:
        """Serve requests with a shard from here on; let the one that did so until now go when they have ended."""
        former = self._open.get(session.shard_id)
        self._open[session.shard_id], self.serving[session.shard_id] = session, shard
        _log.info("shard_opened", shard_id=session.shard_id, replaced=former is not None)
        if former is not None:
            asyncio.get_running_loop().call_later(self._overlap_seconds, former.stop.set)


class _Session:
    """One opening of a shard, with the files whose digest it has, and its repetitions after failures."""

    task: asyncio.Task[None]

    def __init__(self, shard_id: ShardId, digest: bytes) -> None:
        self.shard_id = shard_id
        self.digest = digest
        self.stop = asyncio.Event()
        self.was_open = False


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
