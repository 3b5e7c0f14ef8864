"""Credentials are minted from few secrets, allow what was asked and nothing more, and show no secret by accident."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Callable
from typing import Any

import msgspec
import nkeys
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from audit_operator.clients.nats_jwt import Authority, new_authority
from audit_operator.clients.nats_permissions import (
    Permissions,
    ingest_permissions,
    provisioner_permissions,
    query_permissions,
    writer_permissions,
)

OURS, THEIRS = "a" * 16, "b" * 16
SOME = Permissions(publish=("here",), subscribe=("there.>",))


@pytest.fixture
def authority() -> Authority:
    return new_authority(os.urandom)


def _claims(jwt: str) -> dict[str, Any]:
    """Return the claims of a JWT, whose signature must be its issuer's."""
    head, payload, signature = jwt.split(".")
    assert json.loads(_bytes(head)) == {"typ": "JWT", "alg": "ed25519-nkey"}
    claims: dict[str, Any] = json.loads(_bytes(payload))
    key = Ed25519PublicKey.from_public_bytes(base64.b32decode(claims["iss"])[1:33])
    key.verify(_bytes(signature), f"{head}.{payload}".encode())
    return claims


def _bytes(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _parts(creds: str) -> tuple[dict[str, Any], str]:
    """Return the claims and the seed of a credentials file."""
    jwt, seed = re.findall(r"-----BEGIN [A-Z ]+-----\n(\S+)\n------END [A-Z ]+------\n", creds)
    return _claims(jwt), seed


def _public(seed: str) -> str:
    return str(nkeys.from_seed(seed.encode()).public_key.decode())


def test_a_user_may_do_what_its_permissions_say_and_belongs_to_its_shards_account(
    authority: Authority,
) -> None:
    claims, seed = _parts(authority.user_creds(OURS, "someone", SOME, os.urandom))
    assert claims["iss"] == authority.account(OURS)
    assert claims["sub"] == _public(seed)
    assert claims["name"] == "someone"
    assert claims["nats"]["pub"] == {"allow": ["here"]}
    assert claims["nats"]["sub"] == {"allow": ["there.>"]}
    assert not {"resp", "bearer_token"} & claims["nats"].keys()


def test_every_user_has_a_key_of_its_own(authority: Authority) -> None:
    first, second = (authority.user_creds(OURS, "someone", SOME, os.urandom) for _ in range(2))
    assert _parts(first)[1] != _parts(second)[1]


def test_the_account_of_a_shard_is_always_the_same_and_nobody_elses(authority: Authority) -> None:
    stored = msgspec.json.decode(msgspec.json.encode(authority), type=Authority)
    assert stored.account_jwt(OURS) == authority.account_jwt(OURS)
    assert (
        len({authority.account(OURS), authority.account(THEIRS), new_authority(os.urandom).account(OURS)})
        == 3
    )


def test_an_account_is_the_operators_and_neither_exports_nor_imports(authority: Authority) -> None:
    claims = _claims(authority.account_jwt(OURS))
    assert claims["iss"] == _public(authority.operator)
    assert claims["sub"] == authority.account(OURS)
    assert not {"exports", "imports", "mappings", "signing_keys"} & claims["nats"].keys()
    assert claims["nats"]["limits"]["disk_storage"] == -1


@pytest.mark.parametrize(
    "permissions", [ingest_permissions, writer_permissions, query_permissions, provisioner_permissions]
)
def test_what_a_shards_user_names_is_its_own_shard(permissions: Callable[[str], Permissions]) -> None:
    ours, theirs = permissions(OURS), permissions(THEIRS)
    for subject in (*ours.publish, *ours.subscribe):
        assert THEIRS not in subject
    assert tuple(subject.replace(OURS, THEIRS) for subject in ours.publish) == theirs.publish
    assert tuple(subject.replace(OURS, THEIRS) for subject in ours.subscribe) == theirs.subscribe


@pytest.mark.parametrize("permissions", [ingest_permissions, writer_permissions, query_permissions])
def test_a_function_can_neither_make_nor_change_nor_delete_a_stream(
    permissions: Callable[[str], Permissions],
) -> None:
    verbs = ("CREATE", "UPDATE", "DELETE", "RESTORE", "SNAPSHOT", "NAMES", "LIST")
    for subject in permissions(OURS).publish:
        assert not any(subject.startswith(f"$JS.API.STREAM.{verb}") for verb in verbs)
        assert not subject.startswith(("$JS.API.>", "$JS.>", "$SYS", ">", "*"))


def test_the_same_permissions_make_the_same_claims_but_for_the_key(authority: Authority) -> None:
    claims, _ = _parts(
        authority.user_creds(OURS, "ingest", ingest_permissions(OURS), lambda size: b"\x07" * size)
    )
    again, _ = _parts(
        authority.user_creds(OURS, "ingest", ingest_permissions(OURS), lambda size: b"\x07" * size)
    )
    assert claims == again


def test_servers_are_told_no_secret(authority: Authority) -> None:
    lines = authority.server_config('"accounts"')
    for secret in (authority.operator, authority.system, base64.b64encode(authority.shards).decode()):
        assert secret not in lines
    operator, account = re.findall(r"(?:operator|[A-Z0-9]{56}): (ey\S+)", lines)
    assert _claims(operator)["nats"]["system_account"] == _claims(account)["sub"] == _public(authority.system)


def test_an_authority_shows_no_secret_when_it_is_printed(authority: Authority) -> None:
    assert repr(authority) == str(authority) == "Authority(…)"
