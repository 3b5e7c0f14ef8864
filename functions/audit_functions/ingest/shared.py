"""A future that many requests wait for and none can cancel."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

T = TypeVar("T")


class Shared(asyncio.Future[T]):
    """The result of one thing that many wait for.

    A task that is cancelled cancels what it waits for, which would end the wait of all others; this future declines,
    and the task is cancelled when it wakes up. So whoever waits is bounded by the deadline of the thing itself.
    """

    def cancel(self, msg: Any | None = None) -> bool:  # noqa: ARG002 - the signature of asyncio
        """Do nothing."""
        return False
