"""The objects that stand for tenants in the cluster, as they were last seen, and what has to change among them.

What is applied is noted at once, without waiting for the watch to tell: otherwise each echo would be taken for drift.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from audit_core.tenant import namespace
from audit_operator.clients.kubernetes_kinds import Object, Ref, ref_of
from audit_operator.resources.drift import digest, same
from audit_operator.resources.metadata import TENANT

POOL: Final = ""
"""The name under which the pooled functions are kept: no tenant can have it."""

_PREFIX: Final = namespace("")

_Seen = tuple[str, str]
"""The digest of what was applied, and the resourceVersion that came of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to apply, in order, and what to delete because the tenant no longer has it."""

    apply: tuple[Object, ...]
    delete: tuple[Object, ...]


class Children:
    """What is known of every tenant's objects. `seen` and `gone` are what watches call."""

    def __init__(self) -> None:
        self._objects: dict[str, dict[Ref, Object]] = defaultdict(dict)
        self._applied: dict[Ref, _Seen] = {}

    def seen(self, found: Object) -> str:
        """Take in an object; return the tenant it belongs to."""
        name = tenant_of(found)
        ref = ref_of(found)
        known = self._objects[name].get(ref)
        if known is None or _version(known) < _version(found) or _uid(known) != _uid(found):
            self._objects[name][ref] = found
        return name

    def gone(self, found: Object) -> str:
        """Forget an object; return the tenant it belonged to."""
        name, ref = tenant_of(found), ref_of(found)
        known = self._objects[name].get(ref)
        if known is not None and _uid(known) == _uid(found):
            del self._objects[name][ref]
            self._applied.pop(ref, None)
        if not self._objects[name]:
            del self._objects[name]
        return name

    def take_pool(self, found: Object) -> None:
        """Take in a Deployment of the pooled functions, which nobody here applies."""
        self._objects[POOL][ref_of(found)] = found

    def drop_pool(self, found: Object) -> None:
        """Forget one of those."""
        self._objects[POOL].pop(ref_of(found), None)

    def applied(self, manifest: Object, answer: Object) -> None:
        """Note what the server made of a manifest."""
        answer["metadata"].pop("managedFields", None)
        self.seen(answer)
        self._applied[ref_of(manifest)] = (digest(manifest), answer["metadata"]["resourceVersion"])

    def of(self, name: str) -> Mapping[Ref, Object]:
        """Return the objects of a tenant."""
        return self._objects.get(name, {})

    def plan(self, name: str, wanted: Iterable[Object]) -> Plan:
        """Return what makes the tenant's objects be those wanted, and no others of the watched kinds."""
        wanted = tuple(wanted)
        live = self.of(name)
        refs = {ref_of(manifest) for manifest in wanted}
        return Plan(
            apply=tuple(manifest for manifest in wanted if not self._is_right(manifest, live)),
            delete=tuple(
                found
                for ref, found in live.items()
                if ref not in refs and _is_labelled(found) and not is_going(found)
            ),
        )

    def _is_right(self, manifest: Object, live: Mapping[Ref, Object]) -> bool:
        found = live.get(ref_of(manifest))
        if found is None:
            return False
        if self._applied.get(ref_of(manifest)) == (digest(manifest), found["metadata"]["resourceVersion"]):
            return True  # the server writes some values in another way than we do
        return same(found, manifest)


def is_child(found: Object) -> bool:
    """Tell whether an object is in a tenant's namespace, or is one."""
    return _namespace_of(found).startswith(_PREFIX)


def tenant_of(found: Object) -> str:
    """Return the tenant that an object belongs to: by its namespace, since its labels are anybody's to change."""
    return _namespace_of(found).removeprefix(_PREFIX)


def is_going(found: Object) -> bool:
    """Tell whether an object is being deleted."""
    return "deletionTimestamp" in found["metadata"]


def _namespace_of(found: Object) -> str:
    metadata = found["metadata"]
    return str(metadata.get("namespace", metadata["name"]))


def _is_labelled(found: Object) -> bool:
    """Tell whether an object says that it is a tenant's: others in the namespace are not ours to delete."""
    return TENANT in found["metadata"].get("labels", {})


def _version(found: Object) -> int:
    return int(found["metadata"]["resourceVersion"])


def _uid(found: Object) -> str:
    return str(found["metadata"]["uid"])
