"""What can keep the local stack from running, with the fix. Printed as one line, never as a traceback."""

from __future__ import annotations

from audit_core.errors import AuditError


class CannotRun(AuditError):
    """`reason` says what is wrong, `fix` what to do."""

    __slots__ = ("fix", "reason")

    def __init__(self, reason: str, fix: str) -> None:
        self.reason = reason
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.reason}: {self.fix}"
