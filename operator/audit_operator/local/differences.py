"""What changed between two resources, and what of one is served in a cluster only, in the words of the manifest. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from audit_operator.model.audittenant import AuditTenant, Spec

CLUSTER_ONLY: Final = (
    "deletionPolicy",
    "ingest.replicas",
    "ingest.autoscaling",
    "ingest.resources",
    "ingest.allowFrom",
    "query.replicas",
    "query.autoscaling",
    "stream.replicas",
)
"""The fields that this machine accepts and does not serve: one process of each function, one server, kept logs."""


def differences(old: AuditTenant, new: AuditTenant) -> list[str]:
    """Return each field of the spec that changed, as `spec.state: Active → ReadOnly`."""
    return [f"spec.{line}" for line in _changed(_plain(old.spec), _plain(new.spec), "")]


def cluster_only(tenant: AuditTenant) -> list[str]:
    """Return the fields that the resource sets to no effect outside a cluster, as `spec.ingest.replicas`."""
    wanted, default = _plain(tenant.spec), _plain(Spec())
    return [f"spec.{path}" for path in CLUSTER_ONLY if _at(wanted, path) != _at(default, path)]


def _plain(spec: Spec) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(spec, enc_hook=_scalar)
    return plain


def _scalar(quantity: object) -> int | str:
    return int(quantity) if isinstance(quantity, int) else str(quantity)


def _at(plain: dict[str, Any], path: str) -> Any:
    value: Any = plain
    for field in path.split("."):
        value = value[field]
    return value


def _changed(old: dict[str, Any], new: dict[str, Any], path: str) -> Iterator[str]:
    for field, after in new.items():
        before, place = old[field], f"{path}{field}"
        if place not in CLUSTER_ONLY and isinstance(after, dict):
            yield from _changed(before, after, f"{place}.")
        elif before != after:
            yield f"{place}: {_shown(before)} → {_shown(after)}{' (in a cluster only)' * (place in CLUSTER_ONLY)}"


def _shown(value: Any) -> str:
    match value:
        case None | "" | [] | ():
            return "unset"
        case dict() | list() | tuple():
            return msgspec.json.encode(value).decode()
        case _:
            return str(value)
