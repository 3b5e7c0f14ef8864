"""Cursors: where a list goes on, sealed so that only the tenant and the filters it was made for can use it.

A token is base64url(version ‖ nonce ‖ AES-256-GCM of the contents), under a key of the tenant's own. The nonce is
random; should one ever repeat, it would reveal positions to the tenant whose they are. The number of events on a page
is no part of it and may change from page to page.
"""

from __future__ import annotations

import os
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from contextlib import suppress
from typing import Final, Literal, TypeAlias

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from audit_core.errors import InvalidQuery
from audit_core.ids import tenant_subkey
from audit_core.query import Filters, Order, Position, filters_digest

Route: TypeAlias = Literal["logs"]
"""The list that a cursor belongs to; each has its own."""

_VERSION: Final = b"\x01"
_NONCE_BYTES: Final = 12
_MAX_CHARS: Final = 512
_FORM: Final = re.compile(r"(?:[\w-]{4})*(?:[\w-]{2,3})?", re.ASCII)
_LABEL: Final = "cursor"


class _Contents(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    tenant_id: str
    route: Route
    filters_sha256: bytes
    order: Order
    received_at: int
    sequence: int


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """What a cursor is bound to."""

    tenant_id: str
    route: Route
    filters: Filters
    order: Order


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(_Contents)


def seal(secret: bytes, listing: Listing, last: Position) -> str:
    """Return the token of the page behind `last`. `secret` is the tenant's."""
    nonce = os.urandom(_NONCE_BYTES)
    sealed = _cipher(secret).encrypt(nonce, _encoder.encode(_contents(listing, last)), _VERSION)
    return _text(_VERSION + nonce + sealed)


def unseal(secret: bytes, listing: Listing, token: str) -> Position:
    """Return where the page starts. Raises InvalidQuery for a token that was not made for exactly this list."""
    contents = _opened(secret, token)
    position = Position(received_at=contents.received_at, sequence=contents.sequence)
    if contents != _contents(listing, position):
        raise InvalidQuery(
            "cursor", "belongs to another search: repeat the filters and order it was given for"
        )
    return position


def _opened(secret: bytes, token: str) -> _Contents:
    """Open a token of this tenant, for whatever list. One reason for all that can be wrong, so that none is told."""
    sealed = _bytes(token)
    nonce, rest = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
    if sealed[:1] == _VERSION and rest:
        with suppress(InvalidTag, msgspec.DecodeError):
            return _decoder.decode(_cipher(secret).decrypt(nonce, rest, _VERSION))
    raise InvalidQuery("cursor", "not a cursor of this list")


def _contents(listing: Listing, at: Position) -> _Contents:
    return _Contents(
        listing.tenant_id,
        listing.route,
        filters_digest(listing.filters),
        listing.order,
        at.received_at,
        at.sequence,
    )


def _text(sealed: bytes) -> str:
    return urlsafe_b64encode(sealed).rstrip(b"=").decode()


def _bytes(token: str) -> bytes:
    """Return what a token encodes, or nothing: base64 leaves bits over, in which it could vary and mean the same."""
    if len(token) > _MAX_CHARS or _FORM.fullmatch(token) is None:
        return b""
    sealed = urlsafe_b64decode(token + "=" * (-len(token) % 4))
    return sealed if _text(sealed) == token else b""


def _cipher(secret: bytes) -> AESGCM:
    return AESGCM(tenant_subkey(secret, _LABEL))
