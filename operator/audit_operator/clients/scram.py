"""SCRAM-SHA-256 verifiers (RFC 5803, as PostgreSQL stores them), so that no password reaches a server's log."""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import b64encode
from typing import Final

ITERATIONS: Final = 4096
SALT_BYTES: Final = 16
_PASSWORD: Final = re.compile(r"[A-Za-z0-9_-]{24,128}", re.ASCII)


def scram_verifier(password: str, salt: bytes) -> str:
    """Return what PostgreSQL stores of `password`, salted with `SALT_BYTES` random bytes.

    Only generated passwords are taken, 24 to 128 characters of base64url: they have the entropy that few iterations
    ask for, and need neither string preparation nor quoting in a connection string.
    """
    if len(salt) != SALT_BYTES:
        raise ValueError(f"a salt has {SALT_BYTES} bytes")
    if _PASSWORD.fullmatch(password) is None:
        raise ValueError("a password has 24 to 128 characters of base64url")
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ITERATIONS)
    stored_key = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    return f"SCRAM-SHA-256${ITERATIONS}:{_base64(salt)}${_base64(stored_key)}:{_base64(server_key)}"


def _base64(data: bytes) -> str:
    return b64encode(data).decode("ascii")
