"""`load`: real events into a running stack, and the count of what query gives back."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from os.path import relpath
from pathlib import Path
from random import SystemRandom
from typing import Final

import msgspec

from audit_operator.local.endpoints import Endpoint, read_endpoints
from audit_operator.local.errors import CannotRun
from audit_operator.local.load_client import Caller, Result
from audit_operator.local.load_events import RECORDS, Event, cloudtrail_events, invented_events
from audit_operator.local.lock import holder
from audit_operator.local.output import Output
from audit_operator.local.settings import LocalSettings

BATCH: Final = 200
INVENTED: Final = 2000
READ_BACK_SECONDS: Final = 60.0

_REFUSED: Final = 300
_WORDS: Final = {
    201: "stored",
    200: "there already",
    202: "accepted, not seen stored yet",
    409: "in conflict with an earlier event of that id",
}


def load(
    settings: LocalSettings, output: Output, *, tenant: str | None = None, file: Path | None = None
) -> None:
    """Post real events to the running stack and count them back."""
    name, endpoint = chosen(settings, tenant)
    events = _events(file, output)
    results = _posted(Caller(endpoint), name, events, output)
    output.say(*outcome(results))
    taken = (event for event, result in zip(events, results, strict=True) if result.status < _REFUSED)
    types = {event["id"]: event["event_type"] for event in taken}
    with output.step("reading back through query"):
        found = _read_back(Caller(endpoint), types.keys())
    output.say("", *table(Counter(types.values()), Counter(found.values())))
    if missing := len(types.keys() - found.keys()):
        raise CannotRun(f"{missing} events were not found again", "see writer.log in the state folder")


def chosen(settings: LocalSettings, tenant: str | None) -> tuple[str, Endpoint]:
    """Return the tenant to load: the one named, else the first. Raises CannotRun when nothing runs."""
    if holder(settings.state) is None:
        raise CannotRun("nothing runs here", "start it in another terminal: make up")
    try:
        tenants = read_endpoints(settings.endpoints).tenants
    except (OSError, msgspec.DecodeError) as error:
        raise CannotRun(f"{settings.endpoints} cannot be read", "wait until make up is ready") from error
    name = tenant or min(tenants, default="")
    if name not in tenants:
        raise CannotRun(f"there is no tenant {name or 'yet'}", f"choose one of: {', '.join(sorted(tenants))}")
    return name, tenants[name]


def outcome(results: Sequence[Result]) -> Iterator[str]:
    """Yield how many events ended how."""
    for status, count in sorted(Counter(result.status for result in results).items()):
        word = _WORDS.get(status, "refused")
        first = next((result for result in results if result.status == status and result.error), None)
        example = "" if first is None or status in _WORDS else f", the first for {first.error}"
        yield f"  {count:>7,} {word} ({status}){example}"


def table(posted: Mapping[str, int], found: Mapping[str, int]) -> Iterator[str]:
    """Yield counts by event type, the most frequent first."""
    width = max((len(name) for name in posted), default=0)
    width = max(width, len("event type"))
    yield f"{'event type':<{width}}  {'posted':>8}  {'found':>8}"
    for name, count in sorted(posted.items(), key=lambda each: (-each[1], each[0])):
        yield f"{name:<{width}}  {count:>8,}  {found.get(name, 0):>8,}"
    yield f"{'':<{width}}  {sum(posted.values()):>8,}  {sum(found.values()):>8,}"


def _events(file: Path | None, output: Output) -> list[Event]:
    path = file or RECORDS
    if file is not None or path.exists():
        events = cloudtrail_events(path)
        output.say(f"{len(events):,} CloudTrail records from {relpath(path)}")
        return events
    output.say(f"There are no CloudTrail records at {relpath(path)}: {INVENTED:,} invented events instead.")
    return invented_events(INVENTED, SystemRandom())


def _posted(caller: Caller, tenant: str, events: Sequence[Event], output: Output) -> list[Result]:
    results: list[Result] = []
    with output.progress(f"posting to {tenant}", len(events)) as advance:
        for start in range(0, len(events), BATCH):
            batch = events[start : start + BATCH]
            results += caller.post(batch)
            advance(len(batch))
    return results


def _read_back(caller: Caller, wanted: Collection[str]) -> dict[str, str]:
    """Return the types of the wanted events that query has, by id. What is not stored yet is waited for."""
    deadline = time.monotonic() + READ_BACK_SECONDS
    while True:
        found: dict[str, str] = {}
        for event in caller.newest():
            if event["id"] in wanted:
                found[event["id"]] = event["event_type"]
            if len(found) == len(wanted):
                return found
        if time.monotonic() > deadline:
            return found
        time.sleep(0.5)
