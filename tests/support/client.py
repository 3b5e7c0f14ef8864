"""A client that journals what it was promised, never sends an event again, and gives none an id."""

from __future__ import annotations

import itertools
import json
import secrets
from collections.abc import Callable
from pathlib import Path

from tests.support.http_load import Load, Request, closed_loop, open_loop, post
from tests.support.journal import Journal

ACKNOWLEDGED = (201, 202)


class JournallingClient:
    """Sends single events of one tenant, each with a marker of its own."""

    def __init__(self, port: int, key: str, journal: Journal) -> None:
        self._port = port
        self._key = key
        self._journal = journal
        self._run = secrets.token_hex(4)
        self._numbers = itertools.count()
        self.acknowledged = 0

    def request(self) -> Request:
        """Return the next event, noted as sent."""
        marker = f"{self._run}-{next(self._numbers)}"
        self._journal.sent(marker)
        body = {"event_type": "fault.probe", "user_id": f"user-{marker[-2:]}", "metadata": {"marker": marker}}
        return marker, post("localhost", "/api/v1/audit/logs", self._key, json.dumps(body).encode())

    def answered(self, token: object, status: int, body: bytes) -> None:
        """Note an acknowledgement."""
        assert isinstance(token, str)
        if status in ACKNOWLEDGED:
            assert json.loads(body)["id"]
            self.acknowledged += 1
            self._journal.acknowledged(token)

    async def keep_busy(self, connections: int, seconds: float, until: Callable[[], bool]) -> Load:
        """Keep requests under way until `until` says so, at most `seconds`."""
        return await closed_loop(
            self._port,
            connections,
            lambda: None if until() else self.request(),
            seconds=seconds,
            sink=self.answered,
            pace=0.001,
        )

    async def at_rate(self, rate: float, seconds: float) -> Load:
        """Send on a fixed schedule."""
        return await open_loop(self._port, rate, self.request, seconds=seconds, sink=self.answered)


def journal_at(folder: Path) -> Journal:
    """Return a new journal in `folder`."""
    return Journal(folder / f"journal-{secrets.token_hex(4)}")
