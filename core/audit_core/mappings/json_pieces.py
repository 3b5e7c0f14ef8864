"""The members of a JSON object and the items of a JSON array, each as its own bytes, whatever stands inside them.

A decoder refuses a document for one text or one depth that it does not take; here only brackets and quotes are
looked at, nothing recurses, and what is inside of a piece is the business of who reads it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import msgspec

_MARK: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[\]{},:]', re.DOTALL)
_OPEN: Final = frozenset((b"{", b"["))
_CLOSE: Final = frozenset((b"}", b"]"))


def members(text: bytes) -> dict[str, bytes]:
    """Return the members of an object by key; of a key that comes twice the last. Raises ValueError for another text."""
    if not text.lstrip().startswith(b"{"):
        raise ValueError("not an object")
    found: dict[str, bytes] = {}
    for piece in _pieces(text):
        key = _MARK.match(piece)
        if key is None or not key[0].startswith(b'"'):
            raise ValueError("a member without a key")
        rest = piece[key.end() :].lstrip()
        if not rest.startswith(b":"):
            raise ValueError("a member without a value")
        found[_key(key[0])] = rest[1:].strip()
    return found


def items(text: bytes) -> list[bytes]:
    """Return the items of an array. Raises ValueError for another text."""
    if not text.lstrip().startswith(b"["):
        raise ValueError("not an array")
    return list(_pieces(text))


def _pieces(text: bytes) -> Iterator[bytes]:
    """Yield what stands between the commas of the outermost brackets. Raises ValueError when they do not match."""
    open_with: list[bytes] = []
    start = 0
    for mark in _MARK.finditer(text):
        word = mark[0]
        if word in _OPEN:
            if not open_with:
                start = mark.end()
            open_with.append(word)
        elif word in _CLOSE:
            if not open_with or (open_with.pop() == b"{") != (word == b"}"):
                raise ValueError("brackets that do not match")
            if not open_with:
                last = text[start : mark.start()].strip()
                if last:
                    yield last
                if text[mark.end() :].strip():
                    raise ValueError("text behind the end")
                return
        elif word == b"," and len(open_with) == 1:
            yield text[start : mark.start()].strip()
            start = mark.end()
    raise ValueError("a text that is cut off")


def _key(quoted: bytes) -> str:
    try:
        return msgspec.json.decode(quoted, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return quoted[1:-1].decode("utf-8", "backslashreplace")
