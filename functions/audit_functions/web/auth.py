"""Who calls: an API key looked up in memory, and what its tenant allows.

Everything that a caller could learn from is one answer: an unknown, a malformed and an expired key are the same 401.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from audit_core.errors import ConfigStale, Forbidden, Unauthenticated
from audit_core.ids import is_api_key
from audit_core.projection import ConfigView, KeyGrant, Scope, TenantConfig
from audit_core.tenant import ShardId

MAX_CONFIG_AGE_SECONDS: Final = 5.0
_MAX_REMEMBERED: Final = 10_000
_KEY_CHARS: Final = 40
_LOCAL_HOST: Final = ".localhost"


class ServedShard(Protocol):
    """What every function's shard offers to authentication and to readiness."""

    @property
    def shard_id(self) -> ShardId:
        """The shard's id."""
        ...

    @property
    def view(self) -> ConfigView:
        """The configuration, as of now."""
        ...

    def config_age_seconds(self) -> float:
        """How long ago the configuration was confirmed."""
        ...

    def problem(self) -> str | None:
        """Why the shard cannot do the function's work now, in words for an operator, or None when it can."""
        ...


S = TypeVar("S", bound=ServedShard)


@dataclass(frozen=True, slots=True, eq=False)
class Caller(Generic[S]):
    """A request's sender: the grant of its key, its tenant as configured now, and the shard that holds it.

    The same object is returned until one of the three changes, so what is derived from it may be kept by identity.
    """

    shard: S
    grant: KeyGrant
    tenant: TenantConfig

    @property
    def tenant_id(self) -> str:
        """The tenant's immutable id."""
        return self.tenant.tenant_id

    @property
    def secret(self) -> bytes:
        """The tenant's secret, from which idempotency ids and cursors derive. Raises ConfigStale when it is missing."""
        secret = self.shard.view.secrets.get(self.tenant.tenant_id)
        if secret is None:
            raise ConfigStale(self.shard.shard_id, self.shard.config_age_seconds())
        return secret

    def may(self, scope: Scope) -> None:
        """Raise Forbidden unless the key has `scope` and the tenant's state lets it be used."""
        if scope not in self.grant.scopes:
            raise Forbidden(f"the key lacks the scope {scope}")
        match self.tenant.state:
            case "Active":
                return
            case "ReadOnly" if scope == "events:read":
                return
            case "ReadOnly":
                raise Forbidden("the tenant takes no new events: it is ReadOnly")
            case "Suspended":
                raise Forbidden("the tenant is Suspended")
            case "Removed":
                raise Forbidden("the tenant was removed")


class Directory(Generic[S]):
    """Finds the caller of a request among the shards that are served.

    `shards` is read anew for each request. `awaited` tells how many shards are known that are not served yet: while
    there are any, an unknown key may be theirs, and is answered 503 instead of 401.
    """

    def __init__(
        self,
        shards: Mapping[ShardId, S],
        awaited: Callable[[], int] = lambda: 0,
        *,
        now_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._shards = shards
        self._awaited = awaited
        self._now_us = now_us
        self._remembered: dict[bytes, Caller[S]] = {}

    def authenticate(self, headers: Mapping[bytes, bytes]) -> Caller[S]:
        """Return the caller. `headers` by lower-case name. Raises Unauthenticated, ConfigStale, Forbidden."""
        key = _key_in(headers)
        digest = hashlib.sha256(key).digest()
        caller = self._remembered.get(digest)
        if caller is None or not self._still_holds(digest, caller):
            caller = self._found(key, digest)
            self._remember(digest, caller)
        age = caller.shard.config_age_seconds()
        if age > MAX_CONFIG_AGE_SECONDS:
            raise ConfigStale(caller.shard.shard_id, age)
        expires_at = caller.grant.expires_at
        if expires_at is not None and expires_at <= self._now_us():
            raise Unauthenticated("expired")
        _demand_same_tenant(headers, caller.tenant)
        return caller

    def _still_holds(self, digest: bytes, caller: Caller[S]) -> bool:
        """Tell whether grant, tenant and shard are the very objects that a search would find now."""
        shard = caller.shard
        view = shard.view
        return (
            view.keys.get(digest) is caller.grant
            and view.tenants.get(caller.grant.tenant_id) is caller.tenant
            and self._shards.get(shard.shard_id) is shard
        )

    def _found(self, key: bytes, digest: bytes) -> Caller[S]:
        if not is_api_key(key.decode("ascii")):
            raise Unauthenticated("malformed")
        oldest: tuple[float, ShardId] = (0.0, ShardId(""))
        for shard in self._shards.values():
            grant = shard.view.keys.get(digest)
            tenant = None if grant is None else shard.view.tenants.get(grant.tenant_id)
            if grant is not None and tenant is not None:
                return Caller(shard=shard, grant=grant, tenant=tenant)
            oldest = max(oldest, (shard.config_age_seconds(), shard.shard_id))
        if self._awaited() or oldest[0] > MAX_CONFIG_AGE_SECONDS:
            raise ConfigStale(oldest[1], oldest[0])
        raise Unauthenticated("unknown")

    def _remember(self, digest: bytes, caller: Caller[S]) -> None:
        if len(self._remembered) >= _MAX_REMEMBERED:
            self._remembered.clear()
        self._remembered[digest] = caller


def _key_in(headers: Mapping[bytes, bytes]) -> bytes:
    """Return the API key that the headers carry. Raises Unauthenticated when there is none of the right form."""
    authorization = headers.get(b"authorization")
    if authorization is None:
        key = headers.get(b"x-api-key")
    else:
        scheme, _, key = authorization.partition(b" ")
        key = key.strip() if scheme.lower() == b"bearer" else None
    if key is None:
        raise Unauthenticated("missing")
    if len(key) != _KEY_CHARS or not key.isascii():
        raise Unauthenticated("malformed")
    return key


def _demand_same_tenant(headers: Mapping[bytes, bytes], tenant: TenantConfig) -> None:
    """Raise Forbidden when a header names a tenant that is not the credential's."""
    named = headers.get(b"x-tenant-id")
    if named is not None and named.decode("latin-1") not in (tenant.tenant_id, tenant.name):
        raise Forbidden("X-Tenant-ID names another tenant than the credential")
    host = headers.get(b"host", b"")
    if b".localhost" in host.lower():
        name = host.decode("latin-1").lower().rsplit(":", 1)[0].rstrip(".")
        if name.endswith(_LOCAL_HOST) and name.removesuffix(_LOCAL_HOST) != tenant.name:
            raise Forbidden("the host names another tenant than the credential")
