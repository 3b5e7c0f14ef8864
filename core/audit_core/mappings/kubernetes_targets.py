"""What a request to a cluster was about: the object or collection it refers to, or the path of its URL.

A target's type is the resource with its group as kubectl writes it (`deployments.apps`), its id the name with the
namespace before it (`prod/web`). A collection, or an object whose name the server still has to make, has no id.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from audit_core.mappings.fitting import short_text

_ID_CHARS: Final = 512
_NAME_CHARS: Final = 256
_TYPE_CHARS: Final = 128
_URL: Final = "url"
_REFERENCE: Final = frozenset(
    {"resource", "namespace", "name", "uid", "apiGroup", "apiVersion", "resourceVersion", "subresource"}
)


def target_of(reference: Any, request_uri: str | None) -> dict[str, Any] | None:
    """Return the target, None when the event names nothing that fits."""
    if isinstance(reference, Mapping) and _text(reference, "resource"):
        return _object(reference)
    path = short_text((request_uri or "").partition("?")[0], _ID_CHARS)
    return None if path is None else {"id": path, "type": _URL}


def holds_reference(reference: Any) -> bool:
    """Tell whether a target holds all that an object reference says."""
    return (
        isinstance(reference, Mapping)
        and _text(reference, "resource") is not None
        and all(name in _REFERENCE and _text(reference, name) is not None for name in reference)
        and len(_type(reference)) <= _TYPE_CHARS
        and len(_id(reference) or "") <= _ID_CHARS
    )


def _object(reference: Mapping[str, Any]) -> dict[str, Any]:
    attributes = {name: _text(reference, name) for name in sorted(_REFERENCE - {"name"})}
    target = {
        "type": short_text(_type(reference), _TYPE_CHARS),
        "id": short_text(_id(reference), _ID_CHARS),
        "name": short_text(_text(reference, "name"), _NAME_CHARS),
        "attributes": {name: value for name, value in attributes.items() if value is not None},
    }
    return {name: value for name, value in target.items() if value is not None}


def _type(reference: Mapping[str, Any]) -> str:
    group = _text(reference, "apiGroup")
    resource = _text(reference, "resource") or ""
    return f"{resource}.{group}" if group else resource


def _id(reference: Mapping[str, Any]) -> str | None:
    name, namespace = _text(reference, "name"), _text(reference, "namespace")
    # A namespace is said to be in itself.
    if name is None or namespace is None or reference.get("resource") == "namespaces":
        return name
    return f"{namespace}/{name}"


def _text(reference: Mapping[str, Any], name: str) -> str | None:
    return short_text(reference.get(name), _NAME_CHARS)
