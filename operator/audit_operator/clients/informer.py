"""What is there, and what happens to it: all objects of one kind that have certain labels.

A listing and then a watch from its version. The server ends watches, forgets versions and drops connections; none of that
is an error here. What cannot be missed by listening is found by listing anew.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from audit_operator.clients.kubernetes import Kubernetes
from audit_operator.clients.kubernetes_errors import Gone, KubernetesError
from audit_operator.clients.kubernetes_kinds import Kind, Object

_log = logging.getLogger(__name__)

INACTIVITY_SECONDS: Final = 70.0
"""The server sends a bookmark about every minute; a watch that is silent for longer is dead."""
_WATCH_SECONDS: Final = (240, 480)
_FIRST_PAUSE_SECONDS: Final = 0.1
_LAST_PAUSE_SECONDS: Final = 15.0

_Key = tuple[str, str]


class Informer:
    """Calls `seen` with an object that is new or changed, and `gone` with one that is no more. `run` keeps at it.

    Objects come without managedFields. `gone` may get no more than apiVersion, kind and metadata. Nothing is told twice,
    and nothing older after something newer. Of each object only its metadata is kept.
    """

    def __init__(
        self,
        api: Kubernetes,
        kind: Kind,
        *,
        seen: Callable[[Object], None],
        gone: Callable[[Object], None],
        labels: Mapping[str, str] | None = None,
        namespace: str | None = None,
        inactivity_seconds: float = INACTIVITY_SECONDS,
    ) -> None:
        self.kind = kind
        self.synced = asyncio.Event()
        """Set once everything that was there at first has been told."""
        self.last_progress = time.monotonic()
        """When the server was last heard of, on the monotonic clock: what an informer's health is judged by."""
        self._api = api
        self._seen = seen
        self._gone = gone
        self._labels = labels
        self._namespace = namespace
        self._inactivity_seconds = inactivity_seconds
        self._known: dict[_Key, Object] = {}

    def __len__(self) -> int:
        """How many objects there are."""
        return len(self._known)

    async def run(self) -> None:
        """List and watch until cancelled. What the callbacks raise ends it."""
        pause = _FIRST_PAUSE_SECONDS
        version: str | None = None
        while True:
            before = self.last_progress
            try:
                if version is None:
                    version = await self._list()
                version = await self._watch(version)
            except Gone:
                version = None
            except _WatchBroken as broken:
                version = broken.version
                _log.info("watch_broken kind=%s error=%s", self.kind.name, broken.__cause__)
            except KubernetesError as error:
                _log.warning("list_failed kind=%s error=%s", self.kind.name, error)
            pause = (
                _FIRST_PAUSE_SECONDS if self.last_progress > before else min(pause * 2, _LAST_PAUSE_SECONDS)
            )
            await asyncio.sleep(pause * random.uniform(0.75, 1.0))  # noqa: S311

    async def _list(self) -> str:
        page = await self._api.snapshot(self.kind, labels=self._labels, namespace=self._namespace)
        self.last_progress = time.monotonic()
        vanished = self._known.keys() - {_key(item) for item in page.items}
        for key in vanished:
            self._gone(self._known.pop(key))
        for item in page.items:
            self._see(item)
        self.synced.set()
        return page.resource_version

    async def _watch(self, version: str) -> str:
        try:
            async with self._api.watch(
                self.kind,
                version,
                labels=self._labels,
                namespace=self._namespace,
                seconds=random.randint(*_WATCH_SECONDS),  # noqa: S311
                inactivity_seconds=self._inactivity_seconds,
            ) as changes:
                self.last_progress = time.monotonic()
                async for change in changes:
                    self.last_progress = time.monotonic()
                    version = change.object["metadata"]["resourceVersion"]
                    if change.type == "DELETED":
                        self._lose(change.object)
                    elif change.type != "BOOKMARK":
                        self._see(change.object)
        except Gone:
            raise
        except KubernetesError as error:
            raise _WatchBroken(version) from error
        return version

    def _see(self, found: Object) -> None:
        metadata = found["metadata"]
        metadata.pop("managedFields", None)
        known = self._known.get(_key(found))
        if known is not None and known["metadata"]["uid"] != metadata["uid"]:
            self._gone(known)  # made anew under the same name, while nobody listened
        elif known is not None and _version(known) >= _version(found):
            return
        self._known[_key(found)] = _stub(found)
        self._seen(found)

    def _lose(self, found: Object) -> None:
        found["metadata"].pop("managedFields", None)
        if self._known.pop(_key(found), None) is not None:
            self._gone(found)


class _WatchBroken(Exception):
    def __init__(self, version: str) -> None:
        self.version = version


def _key(found: Object) -> _Key:
    metadata = found["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


def _version(found: Object) -> int:
    return int(found["metadata"]["resourceVersion"])


def _stub(found: Object) -> dict[str, Any]:
    metadata = {name: value for name, value in found["metadata"].items() if name != "annotations"}
    return {"apiVersion": found["apiVersion"], "kind": found["kind"], "metadata": metadata}
