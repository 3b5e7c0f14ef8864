"""What group commit needs of a shard's stream, and the three ways in which a publication ends."""

from __future__ import annotations

from typing import NamedTuple, Protocol, TypeAlias

from audit_core.errors import Unavailable


class Stored(NamedTuple):
    """The stream fsynced the message at `sequence`; a `duplicate` was there already under the same message id."""

    sequence: int
    duplicate: bool


class Refused(NamedTuple):
    """The message is certainly not in the stream."""

    reason: str


class Unknown(NamedTuple):
    """The message may be in the stream, or get there later."""

    reason: str


Publication: TypeAlias = Stored | Refused | Unknown


class FrameStream(Protocol):
    """The stream of a shard, for one publication at a time."""

    @property
    def epoch(self) -> bytes | None:
        """The stream's epoch, None while it is not known."""
        ...

    @property
    def answered_at(self) -> float:
        """When the stream was last heard of, on the loop's clock: the moment its answer was asked for."""
        ...

    def obstacle(self) -> Unavailable | None:
        """Why nothing can be published now, as far as is known."""
        ...

    async def publish(self, payload: bytes, message_id: str, *, wait_seconds: float) -> Publication:
        """Publish and wait for the acknowledgement."""
        ...
