"""Event ids and API keys: made from random bytes and time that the caller supplies."""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Final

_MASK_62: Final = (1 << 62) - 1
_BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_KEY_SECRET_CHARS: Final = 30
_KEY_CHECK_CHARS: Final = 6
_KEY_FORM: Final = re.compile(r"akl_[0-9A-Za-z]{36}", re.ASCII)
KEY_RANDOM_BYTES: Final = 32


def _hyphenated(value: int) -> str:
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def uuid7(milliseconds: int, random_bits: int) -> str:
    """Return a UUIDv7 (RFC 9562 section 5.7) of a Unix time in ms and at least 74 random bits."""
    value = (milliseconds & 0xFFFFFFFFFFFF) << 80
    value |= 0x7 << 76 | ((random_bits >> 62) & 0xFFF) << 64
    value |= 0b10 << 62 | (random_bits & _MASK_62)
    return _hyphenated(value)


def uuid8(digest: bytes) -> str:
    """Return a UUIDv8 (RFC 9562 section 5.8) that carries 122 bits of `digest`."""
    value = int.from_bytes(digest[:16], "big")
    value &= ~(0xF << 76) & ~(0b11 << 62)
    value |= 0x8 << 76 | 0b10 << 62
    return _hyphenated(value)


def idempotent_id(idempotency_secret: bytes, key: str, index: int) -> str:
    """Return the id of the event at `index` of a request that carried the Idempotency-Key `key`.

    `idempotency_secret` is the tenant's HKDF output for the label `idempotency`. The key's length stands in
    front, so that no two (key, index) pairs share an input.
    """
    encoded = key.encode()
    message = len(encoded).to_bytes(4, "big") + encoded + index.to_bytes(8, "big")
    return uuid8(hmac.digest(idempotency_secret, message, "sha256"))


def tenant_subkey(secret: bytes, label: str) -> bytes:
    """Return 32 bytes of HKDF-SHA-256 (RFC 5869, empty salt) of the tenant's secret for `label`."""
    pseudo_random_key = hmac.digest(bytes(32), secret, "sha256")
    return hmac.digest(pseudo_random_key, label.encode() + b"\x01", "sha256")


def _base62(value: int, width: int) -> str:
    digits = []
    for _ in range(width):
        value, digit = divmod(value, 62)
        digits.append(_BASE62[digit])
    return "".join(reversed(digits))


def _checksum(secret: str) -> str:
    digest = hashlib.sha256(b"akl_" + secret.encode()).digest()
    return _base62(int.from_bytes(digest[:8], "big"), _KEY_CHECK_CHARS)


def new_api_key(random_bytes: bytes) -> str:
    """Return an API key: `akl_`, 30 base62 characters, 6 of checksum. Takes `KEY_RANDOM_BYTES` random bytes."""
    if len(random_bytes) != KEY_RANDOM_BYTES:
        raise ValueError(f"a key takes {KEY_RANDOM_BYTES} random bytes")
    secret = _base62(int.from_bytes(random_bytes, "big"), _KEY_SECRET_CHARS)
    return f"akl_{secret}{_checksum(secret)}"


def is_api_key(text: str) -> bool:
    """Tell whether `text` is a well-formed API key (a typing error fails here, before any look-up)."""
    if _KEY_FORM.fullmatch(text) is None:
        return False
    secret = text[4 : 4 + _KEY_SECRET_CHARS]
    return hmac.compare_digest(_checksum(secret), text[-_KEY_CHECK_CHARS:])


def api_key_hash(key: str) -> bytes:
    """Return what is stored of a key: its SHA-256. 178 random bits need no slow hash."""
    return hashlib.sha256(key.encode()).digest()
