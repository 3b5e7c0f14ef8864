"""`up`: start everything in order, keep it up, and stop it in order."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Final

from audit_operator.clients.database import create_database, provision_database
from audit_operator.clients.migrations import migrate, shard_scope
from audit_operator.clients.shards import shards
from audit_operator.local.endpoints import Endpoint, Endpoints, write_endpoints
from audit_operator.local.errors import CannotRun
from audit_operator.local.folder_watch import FolderWatch
from audit_operator.local.functions import READY_SECONDS, http_command, ready, writer_command
from audit_operator.local.greeting import greeting, limits_of_one_machine
from audit_operator.local.keys import KeyFolder
from audit_operator.local.manifests import ManifestFolder
from audit_operator.local.nats import nats_binary
from audit_operator.local.notices import Notices
from audit_operator.local.output import Output
from audit_operator.local.ports import demand_free
from audit_operator.local.postgres import installed_binaries
from audit_operator.local.processes import Supervisor
from audit_operator.local.server_commands import nats_command, postgres_command
from audit_operator.local.stack import Stack
from audit_operator.local.tenants import TenantFolder

TROUBLED_SECONDS: Final = 5.0
"""How long readiness is waited for when it is known that a tenant's shard is not sound."""


async def run_stack(stack: Stack, output: Output) -> None:
    """Start everything, say how to use it, and keep it up until cancelled; then stop it in order."""
    demand_what_is_needed(stack)
    async with AsyncExitStack() as exits:
        supervisor = await exits.enter_async_context(supervised(stack, output))
        await _start_servers(stack, supervisor, output)
        folder = await exits.enter_async_context(_provisioned(stack, output))
        problem = await _start_functions(stack, supervisor, folder, output)
        output.say(*greeting(stack.settings.url, endpoints_of(stack, folder.live)), "")
        output.say(*limits_of_one_machine(folder.converged), "")
        state = "Everything runs." if problem is None else f"It stays up although {problem}."
        output.say(f"{state} Tenants follow {stack.settings.tenants} at once. Ctrl-C stops.")
        await folder.run()


def demand_what_is_needed(stack: Stack) -> None:
    """Raise CannotRun for what would keep the stack from running, before anything is started."""
    demand_free(stack.settings.port, "AUDIT_PORT")
    installed_binaries()
    nats_binary()


@asynccontextmanager
async def supervised(stack: Stack, output: Output) -> AsyncIterator[Supervisor]:
    """Own the children; leaving stops them, the last started first."""

    def told(text: str) -> None:
        with suppress(OSError):  # restarting goes on when nobody reads our output any more
            output.say(text)

    def died(name: str, status: int) -> None:
        told(f"{name} died (status {status}) and is started again; see {supervisor.log(name)}")

    def not_started(name: str, trouble: Exception) -> None:
        told(f"{name} did not start: {trouble}; it is tried again")

    supervisor = Supervisor(stack.settings.state / "logs", died, not_started)
    try:
        yield supervisor
    finally:
        running = ", ".join(reversed(supervisor.pids()))
        with output.step(f"stopping {running} (Ctrl-C again kills)"):
            await supervisor.stop_all()


async def migrate_database(stack: Stack, output: Output) -> None:
    """Make the database if there is none, and apply what is missing of its schemas."""
    with output.step("migrating the database"):
        async with stack.maintenance() as connection:
            await create_database(connection)
        async with stack.database() as connection:
            applied = await provision_database(connection)
            for shard in await shards(connection):
                scope = shard_scope(shard.shard_id, shard.isolation, shard.partition_by)
                applied += [f"{scope.schema}/{name}" for name in await migrate(connection, scope)]
    output.say(*(f"  applied {name}" for name in applied))


async def _start_servers(stack: Stack, supervisor: Supervisor, output: Output) -> None:
    with output.step("starting PostgreSQL"):
        await supervisor.start(postgres_command(stack.postgres))
    await migrate_database(stack, output)
    with output.step("starting NATS"):
        await supervisor.start(nats_command(stack.nats))


@asynccontextmanager
async def _provisioned(stack: Stack, output: Output) -> AsyncIterator[TenantFolder]:
    notices = Notices(output)
    watch = FolderWatch(ManifestFolder(stack.settings.tenants), notices)
    async with stack.reconciler() as reconciler:
        folder = TenantFolder(watch, reconciler, notices, lambda live: _write_endpoints(stack, live))
        output.say(f"provisioning the tenants of {stack.settings.tenants}")
        await folder.start()
        yield folder


async def _start_functions(
    stack: Stack, supervisor: Supervisor, folder: TenantFolder, output: Output
) -> CannotRun | None:
    """Start the functions; return why they are not ready. A shard that needs a person must not keep the others down."""
    has_trouble = any(each.troubles for each in folder.converged.values())
    with output.step("starting the writer"):
        await supervisor.start(writer_command(stack))
    with output.step(f"starting ingest and query on {stack.settings.url}"):
        await supervisor.start(http_command(stack))
        try:
            await ready(
                stack.settings.port,
                for_tenants=bool(folder.converged),
                seconds=TROUBLED_SECONDS if has_trouble else READY_SECONDS,
            )
        except CannotRun as problem:
            return problem
    return None


def endpoints_of(stack: Stack, live: Mapping[str, str]) -> Endpoints:
    """Return the address and the first key of every live tenant, given their ids by name."""
    keys = KeyFolder(stack.settings.state / "keys")
    found = {name: keys.key(tenant_id) for name, tenant_id in live.items()}
    return Endpoints(
        tenants={
            name: Endpoint(url=stack.settings.url, key=key) for name, key in found.items() if key is not None
        }
    )


def _write_endpoints(stack: Stack, live: Mapping[str, str]) -> None:
    write_endpoints(stack.settings.endpoints, endpoints_of(stack, live))
