"""AuditTenants that nobody may take: neither the API server nor, where no server is asked, the model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.support.audittenant import a_tenant_resource

NAME = (
    "name must be a DNS label of at most 40 characters that starts with a letter:"
    " namespace, stream and database role names are derived from it"
)
POOL = (
    "stream, retention.partitionBy, replicas, autoscaling, resources and allowFrom belong to the pool:"
    " set them in the installation, or use isolation Dedicated"
)
POOL_CLASS = (
    "a Pooled tenant's retention.keep must be one of 30d, 90d, 365d, 2555d, forever: pools share partitions"
)
KEEP = "keep must be a number of days such as 365d, or forever"
CIDR = "cidr must be a network such as 10.20.0.0/16, without host bits"
NAMESPACE = "namespace must be the name of a namespace: a DNS label"
ONE_SOURCE = "set exactly one of cidr and namespace"
SCALING = "set either replicas or autoscaling"
RESOURCE = "must be a quantity such as 500m or 512Mi"


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedTenant:
    """A resource, the field and what both say of it; `server` is what the API server says in other words.

    `server_path` is the field in its words, where they differ: the model cannot name the key of a map.
    """

    case: str
    resource: dict[str, Any]
    path: str
    reason: str
    server: str
    server_path: str


def _refused(
    case: str,
    path: str,
    reason: str,
    *,
    server: str | None = None,
    server_path: str | None = None,
    name: str = "acme",
    **spec: Any,
) -> RefusedTenant:
    return RefusedTenant(
        case=case,
        resource=a_tenant_resource(name, **spec),
        path=path,
        reason=reason,
        server=reason if server is None else server,
        server_path=path if server_path is None else server_path,
    )


def refused_tenants() -> list[RefusedTenant]:
    """Return all of them."""
    return [*_names(), *_states(), *_functions(), *_sources(), *_quantities(), *_storage(), *_pools()]


def _names() -> Iterator[RefusedTenant]:
    """Yield wrong names. The API server says `<nil>` for the field of a rule about them, and the words must do."""
    for case, name in (("digit-first", "1acme"), ("dot", "acme.eu"), ("too-long", "a" * 41)):
        yield _refused(f"name-{case}", "metadata.name", NAME, server_path="<nil>", name=name)
    yield _refused(
        "name-ends-in-hyphen",
        "metadata.name",
        NAME,
        server="a lowercase RFC 1123 subdomain must consist of",
        name="acme-",
    )
    for name in ("default", "kube", "postgres", "public", "system"):
        yield _refused(
            f"name-reserved-{name}",
            "metadata.name",
            "this tenant name is reserved",
            server_path="<nil>",
            name=name,
        )


def _states() -> Iterator[RefusedTenant]:
    for field, value, allowed in (
        ("state", "Paused", ("Active", "ReadOnly", "Suspended")),
        ("isolation", "Shared", ("Dedicated", "Pooled")),
        ("deletionPolicy", "Orphan", ("Retain", "Delete")),
    ):
        supported = ", ".join(f'"{each}"' for each in allowed)
        yield _refused(
            f"{field}-unknown",
            f"spec.{field}",
            f"must be one of {', '.join(allowed)}",
            server=f'Unsupported value: "{value}": supported values: {supported}',
            **{field: value},
        )
    yield _refused(
        "display-name-too-long",
        "spec.displayName",
        "must be str of length <= 128",
        server="Too long: may not be more than 128 bytes",
        displayName="x" * 129,
    )
    not_an_id = "must be a tenantID: 16 characters of a-z and 2-7"
    yield _refused("adopt-upper-case", "spec.adopt", not_an_id, adopt="ABCDEFGHIJKLMNOP")
    yield _refused("adopt-short", "spec.adopt", not_an_id, adopt="abc")


def _of(function: str, fields: dict[str, Any]) -> dict[str, Any]:
    return {function: fields}


def _functions() -> Iterator[RefusedTenant]:
    for function in ("ingest", "query"):
        at = f"spec.{function}"
        both = {"replicas": 2, "autoscaling": {"minReplicas": 1}}
        yield _refused(f"{function}-replicas-and-autoscaling", at, SCALING, **_of(function, both))
        crossed = {"autoscaling": {"minReplicas": 5, "maxReplicas": 4}}
        less = "minReplicas must not exceed maxReplicas"
        yield _refused(f"{function}-min-above-max", f"{at}.autoscaling", less, **_of(function, crossed))
        above = {"autoscaling": {"minReplicas": 11}}
        yield _refused(f"{function}-min-above-default", f"{at}.autoscaling", less, **_of(function, above))
        yield _refused(
            f"{function}-replicas-too-many",
            f"{at}.replicas",
            "must be int <= 100",
            server="should be less than or equal to 100",
            **_of(function, {"replicas": 101}),
        )
        yield _refused(
            f"{function}-replicas-negative",
            f"{at}.replicas",
            "must be int >= 0",
            server="should be greater than or equal to 0",
            **_of(function, {"replicas": -1}),
        )
        yield _refused(
            f"{function}-target-too-high",
            f"{at}.autoscaling.targetCPUPercent",
            "must be int <= 95",
            server="should be less than or equal to 95",
            **_of(function, {"autoscaling": {"targetCPUPercent": 96}}),
        )
    burst = "burst must be at least eventsPerSecond"
    yield _refused("burst-below-rate", "spec.ingest.limits", burst, ingest={"limits": {"burst": 10}})
    yield _refused(
        "rate-above-default-burst", "spec.ingest.limits", burst, ingest={"limits": {"eventsPerSecond": 5001}}
    )
    yield _refused(
        "rate-as-text",
        "spec.ingest.limits.eventsPerSecond",
        "must be int, got str",
        server='must be of type integer: "string"',
        ingest={"limits": {"eventsPerSecond": "5"}},
    )
    yield _refused(
        "event-too-large",
        "spec.ingest.limits.maxEventBytes",
        "must be int <= 262144",
        server="should be less than or equal to 262144",
        ingest={"limits": {"maxEventBytes": 262145}},
    )
    yield _refused(
        "concurrency-none",
        "spec.query.concurrency",
        "must be int >= 1",
        server="should be greater than or equal to 1",
        query={"concurrency": 0},
    )


def _sources() -> Iterator[RefusedTenant]:
    first = "spec.ingest.allowFrom[0]"
    for case, source in (("none", {}), ("both", {"cidr": "10.0.0.0/8", "namespace": "web"})):
        yield _refused(f"source-{case}", first, ONE_SOURCE, ingest={"allowFrom": [source]})
    for case, cidr in (
        ("no-prefix", "10.0.0.0"),
        ("host-bits", "10.0.0.1/8"),
        ("prefix-too-long", "10.0.0.0/33"),
        ("mask", "10.0.0.0/255.0.0.0"),
        ("leading-zero", "10.0.0.0/08"),
        ("octet-of-zeros", "10.00.0.0/8"),
        ("zone", "fe80::%eth0/64"),
        ("mapped", "::ffff:10.0.0.0/104"),
        ("word", "web"),
        ("empty", ""),
    ):
        yield _refused(f"cidr-{case}", f"{first}.cidr", CIDR, ingest={"allowFrom": [{"cidr": cidr}]})
    for case, name in (("upper-case", "Web"), ("empty", ""), ("dot", "a.b")):
        yield _refused(
            f"namespace-{case}", f"{first}.namespace", NAMESPACE, ingest={"allowFrom": [{"namespace": name}]}
        )
    yield _refused(
        "sources-too-many",
        "spec.ingest.allowFrom",
        "must be array of length <= 32",
        server="must have at most 32 items",
        ingest={"allowFrom": [{"namespace": "web"}] * 33},
    )


def _quantities() -> Iterator[RefusedTenant]:
    resources = "spec.ingest.resources"
    for case, value in (("word", "half"), ("negative", "-1"), ("unit", "512MB"), ("space", "1 Gi")):
        yield _refused(
            f"resource-{case}",
            f"{resources}.requests[...]",
            RESOURCE,
            server_path=f"{resources}.requests[cpu]",
            ingest={"resources": {"requests": {"cpu": value}}},
        )
    names = "name only cpu, memory, ephemeral-storage"
    yield _refused("resource-unknown", resources, names, ingest={"resources": {"limits": {"gpu": 1}}})
    over = {"requests": {"memory": "1.5Gi"}, "limits": {"memory": "1G"}}
    exceeds = "a request must not exceed its limit"
    yield _refused("request-over-limit", resources, exceeds, ingest={"resources": over})
    for case, value in (("unit", "10GB"), ("milli", "100m"), ("negative", "-1Gi"), ("word", "huge")):
        yield _refused(
            f"stream-bytes-{case}",
            "spec.stream.maxBytes",
            "must be a quantity such as 10Gi",
            stream={"maxBytes": value},
        )
    for case, few in (("few", "63Mi"), ("number", 1024)):
        yield _refused(
            f"stream-bytes-{case}", "spec.stream.maxBytes", "must be at least 64Mi", stream={"maxBytes": few}
        )
    yield _refused(
        "stream-bytes-many", "spec.stream.maxBytes", "must be less than 8Ei", stream={"maxBytes": "8Ei"}
    )


def _storage() -> Iterator[RefusedTenant]:
    for replicas in (0, 2, 4, 7):
        yield _refused(
            f"stream-replicas-{replicas}",
            "spec.stream.replicas",
            "must be one of 1, 3, 5",
            server=f'Unsupported value: {replicas}: supported values: "1", "3", "5"',
            stream={"replicas": replicas},
        )
    for keep in ("1y", "0d", "365", "-1d", "100000d", "Forever"):
        yield _refused(f"keep-{keep}", "spec.retention.keep", KEEP, retention={"keep": keep})
    yield _refused(
        "partition-by-week",
        "spec.retention.partitionBy",
        "must be one of day, month",
        server='Unsupported value: "week": supported values: "day", "month"',
        retention={"partitionBy": "week"},
    )


def _pools() -> Iterator[RefusedTenant]:
    def pooled(case: str, path: str, reason: str, **spec: Any) -> RefusedTenant:
        return _refused(f"pooled-{case}", path, reason, isolation="Pooled", **spec)

    yield pooled("31d", "spec.retention.keep", POOL_CLASS, retention={"keep": "31d"})
    yield pooled(
        "delete",
        "spec.deletionPolicy",
        "a Pooled tenant's events expire with its pool; Delete needs isolation Dedicated",
        deletionPolicy="Delete",
    )
    yield pooled("stream-bytes", "spec", POOL, stream={"maxBytes": "1Gi"})
    yield pooled("stream-replicas", "spec", POOL, stream={"replicas": 3})
    yield pooled("partition-by", "spec", POOL, retention={"partitionBy": "month"})
    yield pooled("ingest-replicas", "spec", POOL, ingest={"replicas": 0})
    yield pooled("ingest-autoscaling", "spec", POOL, ingest={"autoscaling": {}})
    yield pooled("resources", "spec", POOL, ingest={"resources": {}})
    yield pooled("allow-from", "spec", POOL, ingest={"allowFrom": [{"namespace": "web"}]})
    yield pooled("query-replicas", "spec", POOL, query={"replicas": 3})
    yield pooled("query-autoscaling", "spec", POOL, query={"autoscaling": {}})
