"""What one reconcile wrote and what it could not mend, collected on the way."""

from __future__ import annotations

from dataclasses import dataclass, field

from audit_core.errors import AuditError


@dataclass(slots=True)
class Progress:
    """`changes` is empty in steady state; `troubles` are what a person or time must mend, the rest was done all the same."""

    changes: list[str] = field(default_factory=list)
    troubles: list[AuditError] = field(default_factory=list)

    def changed(self, *what: str) -> None:
        """Note what was written."""
        self.changes += what

    def failed(self, trouble: AuditError) -> None:
        """Note what is still wrong."""
        self.troubles.append(trouble)
