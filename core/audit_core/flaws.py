"""Values that no event may hold though they are JSON, and where in a body they stand.

Two cheap questions answer yes or no; `flaw_in_value` names the place for the answer to the caller. None of them
recurses, so that no depth of nesting can break them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple, TypeAlias

from audit_core.pointers import pointer
from audit_core.schema import MAX_INTEGER, MIN_INTEGER

# A path as a linked list from the leaf up, so that the walk does not copy a tuple for every value.
_Path: TypeAlias = "tuple[_Path, str | int] | None"

# Aliases whose value ends up deeper in the canonical form than where it was sent.
_SINKS: Final = {"target": 1, "old": 2, "new": 2}
_CONTAINERS: Final = frozenset((dict, list))


class Flaw(NamedTuple):
    """What is wrong, and the JSON pointer to it."""

    path: str
    reason: str


def nests_deeper(body: dict[str, Any], max_depth: int) -> bool:
    """Tell whether objects and arrays nest deeper in the canonical form of a decoded body; `{}` has depth 1."""
    level: list[Any] = [_sunk(value, _SINKS.get(name, 0)) for name, value in body.items()]
    for _ in range(max_depth - 1):
        level = [
            inner
            for outer in level
            if type(outer) in _CONTAINERS
            for inner in (outer.values() if type(outer) is dict else outer)
        ]
    return any(type(value) in _CONTAINERS for value in level)


def _sunk(value: Any, levels: int) -> Any:
    return value if levels == 0 else [_sunk(value, levels - 1)]


def holds_unfit(body: dict[str, Any]) -> bool:
    """Tell whether a decoded body holds an integer beyond 64 bits, or a NUL in a text or a key."""
    pending: list[Any] = [body]
    while pending:
        value = pending.pop()
        kind = type(value)
        if kind is dict:
            pending += value
            pending += value.values()
        elif kind is list:
            pending += value
        elif (kind is str and "\0" in value) or (kind is int and not MIN_INTEGER <= value <= MAX_INTEGER):
            return True
    return False


def flaw_in_value(body: dict[str, Any], max_depth: int) -> Flaw:
    """Return the first of these flaws, in the order of the body's text. Raises ValueError where there is none."""
    for path, depth, value in _values(body):
        if isinstance(value, (dict, list)):
            reason = too_deep(max_depth) if depth > max_depth else None
        elif isinstance(value, str):
            reason = reason_against_text(value)
        else:
            reason = reason_against_integer(value) if isinstance(value, int) else None
        if reason is not None:
            return Flaw(_pointer(path), reason)
    raise ValueError("the body has no flaw")


def _values(body: dict[str, Any]) -> Iterator[tuple[_Path, int, Any]]:
    """Yield every key and value with its path; a container's depth counts itself."""
    pending: list[tuple[_Path, int, Any]] = [
        ((None, name), 2 + _SINKS.get(name, 0), value) for name, value in reversed(body.items())
    ]
    while pending:
        path, depth, value = pending.pop()
        yield path, depth, value
        if isinstance(value, dict):
            for key in value:
                yield (path, key), depth, key
            pending += [((path, key), depth + 1, inner) for key, inner in reversed(value.items())]
        elif isinstance(value, list):
            pending += [((path, at), depth + 1, value[at]) for at in range(len(value) - 1, -1, -1)]


def _pointer(path: _Path) -> str:
    parts: list[str | int] = []
    while path is not None:
        path, part = path
        parts.append(part)
    return pointer(reversed(parts))


def too_deep(max_depth: int) -> str:
    """Return the reason against a body that nests too deep."""
    return f"nested deeper than {max_depth} levels"


def reason_against_text(text: str) -> str | None:
    """Return why no event may hold a text, if so."""
    return "text with a NUL character" if "\0" in text else None


def reason_against_integer(value: int) -> str | None:
    """Return why no event may hold an integer, if so."""
    fits = MIN_INTEGER <= value <= MAX_INTEGER
    return None if fits else "an integer beyond the range of 64 bits"
