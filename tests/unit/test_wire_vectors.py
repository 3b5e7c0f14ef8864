"""Our bytes are the wire format's bytes: vectors that an independent script computed from the design."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from audit_core.frame import Frame, FrameEntry, FrameEvent, decode_message, encode_frame
from audit_core.leaf import Kind, commitment, leaf, received_at, salts

VECTORS = Path(__file__).parents[3] / "shared" / "vectors" / "wire-v1"

pytestmark = pytest.mark.skipif(
    not VECTORS.is_dir(), reason=f"no wire vectors at {VECTORS}: a plain clone has none"
)


def _vectors() -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(VECTORS.glob("frame-*.json"))]


def _decoded(vector: dict[str, Any]) -> Frame:
    frame = decode_message(bytes.fromhex(vector["frame"]))
    assert isinstance(frame, Frame)
    return frame


def _rfc6962_root(leaves: list[bytes]) -> bytes:
    if not leaves:
        return hashlib.sha256().digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + _rfc6962_root(leaves[:split]) + _rfc6962_root(leaves[split:])).digest()


def test_there_are_four_vectors() -> None:
    assert len(_vectors()) == 4


@pytest.mark.parametrize("vector", _vectors(), ids=lambda vector: str(vector["number"]))
def test_a_frame_decodes_to_the_vectors_fields(vector: dict[str, Any]) -> None:
    frame = _decoded(vector)
    found = [
        (entry.tenant_id, event.id, event.id_from_client, event.body.decode(), entry.envelope.decode())
        for entry in frame.entries
        for event in entry.events
    ]
    keys = ("tenant_id", "id", "id_from_client", "body", "envelope")
    assert found == [tuple(event[key] for key in keys) for event in vector["events"]]
    assert (frame.epoch.hex(), frame.instance.hex(), frame.number) == (
        vector["epoch"], vector["instance"], vector["number"],
    )  # fmt: skip
    assert (frame.abandoned, frame.seed.hex()) == (vector["abandoned"], vector["seed"])


@pytest.mark.parametrize("vector", _vectors(), ids=lambda vector: str(vector["number"]))
def test_encoding_the_fields_again_gives_the_same_frame(vector: dict[str, Any]) -> None:
    entries: list[FrameEntry] = []
    for event in vector["events"]:
        envelope = event["envelope"].encode()
        if not entries or (entries[-1].tenant_id, entries[-1].envelope) != (event["tenant_id"], envelope):
            entries.append(FrameEntry(event["tenant_id"], envelope, []))
        entries[-1].events.append(FrameEvent(event["id"], event["id_from_client"], event["body"].encode()))
    encoded = encode_frame(
        bytes.fromhex(vector["epoch"]),
        bytes.fromhex(vector["instance"]),
        vector["number"],
        vector["abandoned"],
        bytes.fromhex(vector["seed"]),
        entries,
    )
    assert encoded.hex() == vector["frame"]


@pytest.mark.parametrize("vector", _vectors(), ids=lambda vector: str(vector["number"]))
def test_salts_commitments_leaves_and_roots_are_the_vectors(vector: dict[str, Any]) -> None:
    frame = _decoded(vector)
    at = received_at(vector["stream_timestamp_ns"], vector["previous_received_at_us"])
    assert at == vector["received_at_us"]
    salt_of = salts(frame.seed, len(vector["events"]))
    logs: dict[str, list[bytes]] = defaultdict(list)
    for event in vector["events"]:
        salt = salt_of[event["position"]]
        committed = commitment(
            salt=salt,
            body=event["body"].encode(),
            id=event["id"],
            envelope=event["envelope"].encode(),
            epoch=frame.epoch,
            stream_sequence=vector["stream_sequence"],
            position=event["position"],
        )
        made = leaf(Kind.EVENT, at, committed)
        logs[event["tenant_id"]].append(made)
        assert (salt.hex(), committed.hex(), made.hex()) == (
            event["salt"],
            event["commitment"],
            event["leaf"],
        )
        assert hashlib.sha256(b"\0" + made).hexdigest() == event["leaf_hash"]
    assert {tenant: _rfc6962_root(leaves).hex() for tenant, leaves in logs.items()} == {
        tenant: root["root"] if isinstance(root, dict) else root
        for tenant, root in vector["roots_of_empty_logs_after"].items()
    }
