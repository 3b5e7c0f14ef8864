"""Child processes that stay up: started in order, restarted when they die, stopped in reverse order.

Each child has a process group of its own, so that Ctrl-C reaches only us and we stop them in order; the kernel ends it
when we die without that chance.
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
from pathlib import Path
from typing import Final

from audit_operator.local.errors import CannotRun

FIRST_PAUSE_SECONDS: Final = 0.2
LONGEST_PAUSE_SECONDS: Final = 5.0
HEALTHY_AFTER_SECONDS: Final = 10.0
_LOG_BYTES: Final = 16 << 20
_PR_SET_PDEATHSIG: Final = 1
_libc: Final = ctypes.CDLL(None)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAs:
    """Another OS user, without any of our groups."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What to run. `prepare` is called before every start and returns the arguments (ports may have to change).

    `stop` asks for an orderly end, which may take `stop_seconds`; `ready` returns when the process serves.
    """

    name: str
    prepare: Callable[[], Sequence[str]]
    environment: Mapping[str, str] | None = None
    run_as: RunAs | None = None
    folder: Path | None = None
    stop: signal.Signals = signal.SIGTERM
    stop_seconds: float = 15.0
    ready: Callable[[], Awaitable[None]] | None = None
    restarts: bool = True


@dataclass(slots=True)
class _Child:
    command: Command
    process: asyncio.subprocess.Process | None = None
    watch: asyncio.Task[None] | None = None
    wanted: bool = True


class Supervisor:
    """Owns the children. `on_exit(name, status)` is told of every death that was not asked for."""

    def __init__(self, logs: Path, on_exit: Callable[[str, int], None]) -> None:
        self._logs = logs
        self._on_exit = on_exit
        self._children: dict[str, _Child] = {}
        logs.mkdir(mode=0o700, parents=True, exist_ok=True)

    async def start(self, command: Command) -> None:
        """Start a process and watch it from now on; return when it is ready."""
        child = self._children[command.name] = _Child(command)
        await self._launch(child)
        child.watch = asyncio.create_task(self._keep_up(child), name=f"watch {command.name}")

    async def stop(self, name: str) -> None:
        """Stop one process and do not start it again."""
        child = self._children.pop(name)
        child.wanted = False
        await self._end(child)
        if child.watch is not None:
            child.watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await child.watch

    async def stop_all(self) -> None:
        """Stop everything, the last started first."""
        for name in reversed(list(self._children)):
            await self.stop(name)

    def pids(self) -> dict[str, int]:
        """Return the processes that run now."""
        running = ((name, child.process) for name, child in self._children.items())
        return {name: process.pid for name, process in running if process and process.returncode is None}

    def log(self, name: str) -> Path:
        """Return where a process writes."""
        return self._logs / f"{name}.log"

    async def _launch(self, child: _Child) -> None:
        command = child.command
        arguments = command.prepare()
        path = self.log(command.name)
        if path.exists() and path.stat().st_size > _LOG_BYTES:
            path.replace(path.with_suffix(".log.1"))
        with path.open("ab") as log:
            child.process = await asyncio.create_subprocess_exec(
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(command.environment) if command.environment is not None else None,
                cwd=command.folder,
                process_group=0,
                preexec_fn=die_with_parent,
                user=None if command.run_as is None else command.run_as.uid,
                group=None if command.run_as is None else command.run_as.gid,
                extra_groups=None if command.run_as is None else [],
            )
        if command.ready is not None:
            await self._until_ready(child, command.ready)

    async def _until_ready(self, child: _Child, ready: Callable[[], Awaitable[None]]) -> None:
        assert child.process is not None
        waiting = asyncio.ensure_future(ready())
        ended = asyncio.create_task(child.process.wait())
        try:
            await asyncio.wait({waiting, ended}, return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                waiting.result()
            else:
                name = child.command.name
                raise CannotRun(
                    f"{name} ended with status {child.process.returncode} while starting",
                    f"see {self.log(name)}",
                )
        finally:
            for task in (waiting, ended):
                task.cancel()

    async def _keep_up(self, child: _Child) -> None:
        pause = FIRST_PAUSE_SECONDS
        while child.wanted:
            assert child.process is not None
            started = time.monotonic()
            status = await child.process.wait()
            if not self._is_wanted(child):
                return
            self._on_exit(child.command.name, status)
            if not child.command.restarts:
                return
            if time.monotonic() - started > HEALTHY_AFTER_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
            # One that does not come up is met again by the next round: its process has ended or is ended here.
            with contextlib.suppress(CannotRun):
                await self._launch(child)

    def _is_wanted(self, child: _Child) -> bool:
        return child.wanted

    async def _end(self, child: _Child) -> None:
        process = child.process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(child.command.stop)
        try:
            async with asyncio.timeout(child.command.stop_seconds):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


def die_with_parent() -> None:
    """Make the kernel end this process when its parent dies; for use between fork and exec."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
