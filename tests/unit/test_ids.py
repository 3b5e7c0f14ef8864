"""Ids and keys are functions of their inputs, and say their own form."""

from __future__ import annotations

import uuid

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from audit_core.ids import api_key_hash, idempotent_id, is_api_key, new_api_key, tenant_subkey, uuid7, uuid8


@given(st.integers(0, 2**48 - 1), st.integers(0, 2**74 - 1))
def test_uuid7_carries_time_version_and_variant(milliseconds: int, random_bits: int) -> None:
    made = uuid.UUID(uuid7(milliseconds, random_bits))
    assert (made.version, made.variant, made.int >> 80) == (7, uuid.RFC_4122, milliseconds)
    assert made.int & (2**62 - 1) == random_bits & (2**62 - 1)


def test_uuid7_sorts_by_time_then_by_random_bits() -> None:
    made = [uuid7(1, 5), uuid7(1, 2**63), uuid7(2, 0)]
    assert made == sorted(made)


@given(st.binary(min_size=16, max_size=32))
def test_uuid8_has_version_and_variant(digest: bytes) -> None:
    made = uuid.UUID(uuid8(digest))
    assert (made.version, made.variant) == (8, uuid.RFC_4122)


def test_an_idempotency_key_gives_each_event_of_a_request_its_own_id() -> None:
    ids = {idempotent_id(b"k" * 32, key, index) for key in ("a", "b", "ab") for index in range(3)}
    assert len(ids) == 9
    assert idempotent_id(b"k" * 32, "a", 0) == idempotent_id(b"k" * 32, "a", 0)
    assert idempotent_id(b"k" * 32, "a", 0) != idempotent_id(b"l" * 32, "a", 0)


def test_a_subkey_is_hkdf_sha256() -> None:
    expected = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"cursor").derive(b"s" * 32)
    assert tenant_subkey(b"s" * 32, "cursor") == expected


@given(st.binary(min_size=32, max_size=32))
def test_a_made_key_is_well_formed_and_a_typing_error_is_not(random_bytes: bytes) -> None:
    key = new_api_key(random_bytes)
    assert is_api_key(key)
    wrong = key[:10] + ("0" if key[10] != "0" else "1") + key[11:]
    assert not is_api_key(wrong)


@pytest.mark.parametrize(
    "text", ["", "akl_", "akl_" + "a" * 36, "AKL_" + "a" * 36, "akl_" + "é" * 36, "akl_" + "a" * 35 + "\n"]
)
def test_other_text_is_no_key(text: str) -> None:
    assert not is_api_key(text)


def test_a_key_is_stored_as_its_sha256() -> None:
    assert api_key_hash("akl_x").hex() == "2e786848f4e43512f28b7b4d07dc336805e240b22d9bf8bb870e169287c5f640"
