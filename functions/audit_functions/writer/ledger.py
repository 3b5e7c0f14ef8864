"""What a writer knows while it prepares: the stored state with the batches on their way laid over it.

Valid only as long as every commit succeeds in order: on any error it is thrown away and read anew. What it keeps of
the database is bounded; whatever a batch on its way has changed is never forgotten, since the database does not know
it yet.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final, TypeVar

import msgspec

from audit_functions.writer.producers import Producer
from audit_functions.writer.state import Offset, Remembered

K = TypeVar("K")
V = TypeVar("V")
EventKey = tuple[str, str]
"""A tenant and an id that came from its client."""

MAX_BATCHES_AWAY: Final = 3
"""How many batches may be prepared and not yet known committed, with the one being prepared."""
MAX_HEADS: Final = 50_000
MAX_PRODUCERS: Final = 5_000


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What has to be looked up before a batch can be settled."""

    tenants: list[str]
    events: list[EventKey]
    instances: list[bytes]

    def __bool__(self) -> bool:
        return bool(self.tenants or self.events or self.instances)


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What was looked up. A tenant or key that is absent has no log or leaf yet; of each instance its last row."""

    heads: dict[str, int]
    remembered: dict[EventKey, Remembered]
    producers: dict[bytes, Producer]


class Touched(msgspec.Struct, frozen=True, kw_only=True):
    """What one batch changes."""

    heads: dict[str, int]
    remembered: dict[EventKey, Remembered]
    producers: dict[bytes, Producer]


class Ledger:
    """The state behind the last prepared message. `offset` is where the next batch starts."""

    __slots__ = ("_away", "_heads", "_producers", "_remembered", "offset")

    def __init__(self, offset: Offset) -> None:
        self.offset = offset
        self._heads: dict[str, int] = {}
        self._producers: dict[bytes, Producer] = {}
        self._remembered: dict[EventKey, Remembered] = {}
        self._away: deque[Touched] = deque(maxlen=MAX_BATCHES_AWAY)

    def wanted(
        self, tenants: Iterable[str], events: Iterable[EventKey], instances: Iterable[bytes]
    ) -> Wanted:
        """Return what of all this is not known here."""
        return Wanted(
            tenants=[tenant for tenant in tenants if tenant not in self._heads],
            events=[key for key in events if self._on_its_way(key) is None],
            instances=[instance for instance in instances if instance not in self._producers],
        )

    def learn(self, wanted: Wanted, found: Found) -> None:
        """Take over what was looked up."""
        self._heads |= {tenant: found.heads.get(tenant, 0) for tenant in wanted.tenants}
        self._producers |= found.producers
        self._remembered = found.remembered

    def size(self, tenant_id: str) -> int:
        """Return how many leaves a tenant's log has."""
        return self._heads[tenant_id]

    def remembered(self, key: EventKey) -> Remembered | None:
        """Return the last event leaf of an id."""
        return self._on_its_way(key) or self._remembered.get(key)

    def producer(self, instance: bytes) -> Producer | None:
        """Return what was seen of an instance last."""
        return self._producers.get(instance)

    def settled(self, offset: Offset, touched: Touched) -> None:
        """Go on behind a batch that is on its way now."""
        self.offset = offset
        self._away.append(touched)
        self._heads |= touched.heads
        self._producers |= touched.producers
        self._remembered = {}
        _bound(self._heads, MAX_HEADS, (away.heads for away in self._away))
        _bound(self._producers, MAX_PRODUCERS, (away.producers for away in self._away))

    def _on_its_way(self, key: EventKey) -> Remembered | None:
        for touched in reversed(self._away):
            if key in touched.remembered:
                return touched.remembered[key]
        return None


def _bound(known: dict[K, V], limit: int, kept: Iterable[dict[K, V]]) -> None:
    if len(known) > limit:
        away = set().union(*kept)
        for key in known.keys() - away:
            del known[key]
