"""The corpus of bad bodies over a real socket: each is refused at the right place, and its valid neighbours are kept."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.bad_bodies import BadBody, bad_bodies
from tests.support.functions import ServedIngest

PATHS = {"single": "", "batch": "/batch", "ndjson": "/batch"}


def pointer_of(problem: dict[str, Any]) -> str | None:
    """Return where a problem says the flaw is."""
    path = problem.get("path")
    assert path is None or isinstance(path, str)
    return path


@pytest.mark.parametrize("bad", bad_bodies(), ids=lambda bad: bad.file)
async def test_a_bad_body_is_refused_where_it_is_bad(served_ingest: ServedIngest, bad: BadBody) -> None:
    headers = {"Content_Type": bad.content_type}
    if bad.content_encoding is not None:
        headers["Content_Encoding"] = bad.content_encoding
    answer = await served_ingest.post(bad.body, PATHS[bad.endpoint], **headers)

    assert 200 <= answer.status < 500, answer.body
    if bad.statuses:
        assert answer.status in bad.statuses, answer.body
    if bad.pointer is not None:
        assert pointer_of(answer.json) == bad.pointer
    refused = {}
    if bad.endpoint == "batch" and answer.status in (202, 422) and "results" in answer.json:
        refused = {item["index"]: item for item in answer.json["results"] if "error" in item}
    if bad.endpoint == "ndjson":
        refused = {item["line"] - 1: item for line in answer.lines for item in line["rejected"]}
    assert {item.index: item.status for item in bad.items} == {
        index: item["status"] for index, item in refused.items()
    }
    for item in bad.items:
        if item.pointer is not None:
            assert pointer_of(refused[item.index]["error"]) == item.pointer
    if bad.kept:
        stored = await served_ingest.shard.bodies()
        assert set(bad.kept) <= stored.keys()


async def test_no_bad_body_left_a_trace_in_the_log(served_ingest: ServedIngest) -> None:
    log = served_ingest.process.log()
    assert "Traceback" not in log
    assert '"level": "error"' not in log
