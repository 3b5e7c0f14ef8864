"""What a request's headers say about its body and about the answer it wants."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum
from typing import Final
from urllib.parse import parse_qsl

from audit_core.errors import InvalidQuery, UnsupportedMedia

MAX_KEY_CHARS: Final = 255
_MAX_REMEMBERED: Final = 64
_KEY_FORM: Final = re.compile(rb"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
_CHARSETS: Final = frozenset({"utf-8", "utf8", "us-ascii", "ascii"})
_ONCE: Final = frozenset(
    {
        b"authorization",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"host",
        b"idempotency-key",
        b"x-api-key",
        b"x-tenant-id",
    }
)


class Media(Enum):
    """The form of a body."""

    JSON = "application/json"
    NDJSON = "application/x-ndjson"


_NAMES: Final = {
    "application/json": Media.JSON,
    "application/x-ndjson": Media.NDJSON,
    "application/ndjson": Media.NDJSON,
    "application/jsonl": Media.NDJSON,
}
_remembered: dict[bytes, Media] = {}


def refuse_repeated(headers: Sequence[tuple[bytes, bytes]]) -> None:
    """Raise InvalidQuery when a header that decides something was sent more than once."""
    seen: set[bytes] = set()
    for name, _ in headers:
        if name in seen and name in _ONCE:
            raise InvalidQuery(name.decode("latin-1"), "sent more than once")
        seen.add(name)


def media_of(content_type: bytes | None) -> Media:
    """Return the form that a Content-Type names; without one a body counts as JSON. Raises UnsupportedMedia."""
    if content_type is None:
        return Media.JSON
    media = _remembered.get(content_type)
    if media is None:
        media = _parsed(content_type)
        if len(_remembered) < _MAX_REMEMBERED:
            _remembered[content_type] = media
    return media


def demand_json(content_type: bytes | None) -> None:
    """Raise UnsupportedMedia unless a Content-Type names one JSON document."""
    if media_of(content_type) is not Media.JSON:
        raise UnsupportedMedia("a stream of lines on this path; send it to /api/v1/audit/logs/batch")


def _parsed(content_type: bytes) -> Media:
    name, *parameters = [part.strip().lower() for part in content_type.decode("latin-1").split(";")]
    media = _NAMES.get(name)
    if media is None:
        raise UnsupportedMedia(f"content type {name[:80]!r}")
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "charset" and value.strip().strip('"') not in _CHARSETS:
            raise UnsupportedMedia(f"charset {value.strip()[:40]!r}")
    return media


def idempotency_key(header: bytes | None) -> str | None:
    """Return the Idempotency-Key. Raises InvalidQuery for one that is empty, too long or not printable ASCII."""
    if header is None:
        return None
    if len(header) > MAX_KEY_CHARS:
        raise InvalidQuery("Idempotency-Key", f"more than {MAX_KEY_CHARS} characters")
    if _KEY_FORM.fullmatch(header) is None:
        raise InvalidQuery("Idempotency-Key", "must be printable ASCII and not empty")
    return header.decode("ascii")


def wants_committed(prefer: bytes | None) -> bool:
    """Tell whether a Prefer header holds `wait=committed`. What it holds besides is a wish that is not served."""
    if prefer is None:
        return False
    wishes = (
        wish.strip().replace(b" ", b"").lower() for part in prefer.split(b",") for wish in part.split(b";")
    )
    return any(wish in (b"wait=committed", b'wait="committed"') for wish in wishes)


def is_atomic(query_string: bytes) -> bool:
    """Return the parameter `atomic`. Raises InvalidQuery for another value than true or false."""
    if not query_string:
        return False
    given = [
        value
        for name, value in parse_qsl(query_string.decode("latin-1"), keep_blank_values=True)
        if name == "atomic"
    ]
    if not given:
        return False
    if len(given) > 1 or given[0] not in ("true", "false"):
        raise InvalidQuery("atomic", "must be true or false")
    return given[0] == "true"
