"""Whose key it is, found in memory, and never by what else a request says."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import msgspec
import pytest

from audit_core.errors import AuditError, ConfigStale, Forbidden, Unauthenticated
from audit_core.ids import api_key_hash, new_api_key
from audit_core.projection import ConfigView, KeyGrant, Scope, State, TenantConfig, api_key_key, tenant_key
from audit_core.tenant import ShardId, new_id
from audit_functions.web.auth import MAX_CONFIG_AGE_SECONDS, Directory

NOW = 1_769_851_800_000_000


@dataclass
class Shard:
    """A shard as far as authentication goes."""

    shard_id: ShardId = field(default_factory=lambda: ShardId(new_id(os.urandom(10))))
    view: ConfigView = field(default_factory=ConfigView)
    age: float = 0.0

    def config_age_seconds(self) -> float:
        return self.age

    def problem(self) -> str | None:
        return None

    def holds(
        self,
        name: str = "acme",
        *,
        state: State = "Active",
        scopes: tuple[Scope, ...] = ("events:write",),
        expires_at: int | None = None,
    ) -> str:
        """Add a tenant; return its key."""
        key, tenant_id = new_api_key(os.urandom(32)), new_id(os.urandom(10))
        spec = TenantConfig(tenant_id=tenant_id, name=name, state=state)
        grant = KeyGrant(
            tenant_id=tenant_id, key_id="k", principal=name, scopes=scopes, expires_at=expires_at
        )
        self.view.apply(tenant_key(tenant_id), msgspec.json.encode(spec))
        self.view.apply(api_key_key(api_key_hash(key)), msgspec.json.encode(grant))
        return key


def directory(*shards: Shard, awaited: int = 0) -> Directory[Shard]:
    return Directory({shard.shard_id: shard for shard in shards}, lambda: awaited, now_us=lambda: NOW)


def bearer(key: str, **headers: bytes) -> dict[bytes, bytes]:
    named = {name.replace("_", "-").encode(): value for name, value in headers.items()}
    return {b"authorization": b"Bearer " + key.encode(), **named}


def refusal(found: Directory[Shard], headers: dict[bytes, bytes]) -> AuditError | None:
    try:
        found.authenticate(headers)
    except AuditError as error:
        return error
    return None


def test_a_key_finds_its_tenant_in_the_shard_that_holds_it() -> None:
    first, second = Shard(), Shard()
    keys = {
        name: shard.holds(name) for shard, name in ((first, "acme"), (first, "globex"), (second, "initech"))
    }
    known = directory(first, second)
    for _ in range(2):
        found = {name: known.authenticate(bearer(key)) for name, key in keys.items()}
        assert {name: caller.tenant.name for name, caller in found.items()} == {name: name for name in keys}
        assert found["initech"].shard is second


def test_the_same_caller_is_returned_until_its_configuration_changes() -> None:
    shard = Shard()
    key = shard.holds()
    known = directory(shard)
    first = known.authenticate(bearer(key))
    assert known.authenticate(bearer(key)) is first
    changed = msgspec.structs.replace(first.tenant, state="ReadOnly")
    shard.view.apply(tenant_key(first.tenant_id), msgspec.json.encode(changed))
    second = known.authenticate(bearer(key))
    assert second is not first
    assert second.tenant.state == "ReadOnly"


def test_a_key_that_is_deleted_is_unknown_at_once_though_it_was_used() -> None:
    shard = Shard()
    key = shard.holds()
    known = directory(shard)
    known.authenticate(bearer(key))
    shard.view.apply(api_key_key(api_key_hash(key)), None)
    assert isinstance(refusal(known, bearer(key)), Unauthenticated)


def test_a_shard_that_is_let_go_takes_its_keys_along() -> None:
    shard = Shard()
    key = shard.holds()
    serving = {shard.shard_id: shard}
    known = Directory(serving)
    known.authenticate(bearer(key))
    del serving[shard.shard_id]
    assert isinstance(refusal(known, bearer(key)), Unauthenticated)


def test_a_key_expires_at_its_time_and_not_after() -> None:
    shard = Shard()
    lasting, ending = shard.holds(expires_at=NOW + 1), shard.holds(expires_at=NOW)
    assert refusal(directory(shard), bearer(lasting)) is None
    assert isinstance(refusal(directory(shard), bearer(ending)), Unauthenticated)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {b"authorization": b""},
        {b"authorization": b"Bearer"},
        {b"authorization": b"Basic " + new_api_key(bytes(32)).encode()},
        {b"authorization": b"Bearer akl_" + b"\xff" * 36},
        {b"authorization": b"Bearer " + new_api_key(bytes(32)).encode()},
        {b"authorization": b"Bearer " + b"a" * 40},
        {b"x-api-key": b""},
    ],
)
def test_anything_but_a_known_key_is_unauthenticated(headers: dict[bytes, bytes]) -> None:
    shard = Shard()
    shard.holds()
    assert isinstance(refusal(directory(shard), headers), Unauthenticated)


def test_the_authorization_header_goes_before_the_other_one() -> None:
    shard = Shard()
    key = shard.holds()
    assert refusal(directory(shard), {b"x-api-key": key.encode()}) is None
    both = {b"authorization": b"Bearer nonsense", b"x-api-key": key.encode()}
    assert isinstance(refusal(directory(shard), both), Unauthenticated)


def test_a_configuration_that_is_too_old_is_not_used() -> None:
    shard = Shard()
    key = shard.holds()
    known = directory(shard)
    shard.age = MAX_CONFIG_AGE_SECONDS
    assert refusal(known, bearer(key)) is None
    shard.age = MAX_CONFIG_AGE_SECONDS + 0.1
    assert isinstance(refusal(known, bearer(key)), ConfigStale)


def test_an_unknown_key_may_belong_to_a_shard_that_is_not_seen_yet() -> None:
    stranger = bearer(new_api_key(os.urandom(32)))
    assert isinstance(refusal(directory(Shard(), awaited=1), stranger), ConfigStale)
    assert isinstance(refusal(directory(Shard(), Shard(age=60.0)), stranger), ConfigStale)
    assert isinstance(refusal(directory(Shard()), stranger), Unauthenticated)


@pytest.mark.parametrize(
    ("state", "scope", "allowed"),
    [
        ("Active", "events:write", True),
        ("Active", "events:read", True),
        ("ReadOnly", "events:write", False),
        ("ReadOnly", "events:read", True),
        ("Suspended", "events:write", False),
        ("Suspended", "events:read", False),
    ],
)
def test_what_a_tenants_state_allows(state: State, scope: Scope, allowed: bool) -> None:
    shard = Shard()
    key = shard.holds(state=state, scopes=("events:write", "events:read"))
    caller = directory(shard).authenticate(bearer(key))
    if allowed:
        caller.may(scope)
    else:
        with pytest.raises(Forbidden):
            caller.may(scope)


def test_a_key_may_only_what_its_scopes_say() -> None:
    shard = Shard()
    caller = directory(shard).authenticate(bearer(shard.holds(scopes=("events:read",))))
    caller.may("events:read")
    with pytest.raises(Forbidden):
        caller.may("events:write")


def test_a_header_may_confirm_the_tenant_and_not_choose_it() -> None:
    shard = Shard()
    key = shard.holds("acme")
    shard.holds("globex")
    known = directory(shard)
    tenant_id = known.authenticate(bearer(key)).tenant_id.encode()
    for good in (b"acme", tenant_id):
        assert refusal(known, bearer(key, x_tenant_id=good)) is None
    for bad in (b"globex", b"", b"acme ", b"\xff"):
        assert isinstance(refusal(known, bearer(key, x_tenant_id=bad)), Forbidden)
    for host in (b"localhost", b"acme.localhost:8000", b"example.org", b"globex.localhost.example.org"):
        assert refusal(known, bearer(key, host=host)) is None
    for host in (b"globex.localhost", b"globex.LOCALHOST:80", b"acme.globex.localhost", b".localhost"):
        assert isinstance(refusal(known, bearer(key, host=host)), Forbidden)


def test_a_tenant_whose_secret_is_missing_is_not_served_with_a_made_up_one() -> None:
    shard = Shard()
    caller = directory(shard).authenticate(bearer(shard.holds()))
    with pytest.raises(ConfigStale):
        _ = caller.secret
