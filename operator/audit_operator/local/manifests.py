"""The manifests of a folder, read as often as it is looked at; only what changed is parsed again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from audit_operator.local.yaml_documents import documents
from audit_operator.model.audittenant import AuditTenant
from audit_operator.model.decoding import audit_tenant, named
from audit_operator.model.invalid import InvalidResource

MAX_FILE_BYTES: Final = 256 * 1024
SUFFIXES: Final = (".yaml", ".yml")

Signature = tuple[int, int, int]


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """One valid document and where it stands."""

    path: str
    tenant: AuditTenant


class BrokenManifest(msgspec.Struct, frozen=True, kw_only=True):
    """One document, or a whole file, that cannot be applied. `name` is the tenant it claims, if it can be read."""

    path: str
    name: str | None
    reason: str


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What a folder holds at one moment."""

    manifests: tuple[Manifest, ...]
    broken: tuple[BrokenManifest, ...]


class FolderUnreadable(Exception):
    """The folder of manifests cannot be listed: not the same as being empty."""


class ManifestFolder:
    """The `*.yaml` and `*.yml` files of one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._parsed: dict[Path, tuple[Signature, Reading]] = {}

    def read(self) -> Reading:
        """Return what the folder holds now. Raises FolderUnreadable."""
        try:
            paths = sorted(path for path in self.folder.iterdir() if _is_manifest(path))
        except OSError as error:
            raise FolderUnreadable(f"{self.folder}: {error.strerror}") from error
        readings = {path: self._reading(path) for path in paths}
        self._parsed = {path: parsed for path, parsed in self._parsed.items() if path in readings}
        return Reading(
            manifests=tuple(manifest for each in readings.values() for manifest in each.manifests),
            broken=tuple(broken for each in readings.values() for broken in each.broken),
        )

    def _reading(self, path: Path) -> Reading:
        try:
            signature = _signature(path)
            known = self._parsed.get(path)
            if known is None or known[0] != signature:
                known = (signature, parsed(str(path), _text(path)))
                self._parsed[path] = known
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            broken = BrokenManifest(path=str(path), name=None, reason=reason or type(error).__name__)
            return Reading(manifests=(), broken=(broken,))
        return known[1]


def parsed(path: str, text: str) -> Reading:
    """Return what one file holds. Raises ValueError when it is no YAML, or has nothing in it."""
    resources = documents(text)
    if not resources:
        raise ValueError("there is no manifest in it")
    places = [path] if len(resources) == 1 else [f"{path}#{n}" for n in range(1, len(resources) + 1)]
    outcomes = list(_outcomes(zip(places, resources, strict=True)))
    return Reading(
        manifests=tuple(outcome for outcome in outcomes if isinstance(outcome, Manifest)),
        broken=tuple(outcome for outcome in outcomes if isinstance(outcome, BrokenManifest)),
    )


def _outcomes(resources: Iterator[tuple[str, object]]) -> Iterator[Manifest | BrokenManifest]:
    for path, resource in resources:
        try:
            yield Manifest(path=path, tenant=audit_tenant(resource))
        except InvalidResource as invalid:
            yield BrokenManifest(path=path, name=named(resource), reason=str(invalid))


def _is_manifest(path: Path) -> bool:
    return path.suffix in SUFFIXES and not path.name.startswith(".")


def _signature(path: Path) -> Signature:
    status = path.stat()
    return status.st_mtime_ns, status.st_size, status.st_ino


def _text(path: Path) -> str:
    with path.open("rb") as file:
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise ValueError(f"larger than {MAX_FILE_BYTES} bytes")
    return content.decode("utf-8", "strict")
