"""The checker of the fault tests sees each kind of broken promise."""

from __future__ import annotations

from pathlib import Path

from tests.support.journal import Journal, Verdict


def _verdict(folder: Path, sent: str, acknowledged: str, stored: str) -> Verdict:
    with Journal(folder / "journal") as journal:
        for marker in sent:
            journal.sent(marker)
        for marker in acknowledged:
            journal.acknowledged(marker)
        return journal.verdict(list(stored))


def test_everything_acknowledged_and_stored_once_is_kept(tmp_path: Path) -> None:
    verdict = _verdict(tmp_path, "abc", "ab", "abc")
    assert verdict.kept
    assert (verdict.sent, verdict.acknowledged, verdict.stored, verdict.unknown_stored) == (3, 2, 3, 1)


def test_an_acknowledged_event_that_is_not_stored_is_lost(tmp_path: Path) -> None:
    verdict = _verdict(tmp_path, "abc", "ab", "ac")
    assert (verdict.kept, verdict.lost) == (False, frozenset({"b"}))


def test_an_event_stored_twice_is_repeated(tmp_path: Path) -> None:
    verdict = _verdict(tmp_path, "ab", "ab", "abb")
    assert (verdict.kept, verdict.repeated) == (False, frozenset({"b"}))


def test_an_event_that_nobody_sent_is_a_phantom(tmp_path: Path) -> None:
    verdict = _verdict(tmp_path, "a", "a", "ax")
    assert (verdict.kept, verdict.phantom) == (False, frozenset({"x"}))
