"""The users that functions log in to NATS with: what each may do, and whether credentials say so."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from audit_operator.clients.nats_permissions import (
    Permissions,
    ingest_permissions,
    query_permissions,
    writer_permissions,
)

PERMISSIONS: Final[Mapping[str, Callable[[str], Permissions]]] = {
    "ingest": ingest_permissions,
    "query": query_permissions,
    "writer": writer_permissions,
}
_JWT: Final = re.compile(r"-----BEGIN NATS USER JWT-----\s+(\S+)", re.ASCII)


class _Allowed(msgspec.Struct, frozen=True):
    allow: tuple[str, ...] = ()


class _User(msgspec.Struct, frozen=True):
    pub: _Allowed = _Allowed()
    sub: _Allowed = _Allowed()


class _Claims(msgspec.Struct, frozen=True):
    iss: str
    nats: _User


def is_current(creds: str | None, wanted: Permissions, *, account: str) -> bool:
    """Tell whether a credentials file gives exactly these permissions in that account (its public key)."""
    claims = None if creds is None else _claims(creds)
    return claims is not None and (claims.iss, claims.nats.pub.allow, claims.nats.sub.allow) == (
        account,
        wanted.publish,
        wanted.subscribe,
    )


def _claims(creds: str) -> _Claims | None:
    jwt = _JWT.search(creds)
    if jwt is None or jwt[1].count(".") != 2:
        return None
    payload = jwt[1].split(".")[1]
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(payload + "==="), type=_Claims)
    except (msgspec.DecodeError, binascii.Error):
        return None
