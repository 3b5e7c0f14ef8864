"""Lines for people and machines on standard error: JSON, an event's name in the past tense plus fields.

Never payloads or secrets. The request's id is bound once at the edge and stands in every line of that request.
"""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback
from contextvars import ContextVar
from typing import Final

request_id: Final[ContextVar[str | None]] = ContextVar("request_id", default=None)
"""The id of the request that the current task works for."""

_FIELDS: Final = "audit_fields"


class JsonLines(logging.Formatter):
    """One line of ASCII per record, so that nothing a caller sends can break a line or a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, object] = {
            "time": _time(record.created),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "logger": record.name,
        }
        if (bound := request_id.get()) is not None:
            line["request_id"] = bound
        line |= getattr(record, _FIELDS, {})
        if record.exc_info is not None and record.exc_info[1] is not None:
            line["exception"] = "".join(traceback.format_exception(record.exc_info[1]))
        return json.dumps(line, default=str)


def _time(seconds: float) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds % 1 * 1000):03d}Z"


class Log:
    """Writes lines of one part of the program."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(f"audit.{name}")

    def debug(self, event: str, /, **fields: object) -> None:
        """Write what only somebody who looks for a fault wants to read."""
        self._logger.debug(event, extra={_FIELDS: fields})

    def info(self, event: str, /, **fields: object) -> None:
        """Write what happened as it should."""
        self._logger.info(event, extra={_FIELDS: fields})

    def warning(self, event: str, /, **fields: object) -> None:
        """Write what somebody may have to look at."""
        self._logger.warning(event, extra={_FIELDS: fields})

    def error(self, event: str, /, **fields: object) -> None:
        """Write what somebody has to look at."""
        self._logger.error(event, extra={_FIELDS: fields})

    def failure(self, event: str, error: BaseException, /, **fields: object) -> None:
        """Write an error that nobody expected, with where it came from."""
        self._logger.error(event, extra={_FIELDS: fields}, exc_info=error)


def configure(level: str) -> None:
    """Send every record of this process to standard error as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
