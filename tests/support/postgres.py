"""A real PostgreSQL for tests: one server per session, a fresh database per test, shards made by provisioning.

It is the embedded server of `make up`, and stops with the session even when that is killed.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from secrets import token_urlsafe
from typing import Final

import asyncpg
import pytest
from asyncpg import Connection

from audit_core.partitions import PartitionBy
from audit_core.tenant import ID_RANDOM_BYTES, Isolation, new_id, role_name, schema_name
from audit_operator.clients import postgres
from audit_operator.clients.database import create_database, provision_database
from audit_operator.clients.roles import ROLE_FUNCTIONS, RoleFunction
from audit_operator.clients.shards import Shard, open_shard, provision_shard
from audit_operator.local.postgres import EmbeddedPostgres
from audit_operator.local.processes import die_with_parent

START_SECONDS: Final = 30.0
NOW: Final = 1_764_000_000_000_000
"""2025-11-24 16:00 UTC in µs: the time at which tests provision, so that they know which partitions there are."""


class PostgresServer:
    """One embedded cluster. `start` after `stop` or `kill` finds the same data on the same port."""

    def __init__(self, settings: dict[str, str] | None = None) -> None:
        self.state = Path(tempfile.mkdtemp(prefix="audit-postgres-"))
        self.embedded = EmbeddedPostgres(self.state, settings)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and return when connections are accepted. The first start makes the cluster and chooses the port."""
        command = self.embedded.command()
        run_as = self.embedded.run_as
        with (self.state / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - one call of libc, which no lock can hold up
                process_group=0,
                user=None if run_as is None else run_as.uid,
                group=None if run_as is None else run_as.gid,
                extra_groups=None if run_as is None else [],
                cwd=self.embedded.folder,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._is_ready():
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.01)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Shut down: SIGINT `fast`, SIGQUIT `immediate` (recovery at the next start)."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(START_SECONDS)
            self._process = None

    def kill(self) -> None:
        """Kill every process of the cluster at once, as a power cut would end them."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(START_SECONDS)
            self._process = None

    def remove(self) -> None:
        """Delete the cluster. It must be stopped."""
        self.embedded.remove()
        shutil.rmtree(self.state)

    def dsn(self, *, database: str = "postgres", user: str = "postgres", password: str | None = None) -> str:
        """Return a connection string, by default the superuser's."""
        return self.embedded.dsn(database, user=user, password=password)

    def log(self) -> str:
        """Return what the server has logged."""
        return (self.state / "log").read_text(errors="replace")

    def _is_ready(self) -> bool:
        try:
            lines = (self.embedded.data / "postmaster.pid").read_text().splitlines()
            return lines[7].strip() == "ready"
        except (FileNotFoundError, IndexError):
            return False


connected: Final = postgres.connected
"""Opens a connection whose times are µs since 1970."""


@dataclass(frozen=True, kw_only=True)
class ShardInDatabase:
    """A provisioned shard and the passwords of its roles."""

    database: Database
    stored: Shard
    passwords: dict[RoleFunction, str]

    @property
    def shard_id(self) -> str:
        """The shard's id."""
        return self.stored.shard_id

    @property
    def schema(self) -> str:
        """The shard's schema."""
        return schema_name(self.shard_id)

    def dsn(self, function: RoleFunction) -> str:
        """Return the connection string of one of its roles."""
        role = role_name(self.shard_id, function)
        return self.database.server.dsn(
            database=self.database.name, user=role, password=self.passwords[function]
        )


@dataclass(frozen=True, kw_only=True)
class Database:
    """A provisioned database. `admin` is a superuser's connection to it."""

    server: PostgresServer
    name: str
    admin: Connection

    async def a_shard(
        self,
        *,
        isolation: Isolation = Isolation.DEDICATED,
        partition_by: PartitionBy = PartitionBy.MONTH,
        now: int = NOW,
        opened: bool = True,
    ) -> ShardInDatabase:
        """Provision a new shard, with its offset at zero unless `opened` is False."""
        wanted = a_shard(isolation=isolation, partition_by=partition_by)
        passwords: dict[RoleFunction, str] = {function: token_urlsafe(24) for function in ROLE_FUNCTIONS}
        stored = await provision_shard(self.admin, wanted, passwords, now=now)
        if opened:
            await open_shard(self.admin, stored)
        return ShardInDatabase(database=self, stored=stored, passwords=passwords)


def a_shard(
    *, isolation: Isolation = Isolation.DEDICATED, partition_by: PartitionBy = PartitionBy.MONTH
) -> Shard:
    """Build a shard that exists nowhere yet; a pooled one keeps for 90 days."""
    return Shard(
        shard_id=new_id(os.urandom(ID_RANDOM_BYTES)),
        isolation=isolation,
        retention_class="90d" if isolation is Isolation.POOLED else None,
        partition_by=partition_by,
        epoch=os.urandom(16),
    )


@pytest.fixture(scope="session")
def new_postgres() -> Iterator[Callable[[], PostgresServer]]:
    """Make clusters that are not started yet, for tests that stop or kill theirs; all are gone after the session."""
    servers: list[PostgresServer] = []

    def new() -> PostgresServer:
        server = PostgresServer()
        servers.append(server)
        return server

    yield new
    for server in servers:
        server.stop(signal.SIGQUIT)
        server.remove()


@pytest.fixture(scope="session")
def postgres_server(new_postgres: Callable[[], PostgresServer]) -> PostgresServer:
    """Start the session's server; no test stops it."""
    server = new_postgres()
    server.start()
    return server


_numbers: Final = count(1)


@pytest.fixture
async def database(postgres_server: PostgresServer) -> AsyncIterator[Database]:
    """Make a fresh, provisioned database without shards."""
    name = f"audit_test_{next(_numbers)}"
    async with connected(postgres_server.dsn()) as maintenance:
        await create_database(maintenance, name)
        try:
            async with connected(postgres_server.dsn(database=name)) as admin:
                await provision_database(admin)
                yield Database(server=postgres_server, name=name, admin=admin)
        finally:
            await maintenance.execute(f"DROP DATABASE {name} WITH (FORCE)")


async def unprepared(connection: Connection, statements: dict[str, str]) -> dict[str, str]:
    """Return the statements that the server does not accept for this role, by name, with its reason."""
    failures: dict[str, str] = {}
    for name, statement in statements.items():
        try:
            await connection.prepare(statement)
        except asyncpg.PostgresError as error:
            failures[name] = str(error)
    return failures
