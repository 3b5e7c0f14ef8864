"""Why a body does not decode, in words for its sender: a JSON pointer and a reason, never a value of the body.

msgspec says where the schema is broken (``$.targets[0].id``), though not which key of a map; about text that is
no JSON it gives an offset only. Both are turned into a pointer here. A refusal may cost more than an acceptance,
but not more than one walk through a body of bounded size.
"""

from __future__ import annotations

import codecs
import re
from typing import Any, Final

import msgspec

from audit_core.aliases import CRUD, STATUSES, SentEvent
from audit_core.canonical import canonical_float
from audit_core.errors import InvalidEvent
from audit_core.flaws import too_deep
from audit_core.malformed import flaw_in_text
from audit_core.pointers import pointer
from audit_core.schema import (
    ACTOR_TYPES,
    CLASSIFICATIONS,
    OUTCOMES,
    SEVERITIES,
    Actor,
    Change,
    Context,
    Labels,
    Metadata,
    Part,
    Principal,
    Producer,
    Source,
    Target,
)

READ_ERRORS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""All that msgspec raises for any bytes."""

_reader: Final = msgspec.json.Decoder(float_hook=canonical_float)

_MESSAGE: Final = re.compile(r"(.*?)(?: - at (`key` in )?`\$([^`]*)`)?", re.DOTALL)
_STEP: Final = re.compile(r"\.(\w+)|\[(\d+)\]|\[\.\.\.\]")
_GOT: Final = re.compile(r"Expected `(.+)`, got `(.+)`", re.DOTALL)
_BOUND: Final = re.compile(r"Expected `(str|array|object)` of length <= (\d+)")
_RANGE: Final = re.compile(r"Expected `int` ([<>]=) (-?\d+)")
_MISSING: Final = re.compile(r"Object missing required field `(\w+)`")

_TYPE_NAMES: Final = {
    "str": "a string",
    "int": "an integer",
    "float": "a number",
    "bool": "a boolean",
    "object": "an object",
    "array": "an array",
    "null": "null",
}
_UNITS: Final = {"str": "characters", "array": "items", "object": "keys"}
_CHOICES: Final = {
    "outcome": OUTCOMES,
    "severity": SEVERITIES,
    "classification": CLASSIFICATIONS,
    "status": STATUSES,
    "crud": CRUD,
    "type": ACTOR_TYPES,
}
_ID_FORM: Final = "1 to 128 letters, digits, '.', '_', ':' or '-'"
_TYPE_FORM: Final = "a letter, followed by letters, digits, '_', '.', ':' or '-'"
_FORMS: Final = {
    "audit_id": _ID_FORM,
    "event_id": _ID_FORM,
    "event_type": _TYPE_FORM,
    "id": _ID_FORM,
    "path": "a JSON pointer",
    "span_id": "16 hexadecimal digits",
    "trace_id": "32 hexadecimal digits",
    "type": _TYPE_FORM,
}
_PARTS: Final[dict[str, type[Part]]] = {
    "actor": Actor,
    "changes": Change,
    "context": Context,
    "on_behalf_of": Principal,
    "producer": Producer,
    "source": Source,
    "target": Target,
    "targets": Target,
    "user": Actor,
}


def refused_or_reread(data: bytes, error: Exception, *, max_depth: int, max_scan_chars: int) -> SentEvent:
    """Explain one of READ_ERRORS: raise InvalidEvent with its place in the body.

    Returns the event instead when only an earlier one of duplicate keys was wrong, since the last one counts.
    """
    if not isinstance(error, msgspec.ValidationError):
        raise _malformed(data, error, max_depth, max_scan_chars)
    try:
        body = _reader.decode(data)
    except READ_ERRORS as second:
        raise _malformed(data, second, max_depth, max_scan_chars) from second
    try:
        return msgspec.convert(body, SentEvent)
    except msgspec.ValidationError as second:
        raise _misfit(str(second), body) from second
    except RecursionError as second:
        raise _malformed(data, second, max_depth, max_scan_chars) from second


def _malformed(data: bytes, error: Exception, max_depth: int, max_scan_chars: int) -> InvalidEvent:
    if not data.strip():
        return InvalidEvent("", "empty")
    if data.startswith(codecs.BOM_UTF8):
        return InvalidEvent("", "starts with a byte order mark")
    flaw = flaw_in_text(data.decode("utf-8", "surrogateescape"), max_depth, max_scan_chars)
    if flaw is not None:
        return InvalidEvent(flaw.path, flaw.reason)
    if isinstance(error, RecursionError):
        return InvalidEvent("", too_deep(max_depth))
    if isinstance(error, UnicodeDecodeError):
        return InvalidEvent("", "bytes that are not UTF-8")
    text = str(error).partition(" - at `")[0]
    return InvalidEvent("", f"not JSON: {text.removeprefix('JSON is malformed: ').lower()}")


def _misfit(message: str, body: Any) -> InvalidEvent:
    if message.startswith("Object contains unknown field"):
        return InvalidEvent(pointer(_unknown_field(body)), "unknown field")
    match = _MESSAGE.fullmatch(message)
    what, of_key, steps = match.groups() if match else (message, None, None)
    path = _path(steps or "", body, of_key=of_key is not None)
    missing = _MISSING.fullmatch(what)
    if missing:
        return InvalidEvent(pointer([*path, missing[1]]), "required")
    reason = _reason(what, str(path[-1]) if path else "")
    return InvalidEvent(pointer(path), f"its key: {reason}" if of_key else reason)


def _path(steps: str, body: Any, *, of_key: bool) -> list[str | int]:
    path: list[str | int] = []
    for step in _STEP.finditer(steps):
        name, index = step[1], step[2]
        if name is None and index is None:
            path.append(_misfit_key(path, body))
            break
        path.append(name if name is not None else int(index))
        body = body[path[-1]]
    return [*path, _misfit_key(path, body)] if of_key else path


def _misfit_key(path: list[str | int], mapping: dict[str, Any]) -> str:
    """Return the first key of a map whose entry does not fit: msgspec does not say which."""
    kind = Metadata if path[-1] == "metadata" else Labels
    for key, value in mapping.items():
        try:
            msgspec.convert({key: value}, kind)
        except msgspec.ValidationError:
            return key
    raise AssertionError("every entry of the map fits")


def _unknown_field(body: dict[str, Any]) -> list[str | int]:
    """Return the path of the first field that the schema does not have."""
    pending: list[tuple[list[str | int], Any, type[Part]]] = [([], body, SentEvent)]
    for path, part, kind in pending:
        if not isinstance(part, dict):
            continue
        for name, value in part.items():
            if name not in kind.__struct_fields__:
                return [*path, name]
            if name in _PARTS and isinstance(value, list):
                pending += [([*path, name, at], item, _PARTS[name]) for at, item in enumerate(value)]
            elif name in _PARTS:
                pending.append(([*path, name], value, _PARTS[name]))
    raise AssertionError("every field of the body is known")


def _reason(what: str, name: str) -> str:
    if match := _GOT.fullmatch(what):
        wanted = [_TYPE_NAMES.get(kind, kind) for kind in match[1].split(" | ") if kind != "null"]
        return f"must be {' or '.join(wanted)}, not {_TYPE_NAMES.get(match[2], match[2])}"
    if match := _BOUND.fullmatch(what):
        return f"more than {match[2]} {_UNITS[match[1]]}"
    if match := _RANGE.fullmatch(what):
        return f"must be {'at least' if match[1] == '>=' else 'at most'} {match[2]}"
    if what.startswith("Expected `str` matching regex"):
        return f"must be {_FORMS.get(name, 'of another form')}"
    if what.startswith("Invalid enum value"):
        return f"must be one of {', '.join(_CHOICES.get(name, ()))}"
    return "does not fit the schema"
