"""Every name that derives from a tenant or shard, whole values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_core import tenant

SHARD = "abcdefghijklmn23"


def test_names_of_a_shard() -> None:
    assert [
        tenant.stream_name(SHARD),
        tenant.ingest_subject(SHARD),
        tenant.control_subject(SHARD),
        tenant.outcome_subject(SHARD, b"\1" * 16),
        tenant.inbox_prefix(SHARD, "writer"),
        tenant.config_bucket(SHARD),
        tenant.watermark_bucket(SHARD),
        tenant.schema_name(SHARD),
        tenant.role_name(SHARD, "query"),
    ] == [
        "AUDIT_abcdefghijklmn23",
        "audit.in.abcdefghijklmn23",
        "audit.ctl.abcdefghijklmn23",
        "audit.out.abcdefghijklmn23." + "01" * 16,
        "_INBOX.abcdefghijklmn23.writer",
        "audit_cfg_abcdefghijklmn23",
        "audit_wm_abcdefghijklmn23",
        "shard_abcdefghijklmn23",
        "audit_abcdefghijklmn23_query",
    ]


def test_namespace_derives_from_the_name_and_origin_from_the_id() -> None:
    assert tenant.namespace("acme") == "audit-acme"
    assert tenant.origin("eu-1.example", SHARD) == "eu-1.example/abcdefghijklmn23"


@given(st.binary(min_size=10, max_size=10))
def test_ids_have_the_form_that_every_name_relies_on(random_bytes: bytes) -> None:
    made = tenant.new_id(random_bytes)
    assert tenant.is_id(made)
    assert len(made) == 16


def test_an_id_takes_eighty_random_bits() -> None:
    with pytest.raises(ValueError, match="10 random bytes"):
        tenant.new_id(b"short")


@pytest.mark.parametrize(
    "text", ["", "a" * 15, "a" * 17, "A" * 16, "a" * 15 + "1", "a" * 16 + "\n", 'a"; DROP TABLE x']
)
def test_other_text_is_no_id(text: str) -> None:
    assert not tenant.is_id(text)


@pytest.mark.parametrize("name", ["a", "acme", "a-1", "x" * 40])
def test_a_dns_label_is_a_name(name: str) -> None:
    assert tenant.name_problem(name) is None


@pytest.mark.parametrize("name", ["", "1a", "-a", "a-", "A", "a_b", "ä", "a.b", "x" * 41, "acme\n", "../x"])
def test_other_text_is_no_name(name: str) -> None:
    assert "DNS label" in (tenant.name_problem(name) or "")


@pytest.mark.parametrize("name", sorted(tenant.RESERVED_NAMES))
def test_reserved_names_are_refused(name: str) -> None:
    assert tenant.name_problem(name) == "this tenant name is reserved"
