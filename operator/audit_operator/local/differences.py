"""What changed between two resources, in the words of the manifest. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from audit_operator.model.audittenant import AuditTenant


def differences(old: AuditTenant, new: AuditTenant) -> list[str]:
    """Return each field of the spec that changed, as `spec.state: Active → ReadOnly`."""
    return [f"spec.{line}" for line in _changed(_plain(old), _plain(new), "")]


def _plain(tenant: AuditTenant) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(tenant.spec, enc_hook=int)
    return plain


def _changed(old: dict[str, Any], new: dict[str, Any], path: str) -> Iterator[str]:
    for field, after in new.items():
        before = old[field]
        if isinstance(after, dict):
            yield from _changed(before, after, f"{path}{field}.")
        elif before != after:
            yield f"{path}{field}: {_shown(before)} → {_shown(after)}"


def _shown(value: Any) -> str:
    return "unset" if value in (None, "") else str(value)
