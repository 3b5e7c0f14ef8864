"""Values that no event may hold, and where in a body they stand.

`flawed` answers yes or no and is made to be cheap; `flaw_in_value` walks a decoded body, `flaw_in_text` reads text
that does not decode, token by token, and both name the place for the answer to the caller. None of them recurses.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple, TypeAlias

from audit_core.pointers import pointer
from audit_core.schema import MAX_INTEGER, MIN_INTEGER

# A path as a linked list from the leaf up, so that the walk does not copy a tuple for every value.
_Path: TypeAlias = "tuple[_Path, str | int] | None"

# Aliases whose value ends up deeper in the canonical form than where it was sent.
_SINKS: Final = {"target": 1, "old": 2, "new": 2}

_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{},:]|[^\s"\[\]{},:]+', re.DOTALL)
_NUMBER: Final = re.compile(r"-?(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", re.ASCII)
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_INT64_DIGITS: Final = 20


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
            reason = _reason_against_text(value)
        else:
            reason = _reason_against_integer(value) if isinstance(value, int) else None
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


def _reason_against_text(text: str) -> str | None:
    if "\0" in text:
        return "text with a NUL character"
    return "text with half of a surrogate pair" if _SURROGATE.search(text) else None


def _reason_against_integer(value: int) -> str | None:
    fits = MIN_INTEGER <= value <= MAX_INTEGER
    return None if fits else "an integer beyond the range of 64 bits"


def flaw_in_text(text: str, max_depth: int, max_chars: int) -> Flaw | None:
    """Return the first flaw of a text that is meant to be JSON, if it is one that has a place.

    Undecodable bytes are expected as lone surrogates (`errors="surrogateescape"`). None means that the text is
    malformed in another way, or that its first `max_chars` characters are in order.
    """
    place = _Place()
    for token in _TOKEN.finditer(text):
        word = token[0]
        if token.start() >= max_chars:
            return None
        if word in ("{", "["):
            if len(place.path) == max_depth:
                return Flaw(pointer(place.path), too_deep(max_depth))
            place.enter(word)
        elif word in ("}", "]", ","):
            if not place.path:
                return None
            place.go_on(word)
        elif word != ":":
            place.take(word)
            reason = _reason_against_word(word)
            if reason is not None:
                return Flaw(pointer(place.path), reason)
    return None


class _Place:
    """Where a reader of tokens stands: per open container the current key or index."""

    __slots__ = ("key_next", "path")

    def __init__(self) -> None:
        self.path: list[str | int] = []
        self.key_next = False

    def enter(self, bracket: str) -> None:
        self.key_next = bracket == "{"
        self.path.append("" if self.key_next else 0)

    def go_on(self, word: str) -> None:
        current = self.path.pop()
        if word == ",":
            self.key_next = isinstance(current, str)
            self.path.append(current if isinstance(current, str) else current + 1)

    def take(self, word: str) -> None:
        if self.key_next:
            self.path[-1], self.key_next = _key(word), False


def _key(word: str) -> str:
    try:
        return str(json.loads(word, strict=False))
    except ValueError:
        return word.strip('"')


def _reason_against_word(word: str) -> str | None:
    if word[0] != '"':
        return None if word in ("true", "false", "null") else _reason_against_number(word)
    if _SURROGATE.search(word):
        return "bytes that are not UTF-8"
    try:
        return _reason_against_text(json.loads(word))
    except ValueError:
        return "text that is not a JSON string"


def _reason_against_number(word: str) -> str | None:
    match = _NUMBER.fullmatch(word)
    if match is None:
        return "not a JSON value"
    if match[1] or match[2]:
        return "a number beyond the range of a 64-bit float" if math.isinf(float(word)) else None
    return _reason_against_integer(int(word[: _INT64_DIGITS + 1]))
