"""What functions know of tenants: the keys and values of a shard's configuration bucket.

A projection of the AuditTenant resource and of the control schema into NATS KV, one bucket per shard. Provisioning
writes `tenant.*`, `key.*` and `shard.durability`; the writer writes `shard.frozen`, `shard.versions` and
`shard.trimmed`. `ConfigView` is the state that follows from a bucket's entries.
"""

from __future__ import annotations

from typing import Final, Literal, TypeVar

import msgspec

FROZEN_KEY: Final = "shard.frozen"
VERSIONS_KEY: Final = "shard.versions"
DURABILITY_KEY: Final = "shard.durability"
TRIMMED_KEY: Final = "shard.trimmed"
DURABILITY_VALID_SECONDS: Final = 24 * 3600

K = TypeVar("K")
V = TypeVar("V")

Scope = Literal["events:write", "events:read"]
State = Literal["Active", "ReadOnly", "Suspended"]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one tenant may send. Sizes in bytes, rates in events per second."""

    events_per_second: int = 1000
    burst: int = 5000
    max_event_bytes: int = 65536
    max_batch_events: int = 1000


class TenantConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`tenant.<id>.spec`: one tenant as the functions see it. `state` Removed: the resource is gone, data stays."""

    tenant_id: str
    name: str
    state: Literal["Active", "ReadOnly", "Suspended", "Removed"] = "Active"
    pooled: bool = False
    limits: Limits = Limits()
    query_concurrency: int = 16
    generation: int = 0


class TenantSecret(msgspec.Struct, frozen=True, kw_only=True):
    """`tenant.<id>.secret`: 32 bytes, made once, never rotated. Idempotency ids and cursors derive from it."""

    secret: bytes

    def __repr__(self) -> str:
        return "TenantSecret(…)"


class KeyGrant(msgspec.Struct, frozen=True, kw_only=True):
    """`key.<sha256 hex>`: what an API key may do. `expires_at` in µs since 1970."""

    tenant_id: str
    key_id: str
    principal: str
    scopes: tuple[Scope, ...]
    expires_at: int | None = None


class Frozen(msgspec.Struct, frozen=True, kw_only=True):
    """`shard.frozen`: why the writer stopped. Deleted when the shard goes on."""

    reason: str
    since: int
    evidence: dict[str, str | int] = {}


class Versions(msgspec.Struct, frozen=True, kw_only=True):
    """`shard.versions`: the newest frame version that every writer reads."""

    frame: int


class Durability(msgspec.Struct, frozen=True, kw_only=True):
    """`shard.durability`: each peer of the stream was seen to fsync every message at `attested_at` (µs)."""

    attested_at: int
    peers: tuple[str, ...]
    replicas: int


class Trimmed(msgspec.Struct, frozen=True, kw_only=True):
    """`shard.trimmed`: the stream may lack sequences up to and including `through`. Set before purging."""

    through: int


def tenant_key(tenant_id: str) -> str:
    """Return the bucket key of a tenant's TenantConfig."""
    return f"tenant.{tenant_id}.spec"


def secret_key(tenant_id: str) -> str:
    """Return the bucket key of a tenant's TenantSecret."""
    return f"tenant.{tenant_id}.secret"


def api_key_key(key_sha256: bytes) -> str:
    """Return the bucket key of an API key's KeyGrant."""
    return f"key.{key_sha256.hex()}"


class Watermark(msgspec.Struct, frozen=True, kw_only=True):
    """What an ingest process was promised, written every second to `audit_wm_<shard>` under its instance's hex.

    `frame`, `stream_sequence` and `frame_sha256` are those of its last acknowledged frame; `drained` says that no
    more will come.
    """

    epoch: bytes
    frame: int
    stream_sequence: int
    frame_sha256: bytes
    at: int
    drained: bool = False


class ConfigView:
    """The state of one shard's configuration bucket, kept by applying its entries in order.

    A value that does not decode makes `apply` return an error text and leaves the former state of that key; the
    follower logs it. Lookups are dictionary reads: they stand on the path of every request.
    """

    __slots__ = ("durability", "frozen", "keys", "secrets", "tenants", "trimmed", "versions")

    def __init__(self) -> None:
        self.tenants: dict[str, TenantConfig] = {}
        self.secrets: dict[str, bytes] = {}
        self.keys: dict[bytes, KeyGrant] = {}
        self.frozen: Frozen | None = None
        self.versions: Versions | None = None
        self.durability: Durability | None = None
        self.trimmed: Trimmed | None = None

    def apply(self, key: str, value: bytes | None) -> str | None:
        """Take over one entry (`value` None: deleted). Returns None, or why the value was left out."""
        try:
            self._apply(key, value)
        except (msgspec.DecodeError, ValueError) as error:
            return str(error)
        return None

    def _apply(self, key: str, value: bytes | None) -> None:
        match key.split("."):
            case ["tenant", tenant_id, "spec"]:
                _set(self.tenants, tenant_id, _decoded(value, TenantConfig))
            case ["tenant", tenant_id, "secret"]:
                held = _decoded(value, TenantSecret)
                _set(self.secrets, tenant_id, None if held is None else held.secret)
            case ["key", digest]:
                _set(self.keys, bytes.fromhex(digest), _decoded(value, KeyGrant))
            case ["shard", "frozen"]:
                self.frozen = _decoded(value, Frozen)
            case ["shard", "versions"]:
                self.versions = _decoded(value, Versions)
            case ["shard", "durability"]:
                self.durability = _decoded(value, Durability)
            case ["shard", "trimmed"]:
                self.trimmed = _decoded(value, Trimmed)
            case _:
                return  # a key of a newer release


def _decoded(value: bytes | None, kind: type[V]) -> V | None:
    return None if value is None else msgspec.json.decode(value, type=kind)


def _set(table: dict[K, V], key: K, value: V | None) -> None:
    if value is None:
        table.pop(key, None)
    else:
        table[key] = value
