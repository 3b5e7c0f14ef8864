"""Child processes that stay up: started in order, restarted when they die, stopped in reverse order.

Each child has a process group of its own, so that Ctrl-C reaches only us and we stop them in order. When we die without
that chance the kernel tells them to stop; one that does not is ended before its successor is started.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from audit_operator.local.errors import CannotRun
from audit_operator.local.leftovers import end, note_process, noted_process

FIRST_PAUSE_SECONDS: Final = 0.2
LONGEST_PAUSE_SECONDS: Final = 5.0
HEALTHY_AFTER_SECONDS: Final = 10.0
LOG_BYTES: Final = 16 << 20
"""A log longer than this is put aside when its process is started; one older log is kept."""

_PR_SET_PDEATHSIG: Final = 1
_libc: Final = ctypes.CDLL(None)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAs:
    """Another OS user, without any of our groups."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What to run. `prepare` is called in a thread before every start and returns the arguments.

    `stop` asks for an orderly end, which may take `stop_seconds`; `ready` returns when the process serves, for which it
    has `ready_seconds`.
    """

    name: str
    prepare: Callable[[], Sequence[str]]
    environment: Mapping[str, str] | None = None
    run_as: RunAs | None = None
    folder: Path | None = None
    stop: signal.Signals = signal.SIGTERM
    stop_seconds: float = 15.0
    ready: Callable[[], Awaitable[None]] | None = None
    ready_seconds: float = 90.0
    restarts: bool = True


@dataclass(slots=True)
class _Child:
    command: Command
    process: asyncio.subprocess.Process | None = None
    watch: asyncio.Task[None] | None = None


def _unsaid(_name: str, _trouble: Exception) -> None:
    """Leave it to the process's own log."""


class Supervisor:
    """Owns the children. Neither of the two it tells may raise.

    `on_exit(name, status)` hears of every death that was not asked for, `on_failed_start(name, trouble)` of every
    restart that came to nothing; each is followed by another try.
    """

    def __init__(
        self,
        logs: Path,
        on_exit: Callable[[str, int], None],
        on_failed_start: Callable[[str, Exception], None] = _unsaid,
    ) -> None:
        self._logs = logs
        self._on_exit = on_exit
        self._on_failed_start = on_failed_start
        self._children: dict[str, _Child] = {}
        logs.mkdir(mode=0o700, parents=True, exist_ok=True)

    async def start(self, command: Command) -> None:
        """Start a process and watch it from now on; return when it is ready.

        Raises CannotRun, or what `prepare` and `ready` raise; nothing of it runs then.
        """
        child = self._children[command.name] = _Child(command)
        try:
            await self._launch(child)
        except BaseException:
            await self._end(child)
            del self._children[command.name]
            raise
        child.watch = asyncio.create_task(self._keep_up(child), name=f"watch {command.name}")

    async def stop(self, name: str) -> None:
        """Stop one process and do not start it again."""
        child = self._children[name]
        if child.watch is not None:  # first, so that nothing is started behind our back
            child.watch.cancel()
            await asyncio.gather(child.watch, return_exceptions=True)
        await self._end(child)
        self._children.pop(name, None)

    async def stop_all(self) -> None:
        """Stop everything, the last started first."""
        for name in reversed(list(self._children)):
            await self.stop(name)

    def kill_all(self) -> None:
        """Kill everything at once, without an orderly end."""
        for child in self._children.values():
            if child.process is not None and child.process.returncode is None:
                _kill_group(child.process)

    def pids(self) -> dict[str, int]:
        """Return the processes that run now."""
        running = ((name, child.process) for name, child in self._children.items())
        return {name: process.pid for name, process in running if process and process.returncode is None}

    def log(self, name: str) -> Path:
        """Return where a process writes."""
        return self._logs / f"{name}.log"

    async def _launch(self, child: _Child) -> None:
        command = child.command
        note = self._logs / f"{command.name}.pid"
        await asyncio.to_thread(end, partial(noted_process, note), command.stop, command.stop_seconds)
        arguments = await asyncio.to_thread(command.prepare)
        with self._opened_log(command.name).open("ab") as log:
            child.process = await asyncio.create_subprocess_exec(
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(command.environment) if command.environment is not None else None,
                cwd=command.folder,
                process_group=0,
                preexec_fn=partial(_die_with, os.getpid(), command.stop),
                user=None if command.run_as is None else command.run_as.uid,
                group=None if command.run_as is None else command.run_as.gid,
                extra_groups=None if command.run_as is None else [],
            )
        note_process(note, child.process.pid)
        if command.ready is not None:
            await self._until_ready(child.process, command, command.ready)

    def _opened_log(self, name: str) -> Path:
        path = self.log(name)
        if path.exists() and path.stat().st_size > LOG_BYTES:
            path.replace(path.with_suffix(".log.1"))
        return path

    async def _until_ready(
        self, process: asyncio.subprocess.Process, command: Command, ready: Callable[[], Awaitable[None]]
    ) -> None:
        waiting = asyncio.ensure_future(ready())
        ended = asyncio.ensure_future(process.wait())
        both = {waiting, ended}
        try:
            await asyncio.wait(both, timeout=command.ready_seconds, return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                return waiting.result()
            how = f"ended with status {process.returncode} while starting"
            late = f"did not start within {command.ready_seconds:g} s"
            raise CannotRun(
                f"{command.name} {how if ended.done() else late}", f"see {self.log(command.name)}"
            )
        finally:
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)

    async def _keep_up(self, child: _Child) -> None:
        name, pause = child.command.name, FIRST_PAUSE_SECONDS
        while True:
            assert child.process is not None
            started = time.monotonic()
            status = await child.process.wait()
            _kill_group(child.process)  # its own children would hold on to its port
            child.process = None
            self._on_exit(name, status)
            if not child.command.restarts:
                return
            if time.monotonic() - started > HEALTHY_AFTER_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
            while not await self._launched_again(child):
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    async def _launched_again(self, child: _Child) -> bool:
        try:
            await self._launch(child)
        except Exception as trouble:  # noqa: BLE001 - whatever it is, it is said, and another try follows
            self._on_failed_start(child.command.name, trouble)
            await self._end(child)
            return False
        return True

    async def _end(self, child: _Child) -> None:
        process = child.process
        if process is None:
            return
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(child.command.stop)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(child.command.stop_seconds):
                    await process.wait()
        _kill_group(process)
        await process.wait()
        child.process = None  # from now on its number may be another's


def die_with_parent() -> None:
    """Make the kernel kill this process when its parent dies; for use between fork and exec."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _die_with(parent: int, how: signal.Signals) -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, how)
    if os.getppid() != parent:  # it died before we could ask
        os._exit(1)


def _kill_group(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
