from __future__ import annotations

from pathlib import Path

import pytest

from audit_operator.clients.migrations import (
    Applied,
    Migration,
    MigrationChanged,
    Phase,
    Scope,
    due,
    read_migrations,
)


def _files(*names: str) -> tuple[Migration, ...]:
    return tuple(
        Migration(number=n, name=name, phase=Phase.POST if "_post_" in name else Phase.PRE, text=f"-- {name}")
        for n, name in enumerate(names, start=1)
    )


def _scope(*names: str) -> Scope:
    return Scope(schema="shard_a", migrations=_files(*names), names={})


def _had(scope: Scope, count: int) -> list[Applied]:
    return [Applied(number=f.number, name=f.name, sha256=f.sha256) for f in scope.migrations[:count]]


def _next(scope: Scope, had: int, phase: Phase) -> str | None:
    file = due(scope, _had(scope, had), phase)
    return None if file is None else file.name


def test_files_come_one_after_the_other_and_then_none() -> None:
    scope = _scope("0001_a.sql", "0002_b.sql")
    assert [_next(scope, had, Phase.POST) for had in range(3)] == ["0001_a.sql", "0002_b.sql", None]


def test_what_the_former_release_needs_stays_until_the_functions_are_replaced() -> None:
    scope = _scope("0001_a.sql", "0002_pre_b.sql", "0003_post_b.sql")
    assert _next(scope, 1, Phase.PRE) == "0002_pre_b.sql"
    assert _next(scope, 2, Phase.PRE) is None
    assert _next(scope, 2, Phase.POST) == "0003_post_b.sql"


def test_the_end_of_a_former_change_comes_before_the_next_change() -> None:
    scope = _scope("0001_a.sql", "0002_post_a.sql", "0003_pre_b.sql")
    assert _next(scope, 1, Phase.PRE) == "0002_post_a.sql"


def test_what_a_newer_release_has_applied_is_left_alone() -> None:
    newer = _scope("0001_a.sql", "0002_b.sql")
    assert due(_scope("0001_a.sql"), _had(newer, 2), Phase.POST) is None


def test_a_changed_file_is_named() -> None:
    scope = _scope("0001_a.sql", "0002_b.sql")
    applied = [Applied(number=1, name="0001_a.sql", sha256=bytes(32))]
    with pytest.raises(MigrationChanged) as raised:
        due(scope, applied, Phase.POST)
    assert raised.value.fields() == {"schema": "shard_a", "name": "0001_a.sql"}


def test_a_renamed_file_is_a_changed_one() -> None:
    applied = _had(_scope("0001_a.sql"), 1)
    with pytest.raises(MigrationChanged):
        due(_scope("0001_other.sql"), applied, Phase.POST)


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["0001_a.sql", "0003_b.sql"], "0003_b.sql should be number 2"),
        (["0001_a.sql", "0001_b.sql"], "0001_b.sql should be number 2"),
        (["0000_a.sql"], "should be number 1"),
        (["1_a.sql"], "not a migration's name"),
        (["0001_A.sql"], "not a migration's name"),
    ],
)
def test_a_folder_with_a_gap_or_a_strange_name_is_refused(
    tmp_path: Path, names: list[str], reason: str
) -> None:
    for name in names:
        (tmp_path / name).write_text("SELECT 1")
    with pytest.raises(ValueError, match=reason):
        read_migrations(tmp_path)


def test_the_mark_in_a_files_name_is_its_phase(tmp_path: Path) -> None:
    for name in ("0001_a.sql", "0002_pre_b.sql", "0003_post_b.sql"):
        (tmp_path / name).write_text("SELECT 1")
    assert [file.phase for file in read_migrations(tmp_path)] == [Phase.PRE, Phase.PRE, Phase.POST]
