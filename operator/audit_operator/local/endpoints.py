"""Where each tenant can be reached and with which key: `endpoints.json`, for people and for `load`."""

from __future__ import annotations

from pathlib import Path

import msgspec

from audit_operator.local.private_files import write_private


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One tenant's address and key."""

    url: str
    key: str

    def __repr__(self) -> str:
        return f"Endpoint({self.url})"


class Endpoints(msgspec.Struct, frozen=True, kw_only=True):
    """Every tenant that has an endpoint, by name."""

    tenants: dict[str, Endpoint] = {}


def read_endpoints(path: Path) -> Endpoints:
    """Return what the file says. Raises OSError, and msgspec.DecodeError when it is not ours."""
    return msgspec.json.decode(path.read_bytes(), type=Endpoints)


def write_endpoints(path: Path, endpoints: Endpoints) -> bool:
    """Write the file if it says something else; return whether it did."""
    text = msgspec.json.format(msgspec.json.encode(endpoints, order="sorted").decode(), indent=2) + "\n"
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    write_private(path, text)
    return True
