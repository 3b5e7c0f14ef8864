"""Decentralised NATS authentication: one operator, an account per shard, and one for the servers themselves.

An account is the boundary between shards, because permissions cannot be one: they bind the subjects that a user
publishes, but not the reply subject that it names, and the server publishes answers there with what was stored. Within
its shard every function has a user of its own that may use exactly the subjects it needs. JWTs are in the ed25519-nkey
form, version 2; the servers hold the accounts' JWTs and no secret.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import msgspec
import nkeys

from audit_operator.clients.nats_permissions import (
    SYSTEM_PERMISSIONS,
    Permissions,
    provisioner_permissions,
)

_SEED_BYTES: Final = 32
_UNLIMITED: Final = -1
_ACCOUNT_LIMITS: Final = dict.fromkeys(("subs", "data", "payload", "conn"), _UNLIMITED) | dict.fromkeys(
    ("imports", "exports", "leaf"), 0
)
"""Nothing enters or leaves an account but through its own users."""

_JETSTREAM_LIMITS: Final = dict.fromkeys(
    (
        "mem_storage",
        "disk_storage",
        "streams",
        "consumer",
        "max_ack_pending",
        "mem_max_stream_bytes",
        "disk_max_stream_bytes",
    ),
    _UNLIMITED,
)

Random: TypeAlias = Callable[[int], bytes]
"""Returns as many unpredictable bytes as asked for."""


class Authority(msgspec.Struct, frozen=True, kw_only=True):
    """The seeds of the operator and of the system account, and the secret that every shard's account derives from.

    Whoever holds them can mint any user.
    """

    operator: str
    system: str
    shards: bytes

    def __repr__(self) -> str:
        return "Authority(…)"

    def server_config(self, accounts: str) -> str:
        """Return the lines of a server's configuration that make it trust this operator. They hold no secret.

        `accounts` is the folder where the server keeps the JWTs of accounts, as text of its configuration.
        """
        system = _public(self.system)
        return "\n".join(
            (
                f"operator: {self._operator_jwt()}",
                f"system_account: {system}",
                f"resolver: {{ type: full, dir: {accounts}, allow_delete: false }}",
                f"resolver_preload: {{ {system}: {self._account_jwt(self.system, 'SYS', {})} }}",
                "",
            )
        )

    def account(self, shard_id: str) -> str:
        """Return the public key of a shard's account."""
        return _public(self._account_seed(shard_id))

    def account_jwt(self, shard_id: str) -> str:
        """Return the JWT of a shard's account, always the same. Servers must know it before users can connect."""
        return self._account_jwt(self._account_seed(shard_id), shard_id, _JETSTREAM_LIMITS)

    def user_creds(self, shard_id: str, name: str, permissions: Permissions, random: Random) -> str:
        """Return a credentials file for a new user of a shard's account."""
        return _creds(self._account_seed(shard_id), name, permissions, random)

    def provisioner_creds(self, shard_id: str, random: Random) -> str:
        """Return a credentials file for a user who may make what a shard consists of, with PROVISIONER_INBOX."""
        return self.user_creds(shard_id, "provisioner", provisioner_permissions(shard_id), random)

    def system_creds(self, random: Random) -> str:
        """Return a credentials file for a user who may ask servers about themselves and tell them of accounts."""
        return _creds(self.system, "provisioner", SYSTEM_PERMISSIONS, random)

    def _account_seed(self, shard_id: str) -> str:
        label = f"audit-log/nats-account/{shard_id}".encode()
        # The one block of HKDF-Expand (RFC 5869): the secret is uniformly random already.
        return _seed(nkeys.PREFIX_BYTE_ACCOUNT, hmac.digest(self.shards, label + b"\x01", "sha256"))

    def _operator_jwt(self) -> str:
        claims = {"type": "operator", "version": 2, "system_account": _public(self.system)}
        return _signed("audit-log", _public(self.operator), claims, self.operator)

    def _account_jwt(self, seed: str, name: str, jetstream: dict[str, int]) -> str:
        claims = {
            "type": "account",
            "version": 2,
            "limits": {**_ACCOUNT_LIMITS, **jetstream},
            "default_permissions": {"pub": {}, "sub": {}},
        }
        return _signed(name, _public(seed), claims, self.operator)


def new_authority(random: Random) -> Authority:
    """Make an operator and its secrets. Users minted by one authority are strangers to every other."""
    return Authority(
        operator=_seed(nkeys.PREFIX_BYTE_OPERATOR, random(_SEED_BYTES)),
        system=_seed(nkeys.PREFIX_BYTE_ACCOUNT, random(_SEED_BYTES)),
        shards=random(_SEED_BYTES),
    )


def _creds(account_seed: str, name: str, permissions: Permissions, random: Random) -> str:
    seed = _seed(nkeys.PREFIX_BYTE_USER, random(_SEED_BYTES))
    claims = {
        "type": "user",
        "version": 2,
        "pub": {"allow": list(permissions.publish)},
        "sub": {"allow": list(permissions.subscribe)},
        **dict.fromkeys(("subs", "data", "payload"), _UNLIMITED),
    }
    jwt = _signed(name, _public(seed), claims, account_seed)
    return (
        f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )


def _seed(prefix: int, secret: bytes) -> str:
    return str(nkeys.encode_seed(secret, prefix).decode())


def _public(seed: str) -> str:
    return str(nkeys.from_seed(seed.encode()).public_key.decode())


def _signed(name: str, subject: str, claims: dict[str, Any], signer_seed: str) -> str:
    # `iat` is fixed: servers compare it with revocations only, and the same keys then give the same JWT.
    payload: dict[str, Any] = {
        "iat": 1,
        "iss": _public(signer_seed),
        "name": name,
        "sub": subject,
        "nats": claims,
    }
    digest = hashlib.sha256(json.dumps(payload, sort_keys=True).encode()).digest()
    payload["jti"] = base64.b32encode(digest).decode().rstrip("=")
    head = _encoded({"typ": "JWT", "alg": "ed25519-nkey"})
    signing_input = f"{head}.{_encoded(payload)}"
    signature = nkeys.from_seed(signer_seed.encode()).sign(signing_input.encode())
    return f"{signing_input}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def _encoded(part: dict[str, Any]) -> str:
    data = json.dumps(part, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
