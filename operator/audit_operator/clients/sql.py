"""The operator's SQL files."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

from audit_core.statements import statements

SQL: Final = Path(__file__).parent.parent / "sql"


@cache
def load(name: str) -> dict[str, str]:
    """Return the statements of `sql/statements/<name>.sql` by name."""
    return statements((SQL / "statements" / f"{name}.sql").read_text(encoding="utf-8"))
