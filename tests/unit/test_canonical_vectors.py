"""The bodies of the wire vectors, which another script encoded, are canonical as they stand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from audit_core.event import canonical_event

VECTORS = Path(__file__).parents[3] / "shared" / "vectors" / "wire-v1"

pytestmark = pytest.mark.skipif(
    not VECTORS.is_dir(), reason=f"no wire vectors at {VECTORS}: a plain clone has none"
)


def test_a_body_of_the_vectors_is_its_own_canonical_bytes() -> None:
    frames = [json.loads(path.read_bytes()) for path in sorted(VECTORS.glob("frame-*.json"))]
    bodies = [event["body"].encode() for frame in frames for event in frame["events"]]
    assert len(bodies) == 25
    assert [canonical_event(body).body for body in bodies] == bodies
