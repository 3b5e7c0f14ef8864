"""A configuration view is what its entries say, in order; a broken value leaves the former one."""

from __future__ import annotations

import msgspec

from audit_core import projection as p

TENANT = p.TenantConfig(tenant_id="t" * 16, name="acme", limits=p.Limits(events_per_second=5))
GRANT = p.KeyGrant(tenant_id="t" * 16, key_id="akl_1", principal="ci", scopes=("events:write",))
FROZEN = p.Frozen(reason="gap", since=5, evidence={"from": 3})


def _view(*entries: tuple[str, object]) -> p.ConfigView:
    view = p.ConfigView()
    for key, value in entries:
        assert view.apply(key, None if value is None else msgspec.json.encode(value)) is None
    return view


def test_each_kind_of_entry_is_found_again() -> None:
    digest = b"\7" * 32
    view = _view(
        (p.tenant_key("t" * 16), TENANT),
        (p.secret_key("t" * 16), p.TenantSecret(secret=b"s" * 32)),
        (p.api_key_key(digest), GRANT),
        (p.FROZEN_KEY, FROZEN),
        (p.VERSIONS_KEY, p.Versions(frame=1)),
        (p.DURABILITY_KEY, p.Durability(attested_at=9, peers=("n1",), replicas=1)),
        (p.TRIMMED_KEY, p.Trimmed(through=4)),
    )
    assert (view.tenants, view.secrets, view.keys) == (
        {"t" * 16: TENANT},
        {"t" * 16: b"s" * 32},
        {digest: GRANT},
    )
    assert (view.frozen, view.versions, view.trimmed) == (FROZEN, p.Versions(frame=1), p.Trimmed(through=4))
    assert view.durability == p.Durability(attested_at=9, peers=("n1",), replicas=1)


def test_a_deleted_entry_is_gone() -> None:
    digest = b"\7" * 32
    view = _view(
        (p.api_key_key(digest), GRANT),
        (p.FROZEN_KEY, FROZEN),
        (p.api_key_key(digest), None),
        (p.FROZEN_KEY, None),
    )
    assert (view.keys, view.frozen) == ({}, None)


def test_a_broken_value_is_named_and_changes_nothing() -> None:
    view = _view((p.tenant_key("t" * 16), TENANT))
    problem = view.apply(p.tenant_key("t" * 16), b'{"name": 5}')
    assert problem is not None
    assert view.tenants == {"t" * 16: TENANT}


def test_a_key_that_is_no_hash_is_named() -> None:
    assert _view().apply("key.zz", msgspec.json.encode(GRANT)) is not None


def test_a_key_of_a_newer_release_is_passed_over() -> None:
    assert _view().apply("shard.fill", b"{}") is None
    assert _view().apply("tenant.x.quota", b"{}") is None


def test_a_secret_never_shows_in_text() -> None:
    assert "73" not in repr(p.TenantSecret(secret=b"s" * 32))
    assert repr(p.TenantSecret(secret=b"s" * 32)) == "TenantSecret(…)"
