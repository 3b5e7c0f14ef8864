"""Who acted on a cluster: the user that was authenticated, and whom that user impersonated.

The actor is always the one who held the credential; an impersonated user is the one acted for. What of a user has
no field here (uid, extra, the groups of the impersonated) is left over for the metadata.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from audit_core.mappings.fitting import short_text

_ID_CHARS: Final = 256
_GROUP_CHARS: Final = 256
_MAX_GROUPS: Final = 64
_SERVICE_ACCOUNT: Final = "system:serviceaccount:"
_ANONYMOUS: Final = "system:anonymous"
_COMPONENT: Final = "system:"


def actor_of(user: Any, impersonated: Any) -> dict[str, Any]:
    """Return the actor; without a user name it is anonymous."""
    actor: dict[str, Any] = _principal(user)
    groups = _groups(user)
    if groups:
        actor["groups"] = groups
    if isinstance(impersonated, Mapping):
        actor["on_behalf_of"] = _principal(impersonated)
    return actor


def left_of_user(user: Any) -> Any:
    """Return what of the acting user the actor does not hold; None if nothing."""
    if not isinstance(user, Mapping):
        return user
    placed = set()
    if short_text(user.get("username"), _ID_CHARS) is not None:
        placed.add("username")
    if _groups(user) == user.get("groups"):
        placed.add("groups")
    return {name: value for name, value in user.items() if name not in placed} or None


def left_of_impersonated(user: Any) -> Any:
    """Return what of the impersonated user `on_behalf_of` does not hold; None if nothing."""
    if not isinstance(user, Mapping):
        return user
    known = short_text(user.get("username"), _ID_CHARS) is not None
    return {name: value for name, value in user.items() if name != "username" or not known} or None


def _principal(user: Any) -> dict[str, str]:
    name = short_text(user.get("username"), _ID_CHARS) if isinstance(user, Mapping) else None
    return {"type": "anonymous"} if name is None else {"id": name, "type": _type(name)}


def _type(name: str) -> str:
    if name.startswith(_SERVICE_ACCOUNT):
        return "service_account"
    if name == _ANONYMOUS:
        return "anonymous"
    return "system" if name.startswith(_COMPONENT) else "user"


def _groups(user: Any) -> list[str]:
    groups = user.get("groups") if isinstance(user, Mapping) else None
    if not isinstance(groups, list):
        return []
    return [group for group in groups if short_text(group, _GROUP_CHARS) is not None][:_MAX_GROUPS]
