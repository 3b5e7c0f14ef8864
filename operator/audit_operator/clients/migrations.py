"""Numbered SQL files, each applied once per schema, in order, in a transaction of its own. See `sql/README.md`.

Several administrators may run at once: each step takes a lock, looks again at what was applied, and applies one file.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

import msgspec
from asyncpg import Connection

from audit_core.errors import IntegrityError
from audit_core.partitions import PartitionBy
from audit_core.statements import rendered
from audit_core.tenant import CONTROL_SCHEMA, OWNER_ROLE, Isolation, role_name, schema_name
from audit_operator.clients.postgres import as_owner
from audit_operator.clients.sql import SQL, load

_FILE: Final = re.compile(r"(\d{4})_(?:(pre|post)_)?[a-z0-9_]+\.sql", re.ASCII)


MIGRATION_SECONDS: Final = 3600.0
"""How long one migration may take, whatever other statements may."""


class MigrationChanged(IntegrityError):
    """The file `name` is not the one that schema `schema` was given under that number."""

    __slots__ = ("name", "schema")

    def __init__(self, schema: str, name: str) -> None:
        self.schema = schema
        self.name = name


class Phase(Enum):
    """When a migration may run: before the functions of this release replace the former ones, or after."""

    PRE = "pre"
    POST = "post"


class Migration(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a folder of migrations."""

    number: int
    name: str
    phase: Phase
    text: str

    @property
    def sha256(self) -> bytes:
        """The hash of the file before any name is put in: it is the same for every schema."""
        return hashlib.sha256(self.text.encode()).digest()


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """One migration that a schema has had."""

    number: int
    name: str
    sha256: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """A schema, the files that make it, and the identifiers that stand in them."""

    schema: str
    migrations: Sequence[Migration]
    names: Mapping[str, str]


def read_migrations(folder: Path) -> tuple[Migration, ...]:
    """Return the migrations of a folder in order. Raises ValueError unless they are numbered from 1 without a gap."""
    migrations = tuple(_read(path) for path in sorted(folder.glob("*.sql")))
    for expected, migration in enumerate(migrations, start=1):
        if migration.number != expected:
            raise ValueError(f"{folder.name}/{migration.name} should be number {expected}")
    return migrations


def control_scope() -> Scope:
    """Return the scope of the control schema."""
    names = {"schema": CONTROL_SCHEMA, "owner": OWNER_ROLE}
    return Scope(schema=CONTROL_SCHEMA, migrations=read_migrations(SQL / "control"), names=names)


def shard_scope(shard_id: str, isolation: Isolation, partition_by: PartitionBy) -> Scope:
    """Return the scope of a shard's schema."""
    names = {
        "schema": schema_name(shard_id),
        "owner": OWNER_ROLE,
        "writer": role_name(shard_id, "writer"),
        "query": role_name(shard_id, "query"),
        "isolation": isolation.name.lower(),
        "partition_by": partition_by.value,
    }
    return Scope(schema=names["schema"], migrations=read_migrations(SQL / "shard"), names=names)


def due(scope: Scope, applied: Sequence[Applied], phase: Phase) -> Migration | None:
    """Return the migration that comes next, or None. Raises MigrationChanged.

    What a newer release has applied beyond our files is left alone: its `pre` files suit this release too. In phase
    PRE the `post` files at the end wait; one that stands before a `pre` file belongs to a former release.
    """
    for file, had in zip(scope.migrations, applied, strict=False):
        if (file.number, file.name, file.sha256) != (had.number, had.name, had.sha256):
            raise MigrationChanged(scope.schema, file.name)
    rest = scope.migrations[len(applied) :]
    if not rest or (phase is Phase.PRE and all(file.phase is Phase.POST for file in rest)):
        return None
    return rest[0]


async def migrate(connection: Connection, scope: Scope, *, phase: Phase = Phase.POST) -> list[str]:
    """Bring a schema up to date as the owner role; return the names of the files applied now.

    Raises MigrationChanged before anything is applied if a file differs from what the schema was given.
    """
    names: list[str] = []
    while (name := await _step(connection, scope, phase)) is not None:
        names.append(name)
    return names


async def _step(connection: Connection, scope: Scope, phase: Phase) -> str | None:
    sql = {name: rendered(text, scope.names) for name, text in load("migration").items()}
    async with as_owner(connection):
        await connection.execute(sql["lock"], timeout=MIGRATION_SECONDS)
        if not await connection.fetchval(sql["begun"]):
            await connection.execute(sql["begin"])
        applied = [Applied(**row) for row in await connection.fetch(sql["applied"])]
        file = due(scope, applied, phase)
        if file is None:
            return None
        await connection.execute(rendered(file.text, scope.names), timeout=MIGRATION_SECONDS)
        await connection.execute(sql["record"], file.number, file.name, file.sha256)
        return file.name


def _read(path: Path) -> Migration:
    match = _FILE.fullmatch(path.name)
    if match is None:
        raise ValueError(f"not a migration's name: {path.name}")
    phase = Phase.POST if match[2] == "post" else Phase.PRE
    return Migration(number=int(match[1]), name=path.name, phase=phase, text=path.read_text(encoding="utf-8"))
