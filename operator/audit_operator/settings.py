"""What the operator is told by its environment, decoded once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec

_PREFIX: Final = "AUDIT_"
_LISTS: Final = ("image_pull_secrets", "egress_cidrs", "egress_namespaces")
_Positive = Annotated[int, msgspec.Meta(ge=1)]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The variables `AUDIT_<FIELD>` of `python -m audit_operator`. Variables that are no field belong to others."""

    nats_url: str
    """The stream's servers, several with commas between. Handed to the functions as it is."""

    nats_credentials: Path
    """The file with the installation's NATS authority. Whoever reads it can mint any user."""

    postgres_dsn: str
    """An administrator's connection to the database of the log. The functions get the same with their own roles."""

    image: str
    """The functions' image, by digest in production."""

    namespace: str
    """The operator's own namespace: its Lease, the pools' credentials and the pooled tenants' first keys are there."""

    pod_name: str
    """What the Lease shows as its holder: unique among the replicas."""

    installation: str = "audit-log"
    """The first part of every log's origin. Changing it makes other logs."""

    service_account: str = "audit-operator"
    """The ServiceAccount that the operator runs as: what it binds to the role for Secrets in tenants' namespaces."""

    secrets_cluster_role: str = "audit-operator-tenant-secrets"
    """The one ClusterRole that it may bind."""

    backup: Literal["archive", "none"] = "none"
    """What trimming of streams waits for besides the commit: `archive` if WAL is archived."""

    stream_replicas: Annotated[int, msgspec.Meta(ge=1, le=5)] = 3
    """Servers that keep each stream of a tenant that asks for no number, and of every pool."""

    stream_max_bytes: _Positive = 10 << 30
    """The size of a Dedicated tenant's stream that names none, in bytes."""

    pool_max_bytes: _Positive = 10 << 30
    """The size of a pool's stream, in bytes."""

    concurrency: Annotated[int, msgspec.Meta(ge=1, le=256)] = 16
    """Tenants reconciled at once."""

    resync_seconds: Annotated[float, msgspec.Meta(ge=1)] = 600.0
    """After this long every tenant is looked at again, whether or not anything seems to have changed."""

    lease_seconds: Annotated[float, msgspec.Meta(ge=1)] = 15.0
    """A leader that cannot renew its Lease for so long has stopped; another one goes on then."""

    read_only: bool = False
    """Look at everything and change nothing: what would change is logged and counted."""

    address: str = "0.0.0.0"  # noqa: S104 - the kubelet and Prometheus come from outside the pod
    """Where /healthz, /readyz and /metrics are answered."""

    port: int = 8080
    """The port for the same."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Which lines are written to standard error, by the operator and by the functions it starts."""

    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    """Of the functions' pods."""

    image_pull_secrets: tuple[str, ...] = ()
    """Names of Secrets that must be in every tenant's namespace."""

    gateway_name: str = ""
    """The Gateway that tenants' HTTPRoutes attach to. Empty: no routes are made."""

    gateway_namespace: str = ""
    """The namespace of that Gateway; empty: the operator's."""

    domain: str = ""
    """The domain under which a tenant's host is its name."""

    nats_port: int = 4222
    """The port that functions may reach of NATS."""

    postgres_port: int = 5432
    """The port that query and writer may reach of PostgreSQL."""

    egress_cidrs: tuple[str, ...] = ()
    """Networks in which NATS and PostgreSQL are reached. With namespaces empty too: anywhere, at those ports."""

    egress_namespaces: tuple[str, ...] = ()
    """Namespaces in which NATS and PostgreSQL are reached."""


class InvalidSettings(ValueError):
    """The environment does not make sense; the text names the variable."""


def settings_from(environment: Mapping[str, str]) -> Settings:
    """Return the settings that the environment gives. Raises InvalidSettings."""
    told: dict[str, Any] = {
        name.removeprefix(_PREFIX).lower(): value
        for name, value in environment.items()
        if name.startswith(_PREFIX) and value
    }
    for name in _LISTS:
        if name in told:
            told[name] = [each.strip() for each in told[name].split(",") if each.strip()]
    try:
        settings = msgspec.convert(told, Settings, strict=False, dec_hook=_path)
    except msgspec.ValidationError as error:
        raise InvalidSettings(f"{_PREFIX}*: {error}") from error
    if settings.gateway_name and not settings.domain:
        raise InvalidSettings("AUDIT_DOMAIN: needed with AUDIT_GATEWAY_NAME, tenants' hosts are under it")
    return settings


def _path(kind: type, value: Any) -> Path:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise NotImplementedError(kind)
