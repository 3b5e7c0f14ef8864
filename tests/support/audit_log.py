"""What the API server wrote down of each request: who asked for what, when, and what came of it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from tests.support.chart import NAMESPACE

OPERATOR: Final = f"system:serviceaccount:{NAMESPACE}:audit-operator"
_READS: Final = ("get", "list", "watch")


@dataclass(frozen=True, slots=True)
class Asked:
    """One request that was answered. `at` in seconds since 1970: when the answer was complete."""

    user: str
    verb: str
    path: str
    group: str
    resource: str
    namespace: str
    name: str
    code: int
    at: float
    dry_run: bool = False

    @property
    def is_write(self) -> bool:
        """Whether it may have changed something."""
        return self.verb not in _READS and not self.dry_run

    def __str__(self) -> str:
        return f"{self.verb} {self.path} {self.code}"


@dataclass(slots=True)
class AuditLog:
    """The file from a place in it on. `read` returns what is new in it."""

    path: Path
    offset: int = 0

    @classmethod
    def now(cls, path: Path) -> AuditLog:
        """Return the log of what comes from now on."""
        return cls(path, path.stat().st_size)

    def read(self, *, user: str | None = OPERATOR) -> list[Asked]:
        """Return what a user, or (None) anybody, asked for since the last call. What is not answered yet comes later."""
        return [asked for asked in self._new() if user in (None, asked.user)]

    def writes(self, *, user: str = OPERATOR) -> list[Asked]:
        """Return what a user wrote since the last call, renewals of Leases left out."""
        return [asked for asked in self.read(user=user) if asked.is_write and asked.resource != "leases"]

    def wait(self, seconds: float, *, user: str = OPERATOR) -> list[Asked]:
        """Return what a user wrote within so many seconds from now, besides what was read before."""
        time.sleep(seconds)
        return self.writes(user=user)

    def _new(self) -> Iterator[Asked]:
        with self.path.open("rb") as file:
            file.seek(self.offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self.offset += len(line)
                event = json.loads(line)
                if event["stage"] == "ResponseComplete":
                    yield _asked(event)


def _asked(event: dict[str, Any]) -> Asked:
    target = event.get("objectRef", {})
    resource = target.get("resource", "")
    if "subresource" in target:
        resource += f"/{target['subresource']}"
    return Asked(
        user=event["user"]["username"],
        verb=event["verb"],
        path=event["requestURI"],
        group=target.get("apiGroup", ""),
        resource=resource,
        namespace=target.get("namespace", ""),
        name=target.get("name", ""),
        code=event.get("responseStatus", {}).get("code", 0),
        at=datetime.fromisoformat(event["stageTimestamp"]).timestamp(),
        dry_run="dryRun=" in event["requestURI"],
    )
