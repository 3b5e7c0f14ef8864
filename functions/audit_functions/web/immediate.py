"""Requests that are answered without a task of their own.

A task, its context and the messages between server and application cost as much as accepting a small event does. A
handler of this kind is called once the whole request is there, must not block, and answers then or later, from whatever
calls it back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeAlias


class Arrived(Protocol):
    """A request that is there as a whole: small, no content encoding, no header twice."""

    headers: Mapping[bytes, bytes]
    body: bytes

    def answer(self, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> None:
        """Answer it, once. Nothing happens when the client is gone."""
        ...


Immediate: TypeAlias = Callable[[Arrived], None]
"""Takes a request and sees to its answer. Must not raise."""
