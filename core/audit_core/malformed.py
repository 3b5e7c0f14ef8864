"""Text that does not decode as JSON, read token by token to name the place of its first flaw.

The decoder says at best how many bytes it got; a caller needs the field. Nothing here decides whether a body is
accepted, and nothing recurses.
"""

from __future__ import annotations

import json
import math
import re
from typing import Final

from audit_core.flaws import Flaw, reason_against_integer, reason_against_text, too_deep
from audit_core.pointers import pointer

_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{},:]|[^\s"\[\]{},:]+', re.DOTALL)
_NUMBER: Final = re.compile(r"-?(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", re.ASCII)
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_INT64_CHARS: Final = 20


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
        self.key_next = word == "," and isinstance(current, str)
        if word == ",":
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
        text = json.loads(word)
    except ValueError:
        return "text that is not a JSON string"
    return "text with half of a surrogate pair" if _SURROGATE.search(text) else reason_against_text(text)


def _reason_against_number(word: str) -> str | None:
    match = _NUMBER.fullmatch(word)
    if match is None:
        return "not a JSON value"
    if match[1] or match[2]:
        return "a number beyond the range of a 64-bit float" if math.isinf(float(word)) else None
    return reason_against_integer(int(word[: _INT64_CHARS + 1]))
