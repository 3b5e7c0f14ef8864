"""The Secrets of one namespace, read and written with rights that begin a moment after they were given.

The operator has no right to Secrets but in namespaces that it made, by a RoleBinding it made there. A server learns of a
new binding a moment later, so a refusal is asked about again for a while.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from audit_operator.clients.kubernetes import Kubernetes
from audit_operator.clients.kubernetes_errors import Forbidden, NamespaceTerminating
from audit_operator.clients.kubernetes_kinds import SECRET, Object, Ref

T = TypeVar("T")

_PATIENCE_SECONDS: Final = 3.0
_PAUSE_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class SecretPlace:
    """The Secrets of one namespace. What was read or written is `held` for as long as its owner wants; it asks once."""

    api: Kubernetes
    namespace: str
    held: dict[str, Object | None] = field(default_factory=dict, repr=False)

    async def read(self, name: str) -> Object | None:
        """Return a Secret, None when there is none."""
        if name not in self.held:
            found = await _granted(lambda: self.api.find(Ref(SECRET, name, self.namespace)))
            self.held.setdefault(name, found)  # what was written meanwhile is newer
        return self.held[name]

    async def write(self, manifest: Object) -> None:
        """Apply a Secret."""
        name = manifest["metadata"]["name"]
        self.held.pop(name, None)
        self.held[name] = await _granted(lambda: self.api.apply(manifest))

    async def delete(self, name: str) -> None:
        """Delete a Secret; one that is gone is no error."""
        self.held.pop(name, None)
        await _granted(lambda: self.api.delete(Ref(SECRET, name, self.namespace)))


def texts(secret: Mapping[str, Any] | None) -> dict[str, str]:
    """Return what a Secret holds; values that are no text are left out."""
    found = {}
    for key, value in ((secret or {}).get("data") or {}).items():
        try:
            found[key] = base64.b64decode(value, validate=True).decode("utf-8")
        except ValueError:
            continue
    return found


async def _granted(request: Callable[[], Awaitable[T]]) -> T:
    deadline = asyncio.get_running_loop().time() + _PATIENCE_SECONDS
    while True:
        try:
            return await request()
        except NamespaceTerminating:
            raise
        except Forbidden:
            if asyncio.get_running_loop().time() >= deadline:
                raise
        await asyncio.sleep(_PAUSE_SECONDS)
