"""Events to load: real CloudTrail records where they are at hand, invented ones where they are not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any, Final

import msgspec

from audit_core.ids import uuid7
from audit_core.mappings.cloudtrail import cloudtrail_event
from audit_operator.local.errors import CannotRun

RECORDS: Final = Path(__file__).parents[3].parent / "shared" / "data" / "cloudtrail-2023.ndjson"
"""Where the records are beside a clone of this repository."""

Event = dict[str, Any]

_PEOPLE: Final = tuple(
    f"{name}@example.com" for name in ("ada", "grace", "alan", "edsger", "barbara", "donald")
)
_DEEDS: Final = (
    ("user_login", "session", 30),
    ("user_logout", "session", 25),
    ("document_viewed", "document", 60),
    ("document_shared", "document", 8),
    ("record_exported", "report", 4),
    ("role_granted", "role", 2),
    ("password_changed", "account", 3),
    ("api_key_created", "api_key", 1),
    ("config_changed", "service", 2),
    ("invoice_paid", "invoice", 10),
)
_OUTCOMES: Final = ("success",) * 17 + ("failure", "failure", "denied")


def cloudtrail_events(path: Path) -> list[Event]:
    """Return the events of a file with one CloudTrail record a line. Raises CannotRun for anything else."""
    try:
        return [
            cloudtrail_event(msgspec.json.decode(line)) for line in path.read_bytes().splitlines() if line
        ]
    except (OSError, msgspec.DecodeError, AttributeError, TypeError) as error:
        raise CannotRun(f"{path} holds no CloudTrail records: {error}", "name another file") from error


def invented_events(count: int, random: Random) -> list[Event]:
    """Return events of an imaginary company, oldest first, with ids of their own."""
    return list(islice(_invented(random, time.time_ns() // 1_000_000), count))


def _invented(random: Random, now_milliseconds: int) -> Iterator[Event]:
    weights = [weight for _, _, weight in _DEEDS]
    while True:
        [(deed, kind, _)] = random.choices(_DEEDS, weights)
        yield {
            "id": uuid7(now_milliseconds, random.getrandbits(74)),
            "event_type": deed,
            "outcome": random.choice(_OUTCOMES),
            "actor": {"id": random.choice(_PEOPLE), "type": "user"},
            "targets": [{"type": kind, "id": f"{kind}-{random.randrange(500)}"}],
            "context": {"ip": f"198.51.100.{random.randrange(1, 255)}", "user_agent": "Mozilla/5.0"},
            "metadata": {"department": random.choice(("sales", "research", "finance", "support"))},
        }
