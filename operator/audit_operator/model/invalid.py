"""Why a resource cannot be applied, field by field."""

from __future__ import annotations

import msgspec

from audit_core.errors import Refused


class FieldProblem(msgspec.Struct, frozen=True, kw_only=True):
    """One broken rule. `path` names the field as kubectl does (`spec.ingest.limits.burst`), empty for the whole."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}" if self.path else self.reason


class InvalidResource(Refused):
    """The resource breaks the rules that `problems` lists; nothing of it was applied."""

    __slots__ = ("problems",)

    def __init__(self, *problems: FieldProblem) -> None:
        self.problems = problems

    def __str__(self) -> str:
        return "; ".join(map(str, self.problems))
