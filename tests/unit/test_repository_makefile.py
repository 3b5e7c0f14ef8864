"""`make help` is the front door: every target says what it does, and those that users type exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_TARGET = re.compile(r"^([a-z][a-z-]*):(?!=)(.*)$", re.MULTILINE)
_TYPED_BY_USERS = {
    "help", "up", "down", "clean", "load", "test", "lint", "format", "type-check", "check", "generate", "bench",
    "db-migrate", "db-reset", "db-seed",
}  # fmt: skip


def _targets() -> dict[str, str]:
    return dict(_TARGET.findall((ROOT / "Makefile").read_text()))


def test_every_target_says_what_it_does() -> None:
    assert [name for name, rest in _targets().items() if not re.search(r" ## \S", rest)] == []


def test_the_targets_that_users_type_exist() -> None:
    assert _TYPED_BY_USERS - _targets().keys() == set()


def test_no_target_is_mistaken_for_a_file_of_its_name() -> None:
    phony = set(
        " ".join(re.findall(r"^\.PHONY:(.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)).split()
    )
    assert _targets().keys() - phony == set()


def test_make_alone_lists_every_target() -> None:
    listed = subprocess.run(["make", "-C", str(ROOT)], check=True, capture_output=True, text=True).stdout
    assert set(re.findall(r"^  ([a-z-]+)", listed, re.MULTILINE)) == _targets().keys()


@pytest.mark.parametrize("confirmation", ["", "no", "YES please"])
def test_db_reset_asks_before_it_deletes(confirmation: str) -> None:
    """The guard alone is run: what stands before it in the recipe, and the reset behind it, are not."""
    commands = subprocess.run(
        ["make", "-C", str(ROOT), "--dry-run", "--assume-old=.local", "db-reset", f"CONFIRM={confirmation}"],
        check=True, capture_output=True, text=True,
    ).stdout.splitlines()  # fmt: skip
    guard = next(line for line in commands if "CONFIRM=yes" in line)
    assert commands.index(guard) < next(at for at, line in enumerate(commands) if line.endswith(" reset"))
    assert subprocess.run(["bash", "-c", guard], check=False, capture_output=True).returncode == 2


def test_ci_runs_the_command_that_the_readme_names_and_runs_it_last() -> None:
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    assert lines[-1] == "exec make test"


def test_the_readme_opens_with_the_two_commands() -> None:
    readme = (ROOT / "README.md").read_text()
    first_block = readme.split("```")[1]
    assert re.findall(r"^make \S+", first_block, re.MULTILINE) == ["make up", "make test"]
