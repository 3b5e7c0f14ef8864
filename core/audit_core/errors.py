"""Everything that can go wrong, as one tree. Fields, not prose: the edges choose the words.

AuditError
├── Refused                      the caller's to fix; nothing was published
│   ├── InvalidEvent             path, reason
│   ├── EventTooLarge            path, size, limit
│   ├── BodyTooLarge             limit, unit
│   ├── UnsupportedMedia         what
│   ├── Unauthenticated          reason
│   ├── Forbidden                reason
│   ├── NotFound                 what
│   ├── Conflict                 id, sequence
│   ├── RateLimited              retry_after_seconds, limit, burst
│   ├── TooManyQueries           retry_after_seconds, limit
│   ├── InvalidQuery             parameter, reason
│   └── QueryTooBroad            reason, advice
├── Unavailable                  ours to fix; the caller may send the same again
│   ├── StreamUnavailable        reason, retry_after_seconds
│   ├── ShardFrozen              shard_id, reason
│   ├── ConfigStale              shard_id, age_seconds
│   ├── StoreUnavailable         reason
│   └── Overloaded               what, retry_after_seconds
└── IntegrityError               evidence attached; never retried, never swallowed
    ├── Undecodable              reason
    └── UnknownVersion           what, version
"""

from __future__ import annotations


class AuditError(Exception):
    """Root of the tree. `fields()` names what an edge may show or log."""

    __slots__ = ()

    def fields(self) -> dict[str, object]:
        """Return the public attributes of this error, by name."""
        names = [name for klass in type(self).__mro__ for name in getattr(klass, "__slots__", ())]
        return {name: getattr(self, name) for name in names}

    def __str__(self) -> str:
        return " ".join(f"{name}={value!r}" for name, value in self.fields().items())


class Refused(AuditError):
    """The request cannot be accepted as it is."""

    __slots__ = ()


class InvalidEvent(Refused):
    """The event breaks a rule. `path` is a JSON pointer into the body, empty for the body itself."""

    __slots__ = ("path", "reason")

    def __init__(self, path: str, reason: str) -> None:
        self.path = path
        self.reason = reason


class EventTooLarge(Refused):
    """The event's canonical bytes, or the part at `path`, exceed `limit` bytes."""

    __slots__ = ("limit", "path", "size")

    def __init__(self, path: str, size: int, limit: int) -> None:
        self.path = path
        self.size = size
        self.limit = limit


class BodyTooLarge(Refused):
    """The request body exceeds `limit` (bytes, or events for a batch) before or after decompression."""

    __slots__ = ("limit", "unit")

    def __init__(self, limit: int, unit: str = "bytes") -> None:
        self.limit = limit
        self.unit = unit


class UnsupportedMedia(Refused):
    """`what` names the content type or encoding that is not served."""

    __slots__ = ("what",)

    def __init__(self, what: str) -> None:
        self.what = what


class Unauthenticated(Refused):
    """No credential, or one that is unknown, expired or malformed: deliberately not told apart."""

    __slots__ = ("reason",)

    def __init__(self, reason: str) -> None:
        self.reason = reason


class Forbidden(Refused):
    """A valid credential that does not allow this."""

    __slots__ = ("reason",)

    def __init__(self, reason: str) -> None:
        self.reason = reason


class NotFound(Refused):
    """Nothing of that name is visible to this caller."""

    __slots__ = ("what",)

    def __init__(self, what: str) -> None:
        self.what = what


class Conflict(Refused):
    """The id was used within the window for an event with other bytes; a conflict leaf records this one."""

    __slots__ = ("id", "sequence")

    def __init__(self, id: str, sequence: int) -> None:  # noqa: A002 - the field's name in the wire format
        self.id = id
        self.sequence = sequence


class RateLimited(Refused):
    """The tenant's events per second are used up."""

    __slots__ = ("burst", "limit", "retry_after_seconds")

    def __init__(self, *, retry_after_seconds: float, limit: int, burst: int) -> None:
        self.retry_after_seconds = retry_after_seconds
        self.limit = limit
        self.burst = burst


class TooManyQueries(Refused):
    """The tenant has `limit` queries under way."""

    __slots__ = ("limit", "retry_after_seconds")

    def __init__(self, limit: int, retry_after_seconds: float = 1.0) -> None:
        self.limit = limit
        self.retry_after_seconds = retry_after_seconds


class InvalidQuery(Refused):
    """A query parameter breaks a rule."""

    __slots__ = ("parameter", "reason")

    def __init__(self, parameter: str, reason: str) -> None:
        self.parameter = parameter
        self.reason = reason


class QueryTooBroad(Refused):
    """The query would cost too much; `advice` says what would help."""

    __slots__ = ("advice", "reason")

    def __init__(self, reason: str, advice: str) -> None:
        self.reason = reason
        self.advice = advice


class Unavailable(AuditError):
    """Not now. The same request may succeed later."""

    __slots__ = ("retry_after_seconds",)

    def __init__(self, retry_after_seconds: float = 1.0) -> None:
        self.retry_after_seconds = retry_after_seconds


class StreamUnavailable(Unavailable):
    """The stream did not acknowledge: away, full, or silent until the deadline (then the outcome is unknown)."""

    __slots__ = ("reason",)

    def __init__(self, reason: str, retry_after_seconds: float = 1.0) -> None:
        super().__init__(retry_after_seconds)
        self.reason = reason


class ShardFrozen(Unavailable):
    """The shard's stream and its stored offset contradict each other; a person decides."""

    __slots__ = ("reason", "shard_id")

    def __init__(self, shard_id: str, reason: str) -> None:
        super().__init__(30.0)
        self.shard_id = shard_id
        self.reason = reason


class ConfigStale(Unavailable):
    """The shard's configuration was last confirmed `age_seconds` ago, longer than a revocation may take."""

    __slots__ = ("age_seconds", "shard_id")

    def __init__(self, shard_id: str, age_seconds: float) -> None:
        super().__init__(2.0)
        self.shard_id = shard_id
        self.age_seconds = age_seconds


class StoreUnavailable(Unavailable):
    """PostgreSQL did not answer."""

    __slots__ = ("reason",)

    def __init__(self, reason: str, retry_after_seconds: float = 2.0) -> None:
        super().__init__(retry_after_seconds)
        self.reason = reason


class Overloaded(Unavailable):
    """A bounded resource of this process, named by `what`, is used up."""

    __slots__ = ("what",)

    def __init__(self, what: str, retry_after_seconds: float = 1.0) -> None:
        super().__init__(retry_after_seconds)
        self.what = what


class IntegrityError(AuditError):
    """Stored or transported bytes are not what they must be."""

    __slots__ = ()


class Undecodable(IntegrityError):
    """A message of a known version that does not decode."""

    __slots__ = ("reason",)

    def __init__(self, reason: str) -> None:
        self.reason = reason


class UnknownVersion(IntegrityError):
    """A message of a version this release does not know: stop, never guess."""

    __slots__ = ("version", "what")

    def __init__(self, what: str, version: int) -> None:
        self.what = what
        self.version = version
