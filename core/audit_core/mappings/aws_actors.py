"""Who acted, from the `userIdentity` of an AWS record.

A role that somebody assumed is the actor, not its session: sessions have new names every time, and a question is
about the role. The session's name goes to the context. AWS names a principal by its ARN; where there is none
(services, federated users) the closest name it gives is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from audit_core.mappings.fitting import short_text

_TYPES: Final = {
    "Root": "user",
    "IAMUser": "user",
    "FederatedUser": "user",
    "SAMLUser": "user",
    "WebIdentityUser": "user",
    "IdentityCenterUser": "user",
    "Directory": "user",
    "AssumedRole": "service_account",
    "Role": "service_account",
    "AWSAccount": "service_account",
    "AWSService": "system",
}
_ANONYMOUS: Final = "ANONYMOUS_PRINCIPAL"
_ID_CHARS: Final = 256


def actor_of(identity: Mapping[str, Any]) -> dict[str, str]:
    """Return the actor of an identity: `type`, and `id` and `name` where AWS states them."""
    if identity.get("accountId") == _ANONYMOUS:
        return {"type": "anonymous"}
    issuer = _issuer(identity) if identity.get("type") == "AssumedRole" else {}
    named = {
        "id": _first(issuer.get("arn"), *_names(identity)),
        "name": _first(issuer.get("userName"), identity.get("userName")),
    }
    actor = {key: value for key, value in named.items() if value is not None}
    return {**actor, "type": _type(identity, known="id" in actor)}


def session_of(identity: Mapping[str, Any]) -> str | None:
    """Return the name of an assumed role's session, which stands behind the colon of its principal id."""
    if identity.get("type") != "AssumedRole":
        return None
    _, _, session = str(identity.get("principalId") or "").partition(":")
    return short_text(session, 256)


def _type(identity: Mapping[str, Any], *, known: bool) -> str:
    stated = identity.get("type")
    if stated is None:
        # What a service does by itself carries no type, only the service's name.
        return "system" if known else "anonymous"
    return _TYPES.get(str(stated), "system")


def _issuer(identity: Mapping[str, Any]) -> Mapping[str, Any]:
    session = identity.get("sessionContext")
    issuer = session.get("sessionIssuer") if isinstance(session, Mapping) else None
    return issuer if isinstance(issuer, Mapping) else {}


def _names(identity: Mapping[str, Any]) -> tuple[Any, ...]:
    if identity.get("type") in ("AWSService", None):
        return identity.get("invokedBy"), identity.get("arn"), identity.get("principalId")
    return (
        identity.get("arn"),
        identity.get("principalId"),
        identity.get("accountId"),
        identity.get("invokedBy"),
    )


def _first(*values: Any) -> str | None:
    fitting = (short_text(value, _ID_CHARS) for value in values)
    return next((text for text in fitting if text is not None), None)
