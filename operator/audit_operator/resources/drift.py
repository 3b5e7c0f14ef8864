"""Whether a live object still is what a manifest wants.

What the server fills in does not count, nor what others add where the API server lets several add; what the manifest
names does. Where the API server gives a part to one owner as a whole, any other content is a difference: a foreign
label in the empty selector of `default-deny` would open every pod that lacks it.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

from audit_operator.model.quantity import resource_quantity
from audit_operator.resources.platform import Manifest

_MERGED: Final = {
    "metadata.ownerReferences": ("uid",),
    "spec.ports": ("port", "protocol"),
    "spec.template.spec.containers": ("name",),
    "spec.template.spec.containers.env": ("name",),
    "spec.template.spec.containers.ports": ("containerPort", "protocol"),
    "spec.template.spec.containers.volumeMounts": ("mountPath",),
    "spec.template.spec.imagePullSecrets": ("name",),
    "spec.template.spec.topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
    "spec.template.spec.volumes": ("name",),
}
"""The lists that others may add to, and the fields that tell their items apart."""

_WHOLE: Final = frozenset(
    {
        "egress",
        "ingress",
        "labelSelector",
        "metrics",
        "namespaceSelector",
        "podSelector",
        "roleRef",
        "scaleTargetRef",
        "selector",
        "subjects",
    }
)
"""The fields that have one owner, and no defaults that our manifests leave to the server."""

_QUANTITIES: Final = frozenset({"requests", "limits", "hard", "default", "defaultRequest"})


def same(live: Manifest, want: Manifest) -> bool:
    """Tell whether the live object has everything that the manifest wants, as it wants it."""
    return bool(project(live, want) == want)


def project(live: Any, want: Any, path: tuple[str, ...] = ()) -> Any:
    """Return the live value cut to the shape of the wanted one. A value written in another way is the wanted one."""
    if path and path[-1] in _WHOLE:
        return live
    if isinstance(want, dict) and isinstance(live, dict):
        return _mapping(live, want, path)
    if isinstance(want, list) and isinstance(live, list):
        return _list(live, want, path)
    if len(path) > 1 and path[-2] in _QUANTITIES and _equal_amounts(live, want):
        return want
    return live


def digest(manifest: Manifest) -> str:
    """Return what tells two manifests apart."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _mapping(live: Manifest, want: Manifest, path: tuple[str, ...]) -> Manifest:
    """Return the fields that are wanted. An empty list is what the API server does not store."""
    return {
        name: project(live.get(name, value), value, (*path, name))
        for name, value in want.items()
        if name in live or value == []
    }


def _list(live: list[Any], want: list[Any], path: tuple[str, ...]) -> list[Any]:
    keys = _MERGED.get(".".join(path))
    if keys is None:
        if len(live) != len(want):
            return live
        return [project(mine, wanted, path) for mine, wanted in zip(live, want, strict=True)]
    by_key = {tuple(item.get(key) for key in keys): item for item in live}
    wanted_keys = [(tuple(item[key] for key in keys), item) for item in want]
    return [project(by_key[key], item, path) for key, item in wanted_keys if key in by_key]


def _equal_amounts(live: Any, want: Any) -> bool:
    try:
        return resource_quantity(live).amount == resource_quantity(want).amount
    except ValueError:
        return False
