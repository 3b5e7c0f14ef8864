"""From an untyped resource, as YAML or the API server gives it, to a valid AuditTenant."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from audit_operator.model.audittenant import API_VERSION, KIND, AuditTenant
from audit_operator.model.invalid import FieldProblem, InvalidResource
from audit_operator.model.quantity import ByteQuantity, ResourceQuantity, byte_quantity, resource_quantity
from audit_operator.model.rules import broken_rules

_PLACED: Final = re.compile(r"(.*?)(?: - at (`key` in )?`\$\.?(.*)`)?", re.DOTALL)
_FIELD: Final = re.compile(r"Object (?:contains (unknown) field|missing (required) field) `(.*)`", re.DOTALL)
_SUPPORTED: Final = {
    "spec.state": "Active, ReadOnly, Suspended",
    "spec.isolation": "Dedicated, Pooled",
    "spec.deletionPolicy": "Retain, Delete",
    "spec.stream.replicas": "1, 3, 5",
    "spec.retention.partitionBy": "day, month",
}


def audit_tenant(resource: object) -> AuditTenant:
    """Return the tenant that a resource describes. Raises InvalidResource, which names each field it objects to."""
    if not isinstance(resource, dict):
        raise InvalidResource(FieldProblem(path="", reason="must be a mapping"))
    for field, only in (("apiVersion", API_VERSION), ("kind", KIND)):
        if resource.get(field) != only:
            raise InvalidResource(FieldProblem(path=field, reason=f"must be {only}"))
    tenant = _decoded(resource)
    if problems := broken_rules(tenant):
        raise InvalidResource(*problems)
    return tenant


def named(resource: object) -> str | None:
    """Return the name that a resource claims, valid or not."""
    match resource:
        case {"metadata": {"name": str(name)}}:
            return name
        case _:
            return None


def _decoded(resource: dict[Any, Any]) -> AuditTenant:
    try:
        return msgspec.convert(resource, AuditTenant, dec_hook=_decode_quantity)
    except msgspec.ValidationError as error:
        raise InvalidResource(_problem(str(error))) from error


def _decode_quantity(expected: type, value: object) -> ByteQuantity | ResourceQuantity:
    if expected is ResourceQuantity:
        return resource_quantity(value)
    assert expected is ByteQuantity
    return byte_quantity(value)


def _problem(message: str) -> FieldProblem:
    """Put msgspec's message into the words and paths that kubectl uses."""
    placed = _PLACED.fullmatch(message)
    assert placed is not None
    reason, path = placed[1], placed[3] or ""
    if placed[2]:
        return FieldProblem(path=path, reason="keys must be strings")
    if field := _FIELD.fullmatch(reason):
        return FieldProblem(
            path=f"{path}.{field[3]}".lstrip("."), reason="unknown field" if field[1] else "required"
        )
    if path in _SUPPORTED:
        return FieldProblem(path=path, reason=f"must be one of {_SUPPORTED[path]}")
    return FieldProblem(path=path, reason=reason.replace("`", "").replace("Expected", "must be", 1))
