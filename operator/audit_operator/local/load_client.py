"""The HTTP calls of `load`: batches that are sent until they are settled, and pages read back."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import msgspec

from audit_operator.local.endpoints import Endpoint
from audit_operator.local.errors import CannotRun
from audit_operator.local.load_events import Event

PATIENCE_SECONDS: Final = 60.0
_ANSWER_SECONDS: Final = 30.0
_LONGEST_PAUSE_SECONDS: Final = 5.0
_LATER: Final = frozenset({429, 503})
_LOGS: Final = "/api/v1/audit/logs"


class Result(msgspec.Struct, frozen=True):
    """What became of one event of a batch."""

    index: int
    status: int
    error: Any = None


class _Batch(msgspec.Struct, frozen=True):
    results: list[Result]


class _Page(msgspec.Struct, frozen=True):
    logs: list[dict[str, Any]]
    next_cursor: str | None


class Caller:
    """A tenant's endpoint, over one connection that is opened again when it breaks."""

    def __init__(self, endpoint: Endpoint) -> None:
        address = urlsplit(endpoint.url)
        self._connection = http.client.HTTPConnection(
            address.hostname or "", address.port, timeout=_ANSWER_SECONDS
        )
        self._headers = {"Authorization": f"Bearer {endpoint.key}", "Content-Type": "application/json"}

    def post(self, events: Sequence[Event]) -> list[Result]:
        """Post a batch and return a final result for each event, in order.

        What is refused for now (429, 503) or not answered is sent again with the same ids, which adds nothing twice.
        Raises CannotRun when the endpoint stays away.
        """
        final: dict[int, Result] = {}
        open_ones = list(range(len(events)))
        deadline, pause = time.monotonic() + PATIENCE_SECONDS, 0.1
        while open_ones:
            results, advised = self._post_once([events[index] for index in open_ones])
            settled = {
                open_ones[each.index]: msgspec.structs.replace(each, index=open_ones[each.index])
                for each in results
                if each.status not in _LATER
            }
            final |= settled
            open_ones = [index for index in open_ones if index not in settled]
            if settled:
                deadline, pause = time.monotonic() + PATIENCE_SECONDS, 0.1
            if open_ones:
                if time.monotonic() > deadline:
                    raise CannotRun("the endpoint takes no events", "see functions.log in the state folder")
                time.sleep(min(advised or pause, _LONGEST_PAUSE_SECONDS))
                pause *= 2
        return [final[index] for index in range(len(events))]

    def newest(self) -> Iterator[dict[str, Any]]:
        """Yield the tenant's events, newest first, page by page."""
        cursor: str | None = None
        while True:
            query = {"limit": "1000"} | ({"cursor": cursor} if cursor else {})
            status, _, body = self._request("GET", f"{_LOGS}?{urlencode(query)}", None)
            if status != http.client.OK:
                raise CannotRun(
                    f"reading back was answered {status}", "see functions.log in the state folder"
                )
            page = msgspec.json.decode(body, type=_Page)
            yield from page.logs
            cursor = page.next_cursor
            if cursor is None:
                return

    def _post_once(self, events: Sequence[Event]) -> tuple[list[Result], float]:
        """Return the results that there are, and how long to wait for the others."""
        body = msgspec.json.encode({"logs": events})
        try:
            status, retry_after, answer = self._request("POST", f"{_LOGS}/batch", body)
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return [], 0.0
        if status in _LATER and b'"results"' not in answer:
            return [], retry_after
        try:
            return msgspec.json.decode(answer, type=_Batch).results, retry_after
        except msgspec.DecodeError as error:
            text = answer[:200].decode("utf-8", "replace")
            raise CannotRun(f"the batch was answered {status}: {text}", "is it this release?") from error

    def _request(self, method: str, path: str, body: bytes | None) -> tuple[int, float, bytes]:
        headers = self._headers | ({"Prefer": "wait=committed"} if body else {})
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        return answer.status, _seconds(answer.headers.get("Retry-After")), answer.read()


def _seconds(header: str | None) -> float:
    return float(header) if header is not None and header.isdecimal() else 0.0
