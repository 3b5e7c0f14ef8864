"""A client's memory of what it was promised, on disk, and the comparison with what is stored.

The client never sends an event again and gives none an id of its own, so that nothing but the pipeline itself can
make each acknowledged event appear exactly once. A marker in `metadata.marker` names each event.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the sets say. `unknown` were sent without an answer that says either way: they may be stored or not."""

    sent: int
    acknowledged: int
    stored: int
    lost: frozenset[str]
    repeated: frozenset[str]
    phantom: frozenset[str]
    unknown_stored: int

    @property
    def kept(self) -> bool:
        """Every acknowledged event once; nothing twice; nothing that was never sent."""
        return not (self.lost or self.repeated or self.phantom)


class Journal:
    """Appends one line for each event sent and each acknowledgement, before the client goes on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def __enter__(self) -> Self:
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    def sent(self, marker: str) -> None:
        """Note that an event is about to be sent."""
        os.write(self._descriptor, f"S {marker}\n".encode())

    def acknowledged(self, marker: str) -> None:
        """Note that the event was answered 202 or 201."""
        os.write(self._descriptor, f"A {marker}\n".encode())

    def verdict(self, stored: list[str]) -> Verdict:
        """Compare with the markers of all stored rows, repetitions included."""
        sent: set[str] = set()
        acknowledged: set[str] = set()
        for line in self._path.read_text().splitlines():
            kind, marker = line.split(" ", 1)
            (sent if kind == "S" else acknowledged).add(marker)
        counted = Counter(stored)
        return Verdict(
            sent=len(sent),
            acknowledged=len(acknowledged),
            stored=len(stored),
            lost=frozenset(acknowledged - counted.keys()),
            repeated=frozenset(marker for marker, count in counted.items() if count > 1),
            phantom=frozenset(counted.keys() - sent),
            unknown_stored=len(counted.keys() & sent - acknowledged),
        )
