"""The whole pipeline in processes, as `make up` runs it, with the supervisor in the test's hands.

Tests kill, stop, freeze and start single processes, and read what is stored as superuser.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import urllib.request
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from asyncpg import Connection

from audit_core.tenant import schema_name
from audit_operator.clients.database import create_database, provision_database
from audit_operator.local.keys import KeyFolder
from audit_operator.local.ports import HOST, free_port
from audit_operator.local.processes import Command, Supervisor
from audit_operator.local.settings import LocalSettings
from audit_operator.local.stack import Stack, stack
from audit_operator.model.audittenant import API_VERSION, KIND, AuditTenant
from tests.support.client import JournallingClient

READY_SECONDS = 60.0
DRAIN_SECONDS = 120.0
UNLIMITED = {"eventsPerSecond": 1_000_000, "burst": 10_000_000}


def a_tenant(name: str, **spec: object) -> AuditTenant:
    """Build a tenant without a rate limit that would get into a test's way."""
    manifest = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": name},
        "spec": {"ingest": {"limits": UNLIMITED}, **spec},
    }
    return msgspec.convert(manifest, AuditTenant)


@dataclass(slots=True)
class RunningStack:
    """Servers, functions and a writer. `tenants` maps names to (tenant_id, shard_id)."""

    stack: Stack
    supervisor: Supervisor
    commands: dict[str, Command]
    tenants: dict[str, tuple[str, str]] = field(default_factory=dict)
    deaths: list[tuple[str, int]] = field(default_factory=list)

    @property
    def port(self) -> int:
        """Where the HTTP functions listen."""
        return self.stack.settings.port

    def key(self, tenant: str) -> str:
        """Return a tenant's API key."""
        key = KeyFolder(self.stack.settings.state / "keys").key(self.tenants[tenant][0])
        assert key is not None
        return key

    def schema(self, tenant: str) -> str:
        """Return the schema of a tenant's shard."""
        return schema_name(self.tenants[tenant][1])

    def database(self) -> AbstractAsyncContextManager[Connection]:
        """Open a superuser's connection to the database of the log."""
        return self.stack.database()

    def pid(self, name: str) -> int:
        """Return the process of that name."""
        return self.supervisor.pids()[name]

    def kill(self, name: str) -> None:
        """Kill -9 a process with all its children; the supervisor starts it again."""
        os.killpg(self.pid(name), signal.SIGKILL)

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a process with all its children."""
        os.killpg(self.pid(name), number)

    async def start(self, name: str) -> None:
        """Start a process that was stopped."""
        await self.supervisor.start(self.commands[name])

    async def serving_again(self, client: JournallingClient) -> None:
        """Return when the client is being answered again and every process runs."""
        before = client.acknowledged
        async with asyncio.timeout(READY_SECONDS):
            while client.acknowledged < before + 50 or len(self.supervisor.pids()) < len(self.commands):  # noqa: ASYNC110 - other processes
                await asyncio.sleep(0.05)

    async def drained(self, tenant: str) -> None:
        """Return when everything in the tenant's stream is stored."""
        async with self.stack.reconciler() as reconciler:
            name = f"AUDIT_{self.tenants[tenant][1]}"
            async with asyncio.timeout(DRAIN_SECONDS):
                while True:
                    info = await reconciler.shards.streams.stream(name)
                    assert info is not None
                    if await self.offset(tenant) >= info.state.last_seq:
                        return
                    await asyncio.sleep(0.1)

    async def offset(self, tenant: str) -> int:
        """Return the stream sequence that is stored, -1 while the database does not answer."""
        try:
            async with self.database() as connection:
                return int(
                    await connection.fetchval(
                        f"SELECT stream_sequence FROM {self.schema(tenant)}.shard_offset"
                    )
                )
        except Exception:  # noqa: BLE001 - it is down or starting: that is what the tests do to it
            return -1

    async def count(self, tenant: str) -> int:
        """Return how many events of a tenant are stored."""
        async with self.database() as connection:
            return int(
                await connection.fetchval(
                    f"SELECT count(*) FROM {self.schema(tenant)}.event WHERE tenant_id = $1 AND kind = 1",
                    self.tenants[tenant][0],
                )
            )

    async def markers(self, tenant: str) -> list[str]:
        """Return the marker of every stored event, repetitions included."""
        async with self.database() as connection:
            rows = await connection.fetch(
                f"SELECT body::json #>> '{{metadata,marker}}' AS marker FROM {self.schema(tenant)}.event"
                " WHERE tenant_id = $1 AND kind = 1",
                self.tenants[tenant][0],
            )
        return [row["marker"] for row in rows]

    async def vm_high_water_kib(self, name: str) -> int:
        """Return the peak resident memory of a process and its children, the largest of them, in KiB."""
        peak = 0
        for pid in [self.pid(name), *_children(self.pid(name))]:
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    peak = max(peak, int(line.split()[1]))
        return peak


def _children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in path.read_text().split()]


async def _http_ready(port: int) -> None:
    def look() -> bool:
        try:
            with urllib.request.urlopen(f"http://{HOST}:{port}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    while not await asyncio.to_thread(look):  # noqa: ASYNC110 - another process
        await asyncio.sleep(0.05)


def _function(stack_: Stack, functions: str, port: int, path: Path | None) -> Command:
    settings = stack_.settings
    roots = [str(path)] if path is not None else []
    environment = {
        **os.environ,
        "AUDIT_FUNCTIONS": functions,
        "AUDIT_SHARDS": str(settings.state / "shards"),
        "AUDIT_PORT": str(port),
        "AUDIT_BACKUP": "none",
        "AUDIT_LOG_LEVEL": "info",
        "PYTHONPATH": os.pathsep.join([*roots, *(entry for entry in sys.path if entry)]),
    }

    def prepare() -> Sequence[str]:
        environment["AUDIT_NATS_URL"] = stack_.nats.url
        return (sys.executable, "-m", "audit_functions")

    async def ready() -> None:
        async with asyncio.timeout(READY_SECONDS):
            await _http_ready(port)

    name = "writer" if functions == "writer" else "functions"
    return Command(name=name, prepare=prepare, environment=environment, ready=ready)


@asynccontextmanager
async def running_stack(
    folder: Path, *tenants: AuditTenant, functions_path: Path | None = None, writer: bool = True
) -> AsyncIterator[RunningStack]:
    """Run everything in `folder` with the given tenants (default: a Dedicated `acme`); stop it at the end."""
    settings = LocalSettings(state_dir=str(folder / "state"), port=free_port())
    made = stack(settings)
    deaths: list[tuple[str, int]] = []
    supervisor = Supervisor(settings.state / "logs", lambda name, status: deaths.append((name, status)))
    postgres = Command(
        name="postgres",
        prepare=made.postgres.command,
        run_as=made.postgres.run_as,
        folder=made.postgres.folder,
        stop=signal.SIGINT,
        ready=made.postgres.ready,
    )
    nats = Command(
        name="nats", prepare=made.nats.command, environment=made.nats.environment(), ready=made.nats.ready
    )
    commands = [postgres, nats, _function(made, "ingest,query", settings.port, functions_path)]
    if writer:
        commands.append(_function(made, "writer", free_port(), functions_path))
    running = RunningStack(made, supervisor, {command.name: command for command in commands}, deaths=deaths)
    try:
        await supervisor.start(postgres)
        await supervisor.start(nats)
        async with made.maintenance() as connection:
            await create_database(connection)
        async with made.database() as connection:
            await provision_database(connection)
        async with made.reconciler() as reconciler:
            for tenant in tenants or (a_tenant("acme"),):
                converged = await reconciler.converge(tenant)
                assert converged.tenant_id is not None
                assert not converged.troubles, converged.troubles
                running.tenants[tenant.name] = (converged.tenant_id, converged.shard_id)
        for command in commands[2:]:
            await supervisor.start(command)
        yield running
    finally:
        await supervisor.stop_all()
        made.postgres.remove()
