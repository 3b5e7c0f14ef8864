"""Values that no event may hold though they are JSON, and where in a body they stand.

`flawed` answers yes or no and is made to be cheap; `flaw_in_value` names the place for the answer to the caller.
Neither recurses, so that no depth of nesting can break them.
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


class Flaw(NamedTuple):
    """What is wrong, and the JSON pointer to it."""

    path: str
    reason: str


def flawed(body: dict[str, Any], max_depth: int) -> bool:
    """Tell whether a decoded body nests too deep or holds an integer too large or text with a NUL.

    Depth counts objects and arrays, as they nest in the canonical form; `{}` has depth 1.
    """
    level: list[Any] = [_sunk(value, _SINKS.get(name, 0)) for name, value in body.items()]
    depth = 1
    while level:
        containers = [value for value in level if type(value) is dict or type(value) is list]
        depth += 1
        if containers and depth > max_depth:
            return True
        if any(_unfit(value) for value in level if type(value) is str or type(value) is int):
            return True
        level = [inner for container in containers for inner in container]  # of an object: its keys
        level += [
            inner for container in containers if type(container) is dict for inner in container.values()
        ]
    return False


def _sunk(value: Any, levels: int) -> Any:
    return value if levels == 0 else [_sunk(value, levels - 1)]


def _unfit(value: str | int) -> bool:
    return "\0" in value if isinstance(value, str) else not MIN_INTEGER <= value <= MAX_INTEGER


def flaw_in_value(body: dict[str, Any], max_depth: int) -> Flaw | None:
    """Return the first flaw of a body that is `flawed`, in the order of its text."""
    for path, depth, value in _values(body):
        if isinstance(value, (dict, list)):
            reason = too_deep(max_depth) if depth > max_depth else None
        elif isinstance(value, str):
            reason = reason_against_text(value)
        else:
            reason = reason_against_integer(value) if isinstance(value, int) else None
        if reason is not None:
            return Flaw(_pointer(path), reason)
    return None


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
