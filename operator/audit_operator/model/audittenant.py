"""The resource AuditTenant, v1alpha1: one tenant, as far as this release serves it.

A field that nothing serves is not here, and a manifest that sets it is refused: silence would be a promise. Retention
is kept as the class of a pool; deleting what is older comes with the retention controller. What only a cluster can
serve (replicas, resources, who may connect) is accepted everywhere, so that one manifest fits both.
`crds/audittenants.yaml` says the same to the API server; a test holds the two against each other.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, Final, Literal

import msgspec

from audit_core.partitions import PartitionBy
from audit_core.projection import Limits as ProjectedLimits
from audit_core.projection import State, TenantConfig
from audit_core.tenant import Isolation
from audit_operator.model.metadata import Metadata
from audit_operator.model.quantity import ByteQuantity, ResourceQuantity

API_VERSION: Final = "auditlog.dev/v1alpha1"
KIND: Final = "AuditTenant"

Replicas = Annotated[int, msgspec.Meta(ge=0, le=100)]
ScaledReplicas = Annotated[int, msgspec.Meta(ge=1, le=100)]
Quantities = Annotated[dict[str, ResourceQuantity], msgspec.Meta(max_length=3)]


class DeletionPolicy(Enum):
    """What becomes of the stored events when the resource is deleted."""

    RETAIN = "Retain"
    DELETE = "Delete"


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """What the tenant may send. Rates in events per second, sizes in bytes of canonical JSON."""

    events_per_second: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1000
    burst: Annotated[int, msgspec.Meta(ge=1, le=10_000_000)] = 5000
    max_event_bytes: Annotated[int, msgspec.Meta(ge=1024, le=262_144)] = 65_536
    max_batch_events: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 1000


class Autoscaling(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many replicas there are by their use of processors, which is told in percent of what they request."""

    min_replicas: ScaledReplicas = msgspec.field(default=2, name="minReplicas")
    max_replicas: ScaledReplicas = msgspec.field(default=10, name="maxReplicas")
    target_cpu_percent: Annotated[int, msgspec.Meta(ge=10, le=95)] = msgspec.field(
        default=70, name="targetCPUPercent"
    )


class Resources(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """What a container requests of its node and may use at most, by `cpu`, `memory` and `ephemeral-storage`."""

    requests: Quantities = {}
    limits: Quantities = {}


class AllowFrom(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """One source of connections: a range of addresses or a namespace, never both."""

    cidr: Annotated[str, msgspec.Meta(max_length=43)] | None = None
    namespace: Annotated[str, msgspec.Meta(max_length=63)] | None = None


class Ingest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """How events come in. All but `limits` is served in a cluster only."""

    replicas: Replicas | None = None
    autoscaling: Autoscaling | None = None
    resources: Resources | None = None
    limits: Limits = Limits()
    allow_from: Annotated[tuple[AllowFrom, ...], msgspec.Meta(max_length=32)] = ()


class Query(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """How events are read. `concurrency`: queries of this tenant that run at once, served everywhere."""

    replicas: Replicas | None = None
    autoscaling: Autoscaling | None = None
    concurrency: Annotated[int, msgspec.Meta(ge=1, le=256)] = 16


class Stream(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """The stream of a Dedicated tenant. None: as the installation has it."""

    max_bytes: ByteQuantity | None = None
    replicas: Literal[1, 3, 5] | None = None


class Retention(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """How long events are kept, and how much time one partition covers (`partition_by` None: a month)."""

    keep: Annotated[str, msgspec.Meta(max_length=8)] = "365d"
    partition_by: PartitionBy | None = None


class Spec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """What is wanted. `adopt` takes the log of a removed tenant back when the tenant is made."""

    display_name: Annotated[str, msgspec.Meta(max_length=128)] = ""
    state: State = "Active"
    isolation: Isolation = Isolation.DEDICATED
    deletion_policy: DeletionPolicy = DeletionPolicy.RETAIN
    ingest: Ingest = Ingest()
    query: Query = Query()
    stream: Stream = Stream()
    retention: Retention = Retention()
    adopt: Annotated[str, msgspec.Meta(max_length=16)] | None = None


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
    def stream_replicas(self) -> int | None:
        """The copies that are asked for of the tenant's own stream, None for the installation's."""
        return self.spec.stream.replicas

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
