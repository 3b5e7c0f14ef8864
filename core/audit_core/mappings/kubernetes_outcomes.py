"""How a request to a cluster ended, and how much that should worry somebody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_DECISION: Final = "authorization.k8s.io/decision"
_PANIC: Final = "Panic"
_DENIED_CODES: Final = frozenset({401, 403})
_FIRST_FAILURE: Final = 400
_FIRST_FAULT: Final = 500


def outcome_of(stage: str, status: Any, annotations: Any) -> str:
    """Return the outcome; `unknown` before there is a response, so for every event of the stage RequestReceived."""
    code = _code(status)
    if _decision(annotations) == "forbid" or code in _DENIED_CODES:
        return "denied"
    if stage == _PANIC:
        return "failure"
    if code is not None:
        return "failure" if code >= _FIRST_FAILURE else "success"
    stated = status.get("status") if isinstance(status, Mapping) else None
    return (
        {"Success": "success", "Failure": "failure"}.get(stated, "unknown")
        if isinstance(stated, str)
        else "unknown"
    )


def severity_of(stage: str, status: Any, outcome: str) -> str:
    """Return `error` where the server is at fault, `warning` for what was denied, `notice` for other failures."""
    code = _code(status)
    if stage == _PANIC or (code is not None and code >= _FIRST_FAULT):
        return "error"
    return {"denied": "warning", "failure": "notice"}.get(outcome, "info")


def _code(status: Any) -> int | None:
    code = status.get("code") if isinstance(status, Mapping) else None
    return code if isinstance(code, int) and not isinstance(code, bool) and code > 0 else None


def _decision(annotations: Any) -> Any:
    return annotations.get(_DECISION) if isinstance(annotations, Mapping) else None
