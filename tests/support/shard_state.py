"""What provisioning made outside the cluster for a tenant, as NATS has it."""

from __future__ import annotations

from typing import Any

import msgspec

from audit_core.projection import DURABILITY_KEY, Durability, tenant_key
from audit_core.tenant import config_bucket, stream_name
from audit_operator.clients.buckets import Bucket
from audit_operator.clients.jetstream import JetStream
from tests.support.operator import Installation


def shard_of(installation: Installation, name: str) -> str:
    """Return the shard of a tenant, as its status tells."""
    return str(installation.get(name)["status"]["stream"]["name"]).removeprefix("AUDIT_")


async def config_of(installation: Installation, name: str) -> dict[str, Any]:
    """Return what the functions are told of a tenant; empty when nothing is."""
    shard_id, tenant_id = shard_of(installation, name), installation.get(name)["status"]["tenantID"]
    async with installation.nats.provisioner(shard_id) as client:
        entry = await Bucket(JetStream(client), config_bucket(shard_id)).entry(tenant_key(tenant_id))
    if entry is None or entry.value is None:
        return {}
    return msgspec.json.decode(entry.value, type=dict[str, Any])


async def attested_at(installation: Installation, name: str) -> int:
    """Return when the durability of a tenant's stream was last attested, in µs; 0 when it is not."""
    shard_id = shard_of(installation, name)
    async with installation.nats.provisioner(shard_id) as client:
        entry = await Bucket(JetStream(client), config_bucket(shard_id)).entry(DURABILITY_KEY)
    if entry is None or entry.value is None:
        return 0
    return msgspec.json.decode(entry.value, type=Durability).attested_at


async def stream_bytes_of(installation: Installation, name: str) -> int:
    """Return the size of a tenant's stream."""
    shard_id = shard_of(installation, name)
    async with installation.nats.provisioner(shard_id) as client:
        found = await JetStream(client).stream(stream_name(shard_id))
    assert found is not None
    return found.config.max_bytes
