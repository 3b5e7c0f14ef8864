"""Every body of the corpus is refused with the place that is to blame, and leaves its neighbours alone."""

from __future__ import annotations

import pytest

from audit_core.errors import EventTooLarge, InvalidEvent
from tests.support.bad_bodies import CORPUS, BadBody, bad_bodies, entries_of, ids_in, inflated
from tests.support.events import taken

BODIES = bad_bodies()
FOREIGN_TENANT = 403
"""Whose event it is, the caller's credential decides; the event itself is in order."""

SINGLE = [
    bad
    for bad in BODIES
    if bad.endpoint == "single" and bad.content_encoding is None and bad.content_type == "application/json"
]
WITH_NEIGHBOURS = [bad for bad in BODIES if bad.items]


def refusal(body: bytes) -> tuple[int, str] | None:
    """Return the status and the pointer with which a body is refused, None when it is accepted."""
    match taken(body):
        case InvalidEvent(path=path):
            return 422, path
        case EventTooLarge(path=path):
            return 413, path
        case _:
            return None


@pytest.mark.parametrize("bad", SINGLE, ids=lambda bad: bad.file)
def test_a_bad_body_is_refused_at_the_field_to_blame(bad: BadBody) -> None:
    found = refusal(bad.body)
    assert found is not None
    assert found[0] in bad.statuses
    if bad.pointer is not None:
        assert found[1] == bad.pointer


@pytest.mark.parametrize("bad", WITH_NEIGHBOURS, ids=lambda bad: bad.file)
def test_bad_entries_are_refused_and_their_neighbours_are_not(bad: BadBody) -> None:
    expected = {
        item.index: (item.status, item.pointer) for item in bad.items if item.status != FOREIGN_TENANT
    }
    found = {index: at for index, entry in enumerate(entries_of(bad)) if (at := refusal(entry)) is not None}
    assert found == expected


@pytest.mark.parametrize("bad", WITH_NEIGHBOURS, ids=lambda bad: bad.file)
def test_the_manifest_names_every_valid_neighbour(bad: BadBody) -> None:
    refused = {item.index for item in bad.items}
    assert bad.kept == [event_id for index, event_id in ids_in(bad).items() if index not in refused]


def test_the_manifest_lists_every_file_once() -> None:
    listed = [bad.file for bad in BODIES]
    assert sorted(listed) == sorted(path.name for path in CORPUS.iterdir() if path.name != "manifest.yaml")


def test_the_corpus_covers_what_was_promised() -> None:
    assert len(SINGLE) >= 130
    for subject in (
        "depth",
        "nan",
        "surrogate",
        "nul",
        "unknown-field",
        "contradiction",
        "integer",
        "wrong-type",
    ):
        assert any(subject in bad.file for bad in SINGLE), subject
    for subject in ("bomb", "gzip-cut", "zstd-cut", "batch-empty", "media-type"):
        assert any(subject in bad.file for bad in BODIES), subject


@pytest.mark.parametrize(
    "bad",
    [bad for bad in BODIES if bad.content_encoding and bad.pointer is not None],
    ids=lambda bad: bad.file,
)
def test_a_compressed_bad_body_is_refused_like_a_plain_one(bad: BadBody) -> None:
    plain = b"".join(inflated(bad))
    assert refusal(plain) == (bad.statuses[0], bad.pointer)


@pytest.mark.parametrize("bad", [bad for bad in BODIES if "bomb" in bad.file], ids=lambda bad: bad.file)
def test_a_bomb_is_small_until_it_is_inflated(bad: BadBody) -> None:
    assert len(bad.body) < 256 * 1024
    assert sum(map(len, inflated(bad))) > 200_000_000
