"""Whether a live object still is what a manifest wants.

What the server or others add does not count; what the manifest names does. Lists whose items have a name are compared
item by item, as the API server merges them; others as a whole.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

from audit_operator.model.quantity import resource_quantity
from audit_operator.resources.platform import Manifest

_MERGED: Final = {
    "containers": "name",
    "env": "name",
    "imagePullSecrets": "name",
    "ownerReferences": "uid",
    "volumeMounts": "mountPath",
    "volumes": "name",
}
"""The lists that others may add to, and the field that tells their items apart."""

_QUANTITIES: Final = {"requests", "limits", "hard", "default", "defaultRequest"}


def same(live: Manifest, want: Manifest) -> bool:
    """Tell whether the live object has everything that the manifest wants, as it wants it."""
    return bool(project(live, want) == want)


def project(live: Any, want: Any, *, field: str = "") -> Any:
    """Return the live value cut to the shape of the wanted one. A value written in another way is the wanted one."""
    if isinstance(want, dict) and isinstance(live, dict):
        return {
            name: project(live[name], value, field=field if field in _QUANTITIES else name)
            for name, value in want.items()
            if name in live
        }
    if isinstance(want, list) and isinstance(live, list):
        return _list(live, want, field)
    if field in _QUANTITIES and _equal_amounts(live, want):
        return want
    return live


def digest(manifest: Manifest) -> str:
    """Return what tells two manifests apart."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _list(live: list[Any], want: list[Any], field: str) -> list[Any]:
    key = _MERGED.get(field)
    if key is None:
        if len(live) != len(want):
            return live
        return [project(mine, wanted) for mine, wanted in zip(live, want, strict=True)]
    by_key = {item.get(key): item for item in live}
    return [project(by_key[item[key]], item) for item in want if item[key] in by_key]


def _equal_amounts(live: Any, want: Any) -> bool:
    try:
        return resource_quantity(live).amount == resource_quantity(want).amount
    except ValueError:
        return False
