"""The isolation rules, read from PostgreSQL's own catalogue."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from asyncpg import Connection

_SQL: Final = Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")
_GRANTS: Final = """
SELECT table_name::text, privilege_type || coalesce(' (' || columns || ')', '') AS privilege
FROM (
    SELECT table_name, privilege_type, NULL AS columns
    FROM information_schema.table_privileges WHERE grantee = $1
    UNION ALL
    SELECT c.table_name, c.privilege_type, string_agg(c.column_name, ', ' ORDER BY c.column_name)
    FROM information_schema.column_privileges c
    WHERE c.grantee = $1 AND NOT EXISTS (
        SELECT FROM information_schema.table_privileges t
        WHERE (t.grantee, t.table_schema, t.table_name, t.privilege_type)
            = (c.grantee, c.table_schema, c.table_name, c.privilege_type))
    GROUP BY c.table_name, c.privilege_type
) granted
ORDER BY 1, 2
"""


async def breaches(admin: Connection) -> list[str]:
    """Return every breach of the isolation rules in the connected database, as sentences."""
    return [row[0] for row in await admin.fetch(_SQL)]


async def grants(admin: Connection, role: str) -> dict[str, list[str]]:
    """Return what a role may do with each table that it may touch at all."""
    found: dict[str, list[str]] = {}
    for table, privilege in await admin.fetch(_GRANTS, role):
        found.setdefault(table, []).append(privilege)
    return found
