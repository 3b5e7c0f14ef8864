"""What has arrived and is not in a batch yet, cut into batches of bounded size that never span a UTC day."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Final, NamedTuple

from audit_core.errors import UnknownVersion
from audit_core.frame import ControlFrame, Frame
from audit_core.leaf import received_at
from audit_core.partitions import utc_day
from audit_functions.writer.ledger import EventKey
from audit_functions.writer.reading import Content, content
from audit_functions.writer.state import Freeze, Gap, Message, Offset, Reason

MAX_ROWS: Final = 10_000
MAX_BYTES: Final = 8 * 1024 * 1024
FULL_BYTES: Final = 4 * 1024 * 1024
"""So much is worth waiting for where it is on its way already."""


class Read(NamedTuple):
    """One message of a batch, decoded. `received_at` in µs."""

    message: Message
    content: Content
    received_at: int


class Jump(Exception):
    """The next message is not there: `gap` says what was expected."""

    def __init__(self, gap: Gap) -> None:
        self.gap = gap


class Intake:
    """Messages behind an offset, in order."""

    def __init__(self, shard_id: str, offset: Offset) -> None:
        self._shard_id = shard_id
        self._sequence = offset.stream_sequence
        self._received_at = offset.received_at or 0
        self._waiting: deque[Message] = deque()
        self.bytes = 0
        self._behind = 0

    def add(self, messages: Iterable[Message]) -> None:
        """Take in what has arrived. What came before is dropped."""
        for message in messages:
            if message.sequence > self._sequence:
                self._waiting.append(message)
                self.bytes += len(message.data)
                self._behind = message.behind

    @property
    def expects_more(self) -> bool:
        """Tell whether messages are on their way with which the next batch would be a fuller one."""
        return self._behind > 0 and self.bytes < FULL_BYTES

    def skip(self, gap: Gap) -> None:
        """Go on behind messages that are accepted as missing."""
        self._sequence = gap.last

    async def cut(self) -> list[Read]:
        """Return the next batch's messages, none when nothing has arrived.

        Raises Jump, and Freeze for a message of an unknown version, when such a message is the very next; one further
        on ends the batch before it. Decoding yields to the loop for each message.
        """
        reads: list[Read] = []
        rows = size = 0
        while self._waiting and rows < MAX_ROWS and size < MAX_BYTES:
            message = self._waiting[0]
            try:
                read = self._read(message)
            except (Jump, Freeze):
                if reads:
                    break
                raise
            if reads and utc_day(read.received_at) != utc_day(reads[0].received_at):
                break
            self._taken(message, read)
            reads.append(read)
            rows += _events(read.content)
            size += len(message.data)
            await asyncio.sleep(0)
        return reads

    def _read(self, message: Message) -> Read:
        if message.sequence != self._sequence + 1:
            raise Jump(Gap(self._sequence + 1, message.sequence - 1))
        try:
            decoded = content(message, self._shard_id)
        except UnknownVersion as error:
            raise Freeze(
                Reason.UNKNOWN_VERSION, sequence=message.sequence, what=error.what, version=error.version
            ) from error
        return Read(message, decoded, received_at(message.timestamp_ns, self._received_at))

    def _taken(self, message: Message, read: Read) -> None:
        self._waiting.popleft()
        self.bytes -= len(message.data)
        self._sequence, self._received_at = message.sequence, read.received_at


def keys_of(reads: Iterable[Read], shard_id: str) -> tuple[set[str], set[EventKey], set[bytes]]:
    """Return the logs, ids from clients and instances that a batch is about. The shard's own log is always among them."""
    tenants, events, instances = {shard_id}, set(), set()
    for read in reads:
        if isinstance(read.content, Frame):
            instances.add(read.content.instance)
            for entry in read.content.entries:
                tenants.add(entry.tenant_id)
                events |= {(entry.tenant_id, event.id) for event in entry.events if event.id_from_client}
        elif isinstance(read.content, ControlFrame):
            tenants.add(read.content.tenant_id)
    return tenants, events, instances


def _events(decoded: Content) -> int:
    return sum(len(entry.events) for entry in decoded.entries) if isinstance(decoded, Frame) else 1
