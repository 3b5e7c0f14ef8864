"""`requirements/install` makes an environment once, again when a lock file changes, and says what it lacks.

Run in a copy, with a stand-in for python3 that writes down what it is asked for: downloads are not the point here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_TOOLS = ("bash", "env", "dirname", "cat", "sha256sum", "cut", "grep", "awk", "cp", "mkdir", "rm")

_PYTHON = """#!/usr/bin/env bash
echo "$*" >>"$CALLS"
case "$*" in
    --version) echo "Python 3.11.2" ;;
    "-m venv --clear .venv") rm -rf .venv && mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
    *"$REFUSED"*) exit 1 ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Copy what the script reads, and put its tools and a python3 into `bin`."""
    folder = tmp_path / "checkout"
    shutil.copytree(ROOT / "requirements", folder / "requirements")
    shutil.copy(ROOT / "pyproject.toml", folder)
    (tmp_path / "bin").mkdir()
    for tool in _TOOLS:
        found = shutil.which(tool)
        assert found
        (tmp_path / "bin" / tool).symlink_to(found)
    python = tmp_path / "bin" / "python3"
    python.write_text(_PYTHON)
    python.chmod(0o755)
    return folder


def _install(folder: Path, *, refused: str = "nothing is refused") -> tuple[int, str, list[str]]:
    """Run the script; return its exit code, what it said, and what was asked of python."""
    calls = folder.with_name("calls")
    calls.write_text("")
    done = subprocess.run(
        [folder / "requirements" / "install", "dev"],
        env={"PATH": str(folder.with_name("bin")), "CALLS": str(calls), "REFUSED": refused},
        check=False,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stderr, calls.read_text().splitlines()


def test_the_packages_are_installed_by_hash_and_nothing_is_built_that_was_not_locked(checkout: Path) -> None:
    code, _, calls = _install(checkout)
    installs = [call for call in calls if " install " in call]
    assert code == 0
    assert [call.split()[-1] for call in installs] == ["requirements/build.txt", "requirements/dev.txt", "."]
    assert all("--no-build-isolation" in call for call in installs)
    assert all("--require-hashes" in call for call in installs[:2])
    assert "--no-deps" in installs[2]


def test_an_environment_that_holds_the_lock_file_is_left_alone(checkout: Path) -> None:
    _install(checkout)
    assert _install(checkout) == (0, "", [])


def test_a_changed_lock_file_is_installed_into_the_same_environment(checkout: Path) -> None:
    _install(checkout)
    with (checkout / "requirements" / "dev.txt").open("a") as lock:
        lock.write("\n")
    _, _, calls = _install(checkout)
    assert "-m venv --clear .venv" not in calls
    assert any(call.endswith("requirements/dev.txt") for call in calls)


def test_an_environment_that_was_moved_is_made_anew(checkout: Path) -> None:
    _install(checkout)
    moved = checkout.rename(checkout.with_name("moved"))
    assert "-m venv --clear .venv" in _install(moved)[2]


def test_an_installation_that_fails_is_tried_again(checkout: Path) -> None:
    assert _install(checkout, refused="requirements/dev.txt")[0] != 0
    assert any(call.endswith("requirements/dev.txt") for call in _install(checkout)[2])


@pytest.mark.parametrize(
    ("refused", "said"),
    [("version_info", "Python 3.11 or newer is needed"), ("ensurepip, venv", "install python3-venv")],
)
def test_what_python_lacks_is_said(checkout: Path, refused: str, said: str) -> None:
    code, message, _ = _install(checkout, refused=refused)
    assert code == 1
    assert said in message


def test_a_missing_python_is_said(checkout: Path) -> None:
    (checkout.parent / "bin" / "python3").unlink()
    code, message, _ = _install(checkout)
    assert code == 1
    assert "python3 is missing" in message


def test_the_scripts_can_be_run() -> None:
    assert all(
        os.access(ROOT / path, os.X_OK) for path in ("requirements/install", "requirements/lock", ".ci/run")
    )
