"""SQL kept in files: named statements, and names put into text that PostgreSQL cannot take as parameters.

A file holds blocks that start with `-- name: insert_events`. Schemas and roles stand in them as `{schema}`; only
plain identifiers are ever put in, so that no text from outside can become SQL.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_HEADER: Final = re.compile(r"^-- name: *(.*?) *$", re.MULTILINE)
_NAME: Final = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)
_IDENTIFIER: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}", re.ASCII)
_PLACE: Final = re.compile(r"\{([a-z_]+)\}", re.ASCII)


def statements(text: str) -> dict[str, str]:
    """Return the statements of a file by name, comments included. Raises ValueError on a malformed file."""
    preamble, *blocks = _HEADER.split(text)
    if _code(preamble):
        raise ValueError("a statement stands before the first '-- name:'")
    found: dict[str, str] = {}
    for name, body in zip(blocks[::2], blocks[1::2], strict=True):
        if _NAME.fullmatch(name) is None:
            raise ValueError(f"not a statement name: {name!r}")
        if name in found:
            raise ValueError(f"two statements are named {name}")
        if not _code(body):
            raise ValueError(f"statement {name} is empty")
        found[name] = body.strip()
    return found


def rendered(text: str, names: Mapping[str, str]) -> str:
    """Return `text` with each `{place}` replaced by the identifier of that name.

    Raises ValueError for a place without a name and for a name that is not a plain identifier; names that the
    text does not use are ignored.
    """

    def identifier(place: re.Match[str]) -> str:
        name = names.get(place[1])
        if name is None:
            raise ValueError(f"no name given for {place[0]}")
        if _IDENTIFIER.fullmatch(name) is None:
            raise ValueError(f"not a plain identifier for {place[0]}: {name!r}")
        return name

    return _PLACE.sub(identifier, text)


def _code(text: str) -> str:
    return "".join(line for line in text.splitlines() if not line.lstrip().startswith("--")).strip()
