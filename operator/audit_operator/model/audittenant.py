"""The resource AuditTenant, v1alpha1: one tenant, as far as this release serves it.

A field that nothing serves is not here, and a manifest that sets it is refused: silence would be a promise. Retention
is kept as the class of a pool; deleting what is older comes with the retention controller.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec

from audit_core.partitions import PartitionBy
from audit_core.projection import Limits as ProjectedLimits
from audit_core.projection import State, TenantConfig
from audit_core.tenant import Isolation
from audit_operator.model.quantity import ByteQuantity

API_VERSION: Final = "auditlog.dev/v1alpha1"
KIND: Final = "AuditTenant"


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """What the tenant may send. Rates in events per second, sizes in bytes of canonical JSON."""

    events_per_second: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1000
    burst: Annotated[int, msgspec.Meta(ge=1, le=10_000_000)] = 5000
    max_event_bytes: Annotated[int, msgspec.Meta(ge=1024, le=262_144)] = 65_536
    max_batch_events: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 1000


class Ingest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """How events come in."""

    limits: Limits = Limits()


class Query(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """How events are read. `concurrency`: queries of this tenant that run at once."""

    concurrency: Annotated[int, msgspec.Meta(ge=1, le=256)] = 16


class Stream(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """The stream of a Dedicated tenant. `max_bytes` None: the installation's size."""

    max_bytes: ByteQuantity | None = None


class Retention(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """How long events are kept, and how much time one partition covers (`partition_by` None: a month)."""

    keep: Annotated[str, msgspec.Meta(max_length=8)] = "365d"
    partition_by: PartitionBy | None = None


class Spec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """What is wanted. `adopt` takes the log of a removed tenant back when the tenant is made."""

    display_name: Annotated[str, msgspec.Meta(max_length=128)] = ""
    state: State = "Active"
    isolation: Isolation = Isolation.DEDICATED
    ingest: Ingest = Ingest()
    query: Query = Query()
    stream: Stream = Stream()
    retention: Retention = Retention()
    adopt: str | None = None


class Metadata(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What is read of an object's metadata. `generation` is 0 where nothing counts generations."""

    name: str
    generation: Annotated[int, msgspec.Meta(ge=0)] = 0


class AuditTenant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """One decoded and valid resource. `status` is ours to write and never read."""

    api_version: Literal["auditlog.dev/v1alpha1"]
    kind: Literal["AuditTenant"]
    metadata: Metadata
    spec: Spec
    status: Any = None

    @property
    def name(self) -> str:
        """The tenant's name."""
        return self.metadata.name

    @property
    def is_pooled(self) -> bool:
        """Whether the tenant shares its shard."""
        return self.spec.isolation is Isolation.POOLED

    @property
    def stream_bytes(self) -> int | None:
        """The size that is asked for the tenant's own stream, None for the installation's."""
        return None if self.spec.stream.max_bytes is None else int(self.spec.stream.max_bytes)

    @property
    def retention_class(self) -> str | None:
        """The pool that the tenant belongs to, None for a Dedicated one."""
        return self.spec.retention.keep if self.is_pooled else None


def tenant_config(tenant: AuditTenant, tenant_id: str) -> TenantConfig:
    """Return what the functions are to know of the tenant."""
    limits = tenant.spec.ingest.limits
    return TenantConfig(
        tenant_id=tenant_id,
        name=tenant.name,
        state=tenant.spec.state,
        pooled=tenant.is_pooled,
        limits=ProjectedLimits(**msgspec.structs.asdict(limits)),
        query_concurrency=tenant.spec.query.concurrency,
        generation=tenant.metadata.generation,
    )
