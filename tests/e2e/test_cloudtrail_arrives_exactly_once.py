"""Real input, whole way: 2,175 CloudTrail records through HTTP, stream and writer into the database and out again."""

from __future__ import annotations

import http.client
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from audit_core.mappings.cloudtrail import cloudtrail_event
from tests.support.independent_encoder import independently_encoded
from tests.support.running import RunningStack, running_stack

RECORDS = Path(__file__).parents[3] / "shared" / "data" / "cloudtrail-2023.ndjson"

pytestmark = pytest.mark.skipif(
    not RECORDS.exists(), reason=f"no CloudTrail records at {RECORDS}: a plain clone has none"
)


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[RunningStack]:
    async with running_stack(tmp_path) as running:
        yield running


class Caller:
    """A plain blocking HTTP client, as a script would be."""

    def __init__(self, stack: RunningStack) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=60)
        self._headers = {"Authorization": f"Bearer {stack.key('acme')}"}

    def close(self) -> None:
        self._connection.close()

    def post(self, body: bytes, content_type: str, **headers: str) -> tuple[int, bytes]:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        self._connection.request(
            "POST", "/api/v1/audit/logs/batch", body, {**self._headers, "Content-Type": content_type, **given}
        )
        answer = self._connection.getresponse()
        return answer.status, answer.read()

    def pages(self) -> Iterator[dict[str, Any]]:
        """Read the whole log, oldest first."""
        cursor = ""
        while True:
            self._connection.request(
                "GET", f"/api/v1/audit/logs?order=asc&limit=1000{cursor}", headers=self._headers
            )
            page = json.loads(self._connection.getresponse().read())
            yield from page["logs"]
            if page["next_cursor"] is None:
                return
            cursor = f"&cursor={quote(page['next_cursor'])}"


@pytest.fixture
def caller(stack: RunningStack) -> Iterator[Caller]:
    made = Caller(stack)
    yield made
    made.close()


async def test_all_records_arrive_once_in_file_order_with_their_exact_bytes(
    stack: RunningStack, caller: Caller
) -> None:
    events = [cloudtrail_event(json.loads(line)) for line in RECORDS.read_text().splitlines()]
    lines = b"".join(json.dumps(event).encode() + b"\n" for event in events)
    status, answer = caller.post(lines, "application/x-ndjson")
    chunks = [json.loads(line) for line in answer.splitlines()]
    assert status in (200, 202)
    assert sum(chunk["accepted"] for chunk in chunks) == len(events) == 2175
    assert not any(chunk["rejected"] for chunk in chunks)
    await stack.drained("acme")

    async with stack.database() as connection:
        stored = await connection.fetch(
            f"SELECT id, body, sequence FROM {stack.schema('acme')}.event WHERE kind = 1 ORDER BY received_at, sequence"
        )
    assert [row["id"] for row in stored] == [event["id"] for event in events]
    assert [row["sequence"] for row in stored] == list(range(len(events)))
    assert [row["body"].encode() for row in stored] == [independently_encoded(event) for event in events]

    read = list(caller.pages())
    assert [event["id"] for event in read] == [event["id"] for event in events]
    assert [event["event_type"] for event in read] == [event["event_type"] for event in events]

    again, answer = caller.post(lines, "application/x-ndjson")
    assert again == status
    assert not any(json.loads(line)["rejected"] for line in answer.splitlines())
    batch = json.dumps({"logs": events[:50]}).encode()
    _, answer = caller.post(batch, "application/json", Prefer="wait=committed")
    results = json.loads(answer)["results"]
    assert [(result["status"], result["duplicate"], result["sequence"]) for result in results] == [
        (200, True, sequence) for sequence in range(50)
    ]
    await stack.drained("acme")
    assert await stack.count("acme") == len(events)
