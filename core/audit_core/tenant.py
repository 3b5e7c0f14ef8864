"""Every name that is derived from a tenant or a shard, in one place.

The namespace derives from the tenant's name, everything that holds data from its id or its shard's id, so that
deleting and recreating `acme` makes a new, empty log. Ids are 80 random bits in lower-case base32.
"""

from __future__ import annotations

import re
from base64 import b32encode
from enum import Enum
from typing import Final, Literal, NewType

TenantName = NewType("TenantName", str)
TenantId = NewType("TenantId", str)
ShardId = NewType("ShardId", str)

Function = Literal["ingest", "query", "writer", "sealer"]


class Isolation(Enum):
    """How much a tenant has of its own."""

    DEDICATED = "Dedicated"
    POOLED = "Pooled"


POOL_RETENTION_CLASSES: Final = ("30d", "90d", "365d", "2555d", "forever")
RESERVED_NAMES: Final = frozenset({"default", "system", "public", "postgres", "kube"})

OWNER_ROLE: Final = "audit_owner"
ADMIN_ROLE: Final = "audit_admin"
CONTROL_SCHEMA: Final = "control"
TENANT_SETTING: Final = "audit.tenant_id"
EPOCH_METADATA: Final = "auditlog.dev/epoch"
HEADS_BUCKET: Final = "audit_heads"

_NAME: Final = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?", re.ASCII)
_ID: Final = re.compile(r"[a-z2-7]{16}", re.ASCII)
NAME_MAX_CHARS: Final = 40
ID_RANDOM_BYTES: Final = 10


def new_id(random_bytes: bytes) -> str:
    """Return a tenant_id or shard_id from `ID_RANDOM_BYTES` random bytes."""
    if len(random_bytes) != ID_RANDOM_BYTES:
        raise ValueError(f"an id takes {ID_RANDOM_BYTES} random bytes")
    return b32encode(random_bytes).decode("ascii").lower()


def is_id(text: str) -> bool:
    """Tell whether `text` has the form of a tenant_id or shard_id."""
    return _ID.fullmatch(text) is not None


def name_problem(name: str) -> str | None:
    """Return why `name` cannot be a tenant's name, or None when it can."""
    if len(name) > NAME_MAX_CHARS or _NAME.fullmatch(name) is None:
        return (
            f"name must be a DNS label of at most {NAME_MAX_CHARS} characters that starts with a letter:"
            " namespace, stream and database role names are derived from it"
        )
    if name in RESERVED_NAMES:
        return "this tenant name is reserved"
    return None


def namespace(name: str) -> str:
    """Return the Kubernetes namespace of a tenant."""
    return f"audit-{name}"


def origin(installation: str, tenant_id: str) -> str:
    """Return the origin line of a tenant's log, as checkpoints carry it."""
    return f"{installation}/{tenant_id}"


def stream_name(shard_id: str) -> str:
    """Return the JetStream stream of a shard."""
    return f"AUDIT_{shard_id}"


def ingest_subject(shard_id: str) -> str:
    """Return the subject that frames of events are published on."""
    return f"audit.in.{shard_id}"


def control_subject(shard_id: str) -> str:
    """Return the subject that control frames are published on."""
    return f"audit.ctl.{shard_id}"


def outcome_subject(shard_id: str, instance: bytes) -> str:
    """Return the core NATS subject on which one ingest process hears what became of its frames.

    The shard is part of it because a permission cannot demand a literal token: `audit.out.*` would let the
    ingest of one shard hear the outcomes of another.
    """
    return f"audit.out.{shard_id}.{instance.hex()}"


def inbox_prefix(shard_id: str, function: Function) -> str:
    """Return the private inbox prefix of the NATS user of a shard and function."""
    return f"_INBOX.{shard_id}.{function}"


def config_bucket(shard_id: str) -> str:
    """Return the KV bucket that holds the configuration functions read."""
    return f"audit_cfg_{shard_id}"


def watermark_bucket(shard_id: str) -> str:
    """Return the KV bucket that ingest processes write their watermarks to."""
    return f"audit_wm_{shard_id}"


def schema_name(shard_id: str) -> str:
    """Return the PostgreSQL schema of a shard."""
    return f"shard_{shard_id}"


def role_name(shard_id: str, function: Function) -> str:
    """Return the PostgreSQL login role of a shard and function."""
    return f"audit_{shard_id}_{function}"
