"""Kubernetes objects: applied, read, deleted, listed, watched. JSON in, JSON out.

Everything is written by server-side apply under one field manager, so the server keeps account of which fields are ours:
what a manifest no longer names disappears, what others own stays.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Final, Self

import msgspec
from kubernetes.aio.client import Configuration

from audit_operator.clients.kubernetes_errors import (
    ApiUnavailable,
    Conflict,
    Gone,
    NotFound,
    refused,
    status_of,
)
from audit_operator.clients.kubernetes_kinds import Kind, Object, Ref, ref_of
from audit_operator.clients.kubernetes_transport import DEADLINE_SECONDS, Request, Transport
from audit_operator.telemetry import KubernetesTelemetry

FIELD_MANAGER: Final = "audit-operator"
CHUNK: Final = 500
_APPLY: Final = "application/apply-patch+yaml"
_MERGE: Final = "application/merge-patch+json"
_ATTEMPTS: Final = 5
"""How often a compare-and-set or a listing is begun anew before what it met is told to the caller."""


_Names = list[str]


class NoLongerLeading(ApiUnavailable):
    """A write was not sent, because another process may be leading by now."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a listing, and the version at which all of its parts were read."""

    items: tuple[Object, ...]
    resource_version: str


@dataclass(frozen=True, slots=True)
class Change:
    """What a watch tells: `type` is ADDED, MODIFIED, DELETED or BOOKMARK."""

    type: str
    object: Object


class _Raw(msgspec.Struct, frozen=True):
    type: str
    object: dict[str, Any]


class Kubernetes:
    """The API server that a configuration points to. Leaving the context closes every connection.

    With `read_only`, the server answers every write as if it were done, and keeps nothing. `may_write` is asked before
    each write: a process that stopped leading must not go on with what it began. All methods raise KubernetesError.
    """

    def __init__(
        self,
        configuration: Configuration,
        *,
        telemetry: KubernetesTelemetry | None = None,
        read_only: bool = False,
        may_write: Callable[[], bool] = lambda: True,
        deadline_seconds: float = DEADLINE_SECONDS,
    ) -> None:
        self.telemetry = telemetry or KubernetesTelemetry()
        self.read_only = read_only
        self._may_write = may_write
        self._deadline_seconds = deadline_seconds
        self._transport = Transport(configuration, self.telemetry)

    async def __aenter__(self) -> Self:
        """Open nothing yet."""
        await self._transport.__aenter__()
        return self

    async def __aexit__(self, *_exception: object) -> None:
        """Close what is open."""
        await self._transport.__aexit__()

    async def apply(self, manifest: Object, *, dry_run: bool = False) -> Object:
        """Make the object as the manifest says, in the fields that it names; return it as it is then.

        Fields that we applied earlier and that the manifest lacks are removed. Others' claims to ours are overruled.
        """
        return await self._apply(ref_of(manifest), "", manifest, dry_run=dry_run)

    async def apply_status(self, manifest: Object, *, dry_run: bool = False) -> Object:
        """As `apply`, for the status of an object that is there: `metadata` needs no more than name and namespace."""
        return await self._apply(ref_of(manifest), "/status", manifest, dry_run=dry_run)

    async def get(self, ref: Ref) -> Object:
        """Return an object. Raises NotFound."""
        return await self._send(Request("get", "GET", ref.kind, ref.path, {}))

    async def find(self, ref: Ref) -> Object | None:
        """Return an object, or None when there is none."""
        try:
            return await self.get(ref)
        except NotFound:
            return None

    async def delete(self, ref: Ref, *, uid: str | None = None, resource_version: str | None = None) -> bool:
        """Delete an object, its dependents after it; return whether there was one.

        Raises Conflict when the object is another than the one of that uid, or was changed since that version.
        """
        wanted = {"uid": uid, "resourceVersion": resource_version}
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": {name: value for name, value in wanted.items() if value is not None},
        }
        try:
            await self._write(Request("delete", "DELETE", ref.kind, ref.path, {}, options))
        except NotFound:
            return False
        return True

    async def create(self, manifest: Object) -> Object:
        """Create an object. Raises Conflict when there is one of that name. Not repeated: the outcome may be unknown."""
        ref = ref_of(manifest)
        path = ref.kind.path(ref.namespace)
        return await self._write(Request("create", "POST", ref.kind, path, _owner(), manifest), repeat=False)

    async def replace(self, manifest: Object) -> Object:
        """Replace an object whole. Raises Conflict unless it still has the manifest's resourceVersion. Not repeated."""
        ref = ref_of(manifest)
        return await self._write(
            Request("update", "PUT", ref.kind, ref.path, _owner(), manifest), repeat=False
        )

    async def add_finalizer(self, ref: Ref, finalizer: str, *, uid: str) -> Object:
        """Have the object of that uid wait for us when it is deleted; return it. Others' finalizers stay."""
        return await self._change_finalizers(
            ref, uid, lambda those: those if finalizer in those else [*those, finalizer]
        )

    async def remove_finalizer(self, ref: Ref, finalizer: str, *, uid: str) -> None:
        """Let the object of that uid go, as far as we are concerned. One that is gone already is no error."""
        try:
            await self._change_finalizers(
                ref, uid, lambda those: [each for each in those if each != finalizer]
            )
        except NotFound:
            return

    async def list(
        self, kind: Kind, *, labels: Mapping[str, str] | None = None, namespace: str | None = None
    ) -> tuple[Object, ...]:
        """Return every object of a kind that has these labels, as of one moment."""
        return (await self.snapshot(kind, labels=labels, namespace=namespace)).items

    async def snapshot(
        self, kind: Kind, *, labels: Mapping[str, str] | None = None, namespace: str | None = None
    ) -> Page:
        """As `list`, with the version from which a watch goes on."""
        for _ in range(_ATTEMPTS - 1):
            try:
                return await self._snapshot(kind, labels, namespace)
            except Gone:
                continue  # it took so long that the server compacted what we were reading
        return await self._snapshot(kind, labels, namespace)

    @asynccontextmanager
    async def watch(
        self,
        kind: Kind,
        since: str,
        *,
        labels: Mapping[str, str] | None = None,
        namespace: str | None = None,
        seconds: int,
        inactivity_seconds: float,
    ) -> AsyncIterator[AsyncIterator[Change]]:
        """Yield what happens after a version, for about so many seconds.

        Raises Gone when the version is too old, and ApiUnavailable when the connection breaks or falls silent.
        """
        query = {
            **_selected(labels),
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": since,
            "timeoutSeconds": str(seconds),
        }
        request = Request("watch", "GET", kind, kind.path(namespace), query)
        async with self._transport.lines(request, inactivity_seconds) as lines:
            yield _changes(lines)

    async def _snapshot(self, kind: Kind, labels: Mapping[str, str] | None, namespace: str | None) -> Page:
        items: list[Object] = []
        query = {**_selected(labels), "limit": str(CHUNK)}
        while True:
            answer = await self._send(Request("list", "GET", kind, kind.path(namespace), query))
            for item in answer["items"] or ():  # lists of the core kinds leave these two out of their items
                item.setdefault("apiVersion", kind.api_version)
                item.setdefault("kind", kind.name)
                items.append(item)
            if not (token := answer["metadata"].get("continue")):
                return Page(tuple(items), answer["metadata"]["resourceVersion"])
            query = {**query, "continue": token}

    async def _apply(self, ref: Ref, subresource: str, manifest: Object, *, dry_run: bool) -> Object:
        query = {**_owner(), "force": "true"}
        request = Request("apply", "PATCH", ref.kind, ref.path + subresource, query, manifest, _APPLY)
        return await self._write(request, dry_run=dry_run)

    async def _change_finalizers(self, ref: Ref, uid: str, change: Callable[[_Names], _Names]) -> Object:
        """Compare and set: only with the version that was read, so nobody else's entry can be lost."""
        for attempt in range(_ATTEMPTS):
            live = await self.get(ref)
            metadata = live["metadata"]
            if metadata["uid"] != uid:
                raise NotFound(404, "NotFound", f"{ref} is another object by now")
            before = metadata.get("finalizers", [])
            after = change(before)
            if after == before:
                return live
            patch = {
                "metadata": {
                    "uid": uid,
                    "resourceVersion": metadata["resourceVersion"],
                    "finalizers": after,
                }
            }
            try:
                return await self._write(
                    Request("patch", "PATCH", ref.kind, ref.path, _owner(), patch, _MERGE)
                )
            except Conflict:
                if attempt == _ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable")

    async def _write(self, request: Request, *, dry_run: bool = False, repeat: bool = True) -> Object:
        if dry_run or self.read_only:
            request = _rehearsed(request)

        def permit() -> None:
            if not self._may_write():
                raise NoLongerLeading(0, "NoLongerLeading", f"{request.verb} {request.path}")

        return await self._transport.send(
            request, deadline_seconds=self._deadline_seconds, repeat=repeat, permit=permit
        )

    async def _send(self, request: Request) -> Object:
        return await self._transport.send(request, deadline_seconds=self._deadline_seconds)


async def _changes(lines: AsyncIterator[bytes]) -> AsyncIterator[Change]:
    async for line in lines:
        try:
            raw = msgspec.json.decode(line, type=_Raw)
        except msgspec.DecodeError as error:  # the connection ended within a line
            raise ApiUnavailable(0, "NotJson", str(error)) from error
        if raw.type == "ERROR":
            status = status_of(raw.object)
            raise refused(status.code, status)
        yield Change(raw.type, raw.object)


def _rehearsed(request: Request) -> Request:
    if (
        request.method == "DELETE"
    ):  # its options are in the body, and then those of the query count for nothing
        return replace(request, body={**request.body, "dryRun": ["All"]})
    return replace(request, query={**request.query, "dryRun": "All"})


def _owner() -> dict[str, str]:
    return {"fieldManager": FIELD_MANAGER}


def _selected(labels: Mapping[str, str] | None) -> dict[str, str]:
    if not labels:
        return {}
    return {"labelSelector": ",".join(f"{name}={value}" for name, value in labels.items())}
