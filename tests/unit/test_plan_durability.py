"""A stream is attested only when each of its peers was seen to fsync every message."""

from __future__ import annotations

import pytest

from audit_core.projection import Durability
from audit_operator.clients.jetstream import Cluster, Peer, StreamConfig, StreamInfo, StreamState
from audit_operator.clients.servers import Server
from audit_operator.reconcile.durability import NotDurable, PeersUnknown, attested, is_due

MINUTE = 60_000_000


def _stream(*peers: str, replicas: int | None = None) -> StreamInfo:
    cluster = (
        Cluster(leader=peers[0], replicas=tuple(Peer(name=name) for name in peers[1:])) if peers else None
    )
    return StreamInfo(
        config=StreamConfig(name="S", num_replicas=replicas or max(len(peers), 1)),
        state=StreamState(messages=0, bytes=0, first_seq=1, last_seq=0),
        created="then",
        cluster=cluster,
    )


def _server(name: str, *, always: bool = True) -> Server:
    return Server(name=name, server_id=f"id-{name}", sync_always=always)


def test_a_single_server_is_its_only_peer() -> None:
    assert attested(_stream(), [_server("n1")], now=5) == Durability(
        attested_at=5, peers=("id-n1",), replicas=1
    )


def test_only_the_peers_of_the_stream_count() -> None:
    servers = [_server("n3"), _server("n1"), _server("n2"), _server("n4", always=False)]
    assert attested(_stream("n2", "n1", "n3"), servers, now=5) == Durability(
        attested_at=5, peers=("id-n1", "id-n2", "id-n3"), replicas=3
    )


def test_one_peer_that_does_not_fsync_is_enough_to_refuse() -> None:
    servers = [_server("n1"), _server("n2", always=False), _server("n3")]
    with pytest.raises(NotDurable) as refused:
        attested(_stream("n1", "n2", "n3"), servers, now=5)
    assert refused.value.servers == ("n2",)


def test_a_peer_that_is_silent_is_not_attested() -> None:
    with pytest.raises(PeersUnknown) as refused:
        attested(_stream("n1", "n2", "n3"), [_server("n1"), _server("n3")], now=5)
    assert refused.value.servers == ("n2",)


def test_fewer_peers_than_replicas_are_not_attested() -> None:
    with pytest.raises(PeersUnknown):
        attested(_stream("n1", "n2", replicas=3), [_server("n1"), _server("n2")], now=5)


def test_two_servers_without_a_cluster_are_not_attested() -> None:
    with pytest.raises(PeersUnknown):
        attested(_stream(), [_server("n1"), _server("n2")], now=5)


@pytest.mark.parametrize(
    ("stored", "due"),
    [
        (None, True),
        (Durability(attested_at=100, peers=("a",), replicas=1), False),
        (Durability(attested_at=101 - MINUTE, peers=("a",), replicas=1), False),
        (Durability(attested_at=100 - MINUTE, peers=("a",), replicas=1), True),
        (Durability(attested_at=100, peers=("b",), replicas=1), True),
        (Durability(attested_at=100, peers=("a",), replicas=3), True),
    ],
)
def test_it_is_renewed_every_minute_and_when_the_peers_change(stored: Durability | None, due: bool) -> None:
    assert is_due(stored, Durability(attested_at=100, peers=("a",), replicas=1)) is due
