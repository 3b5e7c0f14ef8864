"""The whole pipeline in processes, as `make up` runs it, with the supervisor in the test's hands.

Tests kill, stop, freeze and start single processes, and read what is stored as superuser.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
from asyncpg import Connection, InterfaceError, PostgresError

from audit_core.errors import AuditError
from audit_core.tenant import schema_name, stream_name
from audit_operator.clients.database import create_database, provision_database
from audit_operator.local.functions import http_command, ready, writer_command
from audit_operator.local.keys import KeyFolder
from audit_operator.local.ports import free_port
from audit_operator.local.processes import Command, Supervisor
from audit_operator.local.server_commands import nats_command, postgres_command
from audit_operator.local.settings import LocalSettings
from audit_operator.local.stack import Stack, stack
from audit_operator.model.audittenant import API_VERSION, KIND, AuditTenant
from tests.support.client import JournallingClient

READY_SECONDS = 60.0
DRAIN_SECONDS = 60.0
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
        shard_id = self.tenants[tenant][1]
        async with (
            self.stack.reconciler() as reconciler,
            reconciler.shards.cluster.streams(shard_id) as streams,
            asyncio.timeout(DRAIN_SECONDS),
        ):
            info = await streams.stream(stream_name(shard_id))
            assert info is not None
            while not await self._reached(tenant, info.state.last_seq):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.1)

    async def _reached(self, tenant: str, sequence: int) -> bool:
        """Watch the offset over one connection until it is at `sequence`; False when the database went away."""
        statement = f"SELECT stream_sequence FROM {self.schema(tenant)}.shard_offset"
        with contextlib.suppress(AuditError, OSError, PostgresError, InterfaceError):
            async with self.database() as connection:
                while int(await connection.fetchval(statement)) < sequence:  # noqa: ASYNC110 - as above
                    await asyncio.sleep(0.05)
                return True
        return False

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


def _with_path(command: Command, path: Path | None) -> Command:
    """Return the command with `path` in front of where Python looks for modules."""
    roots = [str(path)] if path is not None else []
    environment = dict(command.environment or os.environ)
    environment["PYTHONPATH"] = os.pathsep.join([*roots, *(entry for entry in sys.path if entry)])
    return replace(command, environment=environment)


@asynccontextmanager
async def running_stack(
    folder: Path, *tenants: AuditTenant, functions_path: Path | None = None, writer: bool = True
) -> AsyncIterator[RunningStack]:
    """Run everything in `folder` with the given tenants (default: a Dedicated `acme`); stop it at the end."""
    settings = LocalSettings(state_dir=str(folder / "state"), port=free_port())
    made = stack(settings)
    deaths: list[tuple[str, int]] = []
    supervisor = Supervisor(settings.state / "logs", lambda name, status: deaths.append((name, status)))
    postgres, nats = postgres_command(made.postgres), nats_command(made.nats)
    running = RunningStack(made, supervisor, {}, deaths=deaths)
    try:
        for server in (postgres, nats):
            running.commands[server.name] = server
            await supervisor.start(server)
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
        functions = [http_command(made), writer_command(made)] if writer else [http_command(made)]
        for command in functions:
            placed = _with_path(command, functions_path)
            running.commands[command.name] = placed
            await supervisor.start(placed)
        await ready(settings.port)
        yield running
    except BaseException:
        for log in sorted((settings.state / "logs").glob("*.log")):
            print(f"--- {log.name}", *log.read_text(errors="replace").splitlines()[-40:], sep="\n")
        raise
    finally:
        await supervisor.stop_all()
        made.postgres.remove()
