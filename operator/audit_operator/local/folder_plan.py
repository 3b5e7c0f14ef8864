"""What a folder of manifests asks for, and above all what it does not ask for. Pure.

A tenant is removed only when nothing in the folder could be its manifest: a file that cannot be read speaks for
whoever was last read from it, and for everyone when nobody was. Two files that claim one name speak for it too, and
neither is applied.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import msgspec

from audit_operator.local.manifests import BrokenManifest, Reading
from audit_operator.model.audittenant import AuditTenant


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What to apply, what is broken, and which of the tenants that are there nobody asks for."""

    tenants: dict[str, AuditTenant]
    broken: tuple[BrokenManifest, ...]
    absent: frozenset[str]


def asked(reading: Reading, *, live: Iterable[str], last_read: Mapping[str, Collection[str]]) -> Asked:
    """Return what a reading asks for, given the names of live tenants and those last read from each path."""
    places: dict[str, list[str]] = {}
    for manifest in reading.manifests:
        places.setdefault(manifest.tenant.name, []).append(manifest.path)
    broken = (*reading.broken, *_contradictions(places))
    tenants = {
        manifest.tenant.name: manifest.tenant
        for manifest in reading.manifests
        if len(places[manifest.tenant.name]) == 1
    }
    return Asked(
        tenants=tenants,
        broken=broken,
        absent=frozenset(live) - places.keys() - _spoken_for(reading.broken, live, last_read),
    )


def names_by_path(reading: Reading) -> dict[str, frozenset[str]]:
    """Return the names that each file holds, broken documents that name one too."""
    names: dict[str, set[str]] = {}
    for manifest in reading.manifests:
        names.setdefault(_file(manifest.path), set()).add(manifest.tenant.name)
    for broken in reading.broken:
        if broken.name is not None:
            names.setdefault(_file(broken.path), set()).add(broken.name)
    return {path: frozenset(found) for path, found in names.items()}


def _contradictions(places: Mapping[str, list[str]]) -> Iterable[BrokenManifest]:
    for name, paths in places.items():
        first, *others = paths
        for path in others:
            yield BrokenManifest(path=path, name=name, reason=f"{name} is described in {first} already")


def _spoken_for(
    broken: Iterable[BrokenManifest], live: Iterable[str], last_read: Mapping[str, Collection[str]]
) -> set[str]:
    names: set[str] = set()
    for document in broken:
        if document.name is not None:
            names.add(document.name)
        else:
            names.update(last_read.get(_file(document.path)) or live)
    return names


def _file(path: str) -> str:
    return path.partition("#")[0]
