"""The informer: whatever watches do, each object's last state is told, in order, and once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from audit_operator.clients.informer import Informer
from audit_operator.clients.kubernetes import Kubernetes
from audit_operator.clients.kubernetes_kinds import SECRET, Object
from tests.support.fake_api import Answer, FakeApi, fake_api, hangs, says, streams


class Heard:
    """What the informer told, as lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.objects: list[Object] = []

    def seen(self, found: Object) -> None:
        self.objects.append(found)
        self.lines.append(f"seen {_text(found)}")

    def gone(self, found: Object) -> None:
        self.objects.append(found)
        self.lines.append(f"gone {_text(found)}")

    async def until(self, *lines: str) -> None:
        async with asyncio.timeout(10):
            while len(self.lines) < len(lines):  # noqa: ASYNC110 - callbacks, not events
                await asyncio.sleep(0.01)
        assert self.lines == list(lines)


def _text(found: Object) -> str:
    metadata = found["metadata"]
    return f"{metadata['name']} {metadata['uid']} {metadata['resourceVersion']}"


def _object(name: str, version: int, uid: str = "u") -> Object:
    metadata = {"name": name, "namespace": "n", "uid": uid, "resourceVersion": str(version)}
    managed = {"managedFields": [{"manager": "somebody"}]}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {**metadata, **managed}, "data": {"a": "YQ=="}}


def _listing(version: int, *items: Object) -> Answer:
    return says({"items": list(items), "metadata": {"resourceVersion": str(version)}})


def _event(kind: str, found: Object) -> dict[str, Any]:
    return {"type": kind, "object": found}


def _bookmark(version: int) -> dict[str, Any]:
    return _event("BOOKMARK", {"kind": "Secret", "metadata": {"resourceVersion": str(version)}})


_GONE = _event("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"})


@asynccontextmanager
async def _informed(
    listings: list[Answer], watches: list[Answer], inactivity_seconds: float = 30.0
) -> AsyncIterator[tuple[Informer, Heard, FakeApi]]:
    heard = Heard()
    async with fake_api() as fake, Kubernetes(fake.configuration(), deadline_seconds=1.0) as api:
        fake.answers, fake.watches = listings, watches
        informer = Informer(
            api, SECRET, seen=heard.seen, gone=heard.gone, inactivity_seconds=inactivity_seconds
        )
        running = asyncio.create_task(informer.run())
        try:
            yield informer, heard, fake
        finally:
            running.cancel()
            await asyncio.wait((running,))
            assert running.cancelled()


async def test_what_is_there_is_told_before_it_counts_as_synced() -> None:
    listing = _listing(7, _object("a", 3), _object("b", 4))
    async with _informed([listing], [streams(then="hang")]) as (informer, heard, _):
        await asyncio.wait_for(informer.synced.wait(), 10)
        assert heard.lines == ["seen a u 3", "seen b u 4"]
        assert len(informer) == 2
        assert all("managedFields" not in found["metadata"] for found in heard.objects)


async def test_a_watch_tells_what_happens() -> None:
    happening = streams(
        _event("ADDED", _object("a", 8)),
        _event("MODIFIED", _object("a", 9)),
        _event("DELETED", _object("a", 10)),
        then="hang",
    )
    async with _informed([_listing(7)], [happening]) as (informer, heard, _):
        await heard.until("seen a u 8", "seen a u 9", "gone a u 10")
        assert len(informer) == 0


async def test_a_watch_that_ends_goes_on_where_the_last_bookmark_was() -> None:
    first, second = streams(_bookmark(50)), streams(_event("ADDED", _object("a", 51)), then="hang")
    async with _informed([_listing(7)], [first, second]) as (_, heard, fake):
        await heard.until("seen a u 51")
        assert [("resourceVersion=50" in path) for _, path in fake.asked] == [False, False, True]


async def test_a_connection_that_is_cut_within_a_line_loses_and_repeats_nothing() -> None:
    first = streams(_event("ADDED", _object("a", 8)), then="cut")
    second = streams(_event("ADDED", _object("b", 9)), then="hang")
    async with _informed([_listing(7)], [first, second]) as (_, heard, fake):
        await heard.until("seen a u 8", "seen b u 9")
        assert "resourceVersion=8" in fake.asked[-1][1]


async def test_what_vanished_while_the_version_was_too_old_is_told_as_gone() -> None:
    listings = [_listing(7, _object("a", 3), _object("b", 4)), _listing(90, _object("b", 80))]
    async with _informed(listings, [streams(_GONE), streams(then="hang")]) as (informer, heard, _):
        await heard.until("seen a u 3", "seen b u 4", "gone a u 3", "seen b u 80")
        assert len(informer) == 1


async def test_a_watch_refused_as_too_old_is_followed_by_a_listing() -> None:
    listings = [_listing(7), _listing(90, _object("a", 80))]
    async with _informed(listings, [says({}, 410), streams(then="hang")]) as (_, heard, _fake):
        await heard.until("seen a u 80")


async def test_an_object_made_anew_under_its_name_is_gone_and_seen() -> None:
    listings = [_listing(7, _object("a", 3)), _listing(90, _object("a", 80, uid="v"))]
    async with _informed(listings, [streams(_GONE), streams(then="hang")]) as (_, heard, _fake):
        await heard.until("seen a u 3", "gone a u 3", "seen a v 80")


async def test_nothing_older_is_told_after_something_newer() -> None:
    events = streams(
        _event("MODIFIED", _object("a", 20)),
        _event("MODIFIED", _object("a", 9)),
        _event("MODIFIED", _object("a", 20)),
        _event("MODIFIED", _object("a", 100)),
        then="hang",
    )
    async with _informed([_listing(7)], [events]) as (_, heard, _fake):
        await heard.until("seen a u 20", "seen a u 100")


async def test_a_silent_watch_is_given_up_and_begun_again() -> None:
    silent, lively = streams(then="hang"), streams(_event("ADDED", _object("a", 8)), then="hang")
    async with _informed([_listing(7)], [silent, lively], inactivity_seconds=0.3) as (_, heard, _fake):
        await heard.until("seen a u 8")


async def test_a_server_without_answers_makes_no_progress_and_one_with_bookmarks_does() -> None:
    async with _informed([hangs], [hangs]) as (informer, _heard, _fake):
        since = informer.last_progress
        await asyncio.sleep(0.3)
        assert informer.last_progress == since
        assert not informer.synced.is_set()
    started = time.monotonic()
    async with _informed([_listing(7)], [streams(_bookmark(8), then="hang")]) as (informer, _heard, _fake):
        await asyncio.wait_for(informer.synced.wait(), 10)
        assert informer.last_progress >= started


async def test_a_listing_that_fails_is_tried_again_until_it_succeeds() -> None:
    listings = [says({}, 403), says({}, 404), _listing(7, _object("a", 3))]
    async with _informed(listings, [streams(then="hang")]) as (informer, heard, _):
        await asyncio.wait_for(informer.synced.wait(), 10)
        assert heard.lines == ["seen a u 3"]


async def test_an_informer_asks_for_its_labels_only() -> None:
    async with fake_api() as fake, Kubernetes(fake.configuration()) as api:
        fake.answers, fake.watches = [_listing(7)], [streams(then="hang")]
        heard = Heard()
        informer = Informer(
            api, SECRET, seen=heard.seen, gone=heard.gone, labels={"a.example/b": "c"}, namespace="n"
        )
        running = asyncio.create_task(informer.run())
        async with asyncio.timeout(10):
            while len(fake.asked) < 2:  # noqa: ASYNC110 - the server's side has no event
                await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.wait((running,))
        assert all(
            "labelSelector=a.example%2Fb%3Dc" in path or "labelSelector=a.example/b%3Dc" in path
            for _, path in fake.asked
        )
        assert all(path.startswith("/api/v1/namespaces/n/secrets?") for _, path in fake.asked)
