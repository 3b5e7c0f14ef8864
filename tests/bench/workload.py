"""Events like those that callers send: about 580 canonical bytes, varied actors, targets and addresses."""

from __future__ import annotations

import json
import random

EVENT_TYPES = (
    "user_login",
    "user_logout",
    "doc.read",
    "doc.update",
    "invoice.approve",
    "role.grant",
    "key.rotate",
)
AGENTS = ("Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/128.0", "curl/8.9.1", "python-httpx/0.28.1")


def an_event(randomness: random.Random) -> dict[str, object]:
    """Return one varied event in the flat form of the earlier API."""
    number = randomness.getrandbits(40)
    return {
        "event_type": randomness.choice(EVENT_TYPES),
        "user_id": f"user-{randomness.randrange(50_000)}",
        "resource_id": f"document-{number:x}",
        "resource_type": "document",
        "outcome": randomness.choice(("success", "success", "success", "failure", "denied")),
        "correlation_id": f"{randomness.getrandbits(128):032x}",
        "ip_address": f"10.{number & 255}.{number >> 8 & 255}.{number >> 16 & 255}",
        "user_agent": randomness.choice(AGENTS),
        "session_id": f"s-{randomness.getrandbits(64):016x}",
        "description": "A person did something to a document that somebody will ask about one day.",
        "metadata": {
            "order_id": f"o-{number}",
            "amount": randomness.randrange(1, 100_000) / 100,
            "region": randomness.choice(("eu-west-1", "us-east-1", "ap-south-1")),
            "flags": [randomness.random() < 0.5, randomness.random() < 0.5],
        },
    }


def bodies(count: int, *, seed: int = 1) -> list[bytes]:
    """Return `count` bodies of single posts."""
    randomness = random.Random(seed)
    return [json.dumps(an_event(randomness), separators=(",", ":")).encode() for _ in range(count)]


def batches(count: int, size: int, *, seed: int = 1) -> list[bytes]:
    """Return `count` bodies of batches of `size` events."""
    events = bodies(count * size, seed=seed)
    return [b'{"logs":[' + b",".join(events[at : at + size]) + b"]}" for at in range(0, len(events), size)]
