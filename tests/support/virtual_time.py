"""An event loop whose clock stands still while something can run, and jumps to the next timer when nothing can."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class VirtualLoop(asyncio.SelectorEventLoop):
    """Hours pass in milliseconds. No sockets: nothing waits for the world outside."""

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_Impatient(self))

    def time(self) -> float:
        return self._now

    def pass_time(self, seconds: float) -> None:
        self._now += seconds


class _Impatient(selectors.DefaultSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "everything waits, and nothing is due"
        if timeout > 0:
            self._loop.pass_time(timeout)
        return super().select(0)


def in_virtual_time(main: Coroutine[Any, Any, T]) -> T:
    """Run to the end, without waiting for time to pass."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
