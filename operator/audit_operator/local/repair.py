"""What a person may order when a shard is frozen. Both orders are written into the shard's own log."""

from __future__ import annotations

import getpass
import os

from asyncpg import Connection

from audit_core.control import GapArguments
from audit_core.errors import AuditError
from audit_core.tenant import is_id
from audit_operator.clients.shards import Shard, shard
from audit_operator.clients.tenants import tenant_named
from audit_operator.local.errors import CannotRun
from audit_operator.local.output import Output
from audit_operator.local.settings import LocalSettings
from audit_operator.local.stack import Stack, stack
from audit_operator.reconcile.explanations import explained
from audit_operator.reconcile.gaps import accept_gap
from audit_operator.reconcile.recovery import NothingToRecover, StreamRecovery


async def recover_stream(settings: LocalSettings, output: Output, *, name: str, confirmed: bool) -> None:
    """Begin a tenant's stream anew behind what is stored, after it was lost or replaced."""
    here, target = await _target(settings, name)
    if not confirmed:
        raise CannotRun(
            f"a new epoch begins in the log of shard {target.shard_id}; events that only the lost stream held are gone",
            "add --confirm to order it",
        )
    async with here.reconciler() as reconciler:
        recovery = StreamRecovery(database=here.database, shards=reconciler.shards, random=os.urandom)
        with output.step(f"recovering the stream of shard {target.shard_id}"):
            try:
                recovered = await recovery.restart(target, _principal())
            except NothingToRecover as error:
                raise CannotRun("nothing was done", error.reason) from error
            except AuditError as error:
                raise CannotRun(
                    f"the recovery broke off ({explained(error, name)})", "order it again"
                ) from error
    held = (
        "what the old stream held was carried over"
        if recovered.carried
        else "there was no old stream to read"
    )
    output.say(f"epoch {recovered.epoch} has begun; {held}; the writer goes on by itself")


async def accept_missing(
    settings: LocalSettings, output: Output, *, name: str, gap: GapArguments, confirmed: bool
) -> None:
    """Let a tenant's shard go on although messages of its stream are missing."""
    here, target = await _target(settings, name)
    if not 0 < gap.first <= gap.last:
        raise CannotRun(
            f"{gap.first} to {gap.last} is no range of messages", "name the first and the last one missing"
        )
    if not confirmed:
        raise CannotRun(
            f"the events in messages {gap.first} to {gap.last} of shard {target.shard_id} would count as lost",
            "add --confirm to order it",
        )
    async with here.reconciler() as reconciler:
        try:
            sequence = await accept_gap(reconciler.shards.cluster, target.shard_id, gap, _principal())
        except NothingToRecover as error:
            raise CannotRun("nothing was done", error.reason) from error
    output.say(f"accepted by message {sequence}; the writer goes on by itself")


async def _target(settings: LocalSettings, name: str) -> tuple[Stack, Shard]:
    here = stack(settings)
    here.attach()
    async with here.database() as connection:
        found = await _shard(connection, name)
    if found is None:
        raise CannotRun(f"there is no tenant and no shard {name}", "name one that make up shows")
    return here, found


async def _shard(connection: Connection, name: str) -> Shard | None:
    tenant = await tenant_named(connection, name)
    if tenant is not None:
        return await shard(connection, tenant.shard_id)
    return await shard(connection, name) if is_id(name) else None


def _principal() -> str:
    return f"local:{getpass.getuser()}"
