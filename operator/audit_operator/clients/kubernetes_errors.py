"""What the API server can answer instead of an object, as a tree.

KubernetesError               code, reason, message: those of the server's Status
├── NotFound                  no such object, or no such kind
├── Conflict                  somebody changed it meanwhile, it exists already, or a precondition does not hold
├── Forbidden                 our role does not allow it, or an admission policy
│   └── NamespaceTerminating  nothing can be made here any more: skip it, the namespace is going
├── Invalid                   the server will not take such an object
├── Gone                      a resourceVersion or a continue token is too old: list anew
└── ApiUnavailable            away, overloaded or silent until the deadline; a write's outcome is then unknown
"""

from __future__ import annotations

from typing import Any

import msgspec

from audit_core.errors import AuditError


class KubernetesError(AuditError):
    """The API server refused. `code` is the HTTP status, 0 when there was no answer at all."""

    __slots__ = ("code", "message", "reason")

    def __init__(self, code: int, reason: str, message: str) -> None:
        self.code = code
        self.reason = reason
        self.message = message


class NotFound(KubernetesError):
    """There is no such object."""

    __slots__ = ()


class Conflict(KubernetesError):
    """The object is not as the request expected it."""

    __slots__ = ()


class Forbidden(KubernetesError):
    """Not allowed."""

    __slots__ = ()


class NamespaceTerminating(Forbidden):
    """The namespace is being deleted and takes nothing new."""

    __slots__ = ()


class Invalid(KubernetesError):
    """The object breaks the schema or a rule."""

    __slots__ = ()


class Gone(KubernetesError):
    """The server no longer knows the version that was asked for."""

    __slots__ = ()


class ApiUnavailable(KubernetesError):
    """No usable answer until the deadline. The same request may succeed later."""

    __slots__ = ()


class _Cause(msgspec.Struct, frozen=True):
    reason: str = ""


class _Details(msgspec.Struct, frozen=True):
    causes: list[_Cause] = []


class Status(msgspec.Struct, frozen=True):
    """The server's account of a refusal, as in the body of an answer and in an ERROR event of a watch."""

    code: int = 0
    reason: str = ""
    message: str = ""
    details: _Details | None = None


_BY_CODE = {
    400: Invalid,
    401: Forbidden,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    412: Conflict,
    413: Invalid,
    415: Invalid,
    422: Invalid,
    429: ApiUnavailable,
}


def refusal(code: int, body: bytes) -> KubernetesError:
    """Return the error that an answer other than 2xx means. A body that is no Status (a proxy's) is quoted."""
    try:
        status = msgspec.json.decode(body, type=Status)
    except msgspec.DecodeError:
        status = Status(message=body[:200].decode("utf-8", "replace"))
    return refused(code, status)


def refused(code: int, status: Status) -> KubernetesError:
    """Return the error that a Status means."""
    causes = status.details.causes if status.details else []
    if code == 403 and any(cause.reason == "NamespaceTerminating" for cause in causes):
        return NamespaceTerminating(code, "NamespaceTerminating", status.message)
    kind = ApiUnavailable if code >= 500 else _BY_CODE.get(code, KubernetesError)
    return kind(code, status.reason, status.message)


def status_of(value: Any) -> Status:
    """Decode the object of a watch's ERROR event."""
    return msgspec.convert(value, type=Status)
