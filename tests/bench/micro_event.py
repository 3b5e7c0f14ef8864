"""What one event costs the core, in µs on one core: `python -m tests.bench.micro_event`.

Micro-benchmarks flatter: inside a server the same work costs several times as much. They tell two versions of the
same function apart, nothing more.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from audit_core.columns import promoted
from audit_core.errors import InvalidEvent
from audit_core.event import canonical_event
from audit_core.public import public_event
from tests.bench.workload import bodies
from tests.support.events import an_event, encoded

T = TypeVar("T")
REPETITIONS: Final = 7


def microseconds_each(function: Callable[[T], object], arguments: Sequence[T]) -> float:
    """Return the best mean of some repetitions over the arguments."""
    best = float("inf")
    for _ in range(REPETITIONS):
        started = time.perf_counter()
        for argument in arguments:
            function(argument)
        best = min(best, time.perf_counter() - started)
    return best / len(arguments) * 1e6


def refused(body: bytes) -> None:
    """Run a body into its refusal."""
    try:
        canonical_event(body)
    except InvalidEvent:
        return
    raise AssertionError("the body was accepted")


def main() -> None:
    """Print one line per function and kind of body."""
    flat = bodies(2_000)
    nested = [json.dumps(json.loads(canonical_event(body).body)).encode() for body in flat]
    stored = [canonical_event(body).body for body in flat]
    many = encoded(
        an_event(metadata={"rows": [{"cells": [at]} for at in range(20)], "at": 1_795_428_000_123_456_789})
    )
    wrong = encoded(an_event(user_id=7))
    for name, function, arguments in (
        ("canonical_event, flat names", canonical_event, flat),
        ("canonical_event, canonical names", canonical_event, nested),
        ("canonical_event, many brackets", canonical_event, [many] * 2_000),
        ("canonical_event, refused", refused, [wrong] * 2_000),
        ("promoted", promoted, stored),
        ("public_event", public_event, stored),
    ):
        size = sum(map(len, arguments)) // len(arguments)
        print(f"{name:<34} {size:>5} bytes {microseconds_each(function, arguments):>7.2f} µs")


if __name__ == "__main__":
    main()
