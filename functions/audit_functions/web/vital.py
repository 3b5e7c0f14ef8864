"""Tasks that a process must not live without.

A task that dies unseen would leave a server that answers 200 and does nothing. Here its death is logged, shown by
`/healthz` and ends the process, which its supervisor starts again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Final, Self

from audit_functions.logs import Log

_log: Final = Log("vital")


class Vital:
    """Owns the tasks. `end` is called once when one of them fails or returns, neither of which it may."""

    def __init__(self, end: Callable[[], None]) -> None:
        self._end = end
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopping = False
        self.failed: str | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Cancel what still runs and wait for it."""
        self._stopping = True
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` until the end of the process."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks[name] = task
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if self._stopping or self.failed is not None:
            return
        self.failed = task.get_name()
        error = None if task.cancelled() else task.exception()
        if error is None:
            _log.error("vital_task_ended", task=self.failed)
        else:
            _log.failure("vital_task_failed", error, task=self.failed)
        self._end()
