"""What changes in a configuration bucket follows from the resources and the control schema alone."""

from __future__ import annotations

import msgspec

from audit_core.projection import (
    DURABILITY_KEY,
    FROZEN_KEY,
    ConfigView,
    KeyGrant,
    TenantConfig,
    api_key_key,
    secret_key,
    tenant_key,
)
from audit_core.tenant import Isolation
from audit_operator.clients.api_keys import ApiKey
from audit_operator.clients.buckets import Entry
from audit_operator.clients.tenants import Tenant
from audit_operator.reconcile.projection import (
    Change,
    changes,
    removed_entries,
    tenant_entries,
)

ACME = Tenant(
    tenant_id="a" * 16,
    name="acme",
    shard_id="s" * 16,
    isolation=Isolation.POOLED,
    generation=3,
    created_at=1,
    removed_at=None,
    secret=b"x" * 32,
)
CONFIG = TenantConfig(tenant_id=ACME.tenant_id, name="acme", pooled=True, generation=3)
KEY = ApiKey(
    key_id="k1",
    tenant_id=ACME.tenant_id,
    key_sha256=b"\7" * 32,
    principal="ci",
    scopes=("events:write",),
    created_at=1,
    expires_at=99,
)


def _observed(entries: dict[str, bytes], revision: int = 4) -> dict[str, Entry]:
    return {key: Entry(value=value, revision=revision) for key, value in entries.items()}


def _view(entries: dict[str, bytes]) -> ConfigView:
    view = ConfigView()
    assert [view.apply(key, value) for key, value in entries.items()] == [None] * len(entries)
    return view


def test_functions_see_the_tenant_its_secret_and_its_keys() -> None:
    view = _view(tenant_entries(ACME, CONFIG, [KEY]))
    assert view.tenants == {ACME.tenant_id: CONFIG}
    assert view.secrets == {ACME.tenant_id: ACME.secret}
    assert view.keys == {
        KEY.key_sha256: KeyGrant(
            tenant_id=ACME.tenant_id, key_id="k1", principal="ci", scopes=("events:write",), expires_at=99
        )
    }


def test_of_a_removed_tenant_only_that_is_left() -> None:
    view = _view(removed_entries(ACME))
    assert (view.secrets, view.keys) == ({}, {})
    assert view.tenants == {
        ACME.tenant_id: TenantConfig(
            tenant_id=ACME.tenant_id, name="acme", state="Removed", pooled=True, generation=3
        )
    }


def test_what_is_as_wanted_is_not_written() -> None:
    entries = tenant_entries(ACME, CONFIG, [KEY])
    assert changes(entries, _observed(entries)) == []


def test_what_is_missing_is_written_as_new_and_what_differs_over_its_revision() -> None:
    assert changes({"tenant.a.spec": b"1", "tenant.a.secret": b"2"}, _observed({"tenant.a.spec": b"0"})) == [
        Change(key="tenant.a.spec", value=b"1", revision=4),
        Change(key="tenant.a.secret", value=b"2", revision=0),
    ]


def test_what_nobody_has_is_deleted_before_anything_is_written() -> None:
    revoked = api_key_key(rb"\9" * 32)
    observed = _observed({revoked: b"{}", secret_key("b" * 16): b"{}"}, revision=8)
    assert changes({"tenant.a.spec": b"1"}, observed) == [
        Change(key=revoked, value=None, revision=8),
        Change(key=secret_key("b" * 16), value=None, revision=8),
        Change(key="tenant.a.spec", value=b"1", revision=0),
    ]


def test_what_was_deleted_is_not_deleted_again_but_written_over() -> None:
    gone = {"tenant.a.spec": Entry(value=None, revision=6), "key.b": Entry(value=None, revision=7)}
    assert changes({"tenant.a.spec": b"1"}, gone) == [Change(key="tenant.a.spec", value=b"1", revision=6)]


def test_the_entries_of_others_stay() -> None:
    others = tenant_key("b" * 16)
    observed = _observed({FROZEN_KEY: b"{}", DURABILITY_KEY: b"{}", others: b"{}"})
    assert changes({}, observed, untouched=[others]) == []


def test_secrets_are_not_shown_by_accident() -> None:
    assert "x" * 8 not in repr(ACME)
    assert b"x" * 8 not in msgspec.json.encode(CONFIG)
