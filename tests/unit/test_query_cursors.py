"""A cursor goes on with the list it was made for, and with no other."""

from __future__ import annotations

import base64
import os

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_core.errors import InvalidQuery
from audit_core.query import Filters, Order, Position
from audit_functions.query.cursor import Listing, seal, unseal

SECRET = bytes(range(32))
OTHER_SECRET = bytes(32)
LISTING = Listing(
    tenant_id="aaaaaaaaaaaaaaaa",
    route="logs",
    filters=Filters(actor_id=("u1",), received_from=5),
    order=Order.DESCENDING,
)
LAST = Position(received_at=1_764_000_000_123_456, sequence=77)


@given(st.integers(-(2**62), 2**62), st.integers(0, 2**63 - 1))
def test_a_cursor_leads_to_the_position_it_was_made_of(received_at: int, sequence: int) -> None:
    last = Position(received_at=received_at, sequence=sequence)
    assert unseal(SECRET, LISTING, seal(SECRET, LISTING, last)) == last


def test_a_cursor_fits_into_a_url_as_it_is_and_tells_nothing() -> None:
    one, two = seal(SECRET, LISTING, LAST), seal(SECRET, LISTING, LAST)
    assert one != two
    assert one.replace("-", "").replace("_", "").isalnum()
    assert len(one) < 250
    opened = base64.urlsafe_b64decode(one + "==")
    assert b"aaaa" not in opened
    assert b"logs" not in opened


@pytest.mark.parametrize(
    "changes",
    [
        {"tenant_id": "bbbbbbbbbbbbbbbb"},
        {"order": Order.ASCENDING},
        {"filters": Filters(received_from=5)},
        {"filters": Filters(actor_id=("u1", "u2"), received_from=5)},
        {"filters": Filters(target_id=("u1",), received_from=5)},
        {"filters": Filters(actor_id=("u1",), received_from=6)},
        {"filters": Filters(actor_id=("u1",), received_from=5, received_to=9)},
    ],
    ids=str,
)
def test_it_goes_on_with_no_other_list(changes: dict[str, object]) -> None:
    token = seal(SECRET, LISTING, LAST)
    _refused(SECRET, msgspec.structs.replace(LISTING, **changes), token)


def test_it_opens_with_no_other_tenants_secret() -> None:
    _refused(OTHER_SECRET, LISTING, seal(SECRET, LISTING, LAST))


def test_no_character_of_it_can_be_changed_left_out_or_added() -> None:
    token = seal(SECRET, LISTING, LAST)
    for place in range(len(token)):
        for character in "A_9":
            if token[place] != character:
                _refused(SECRET, LISTING, token[:place] + character + token[place + 1 :])
        _refused(SECRET, LISTING, token[:place] + token[place + 1 :])
        _refused(SECRET, LISTING, token[:place])
    for more in ("=", "A", " ", "\n", ".", "é"):
        _refused(SECRET, LISTING, token + more)


def test_the_last_character_has_one_form_only() -> None:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    token = seal(SECRET, LISTING, LAST)
    accepted = []
    for character in alphabet:
        try:
            unseal(SECRET, LISTING, token[:-1] + character)
        except InvalidQuery:
            continue
        accepted.append(character)
    assert accepted == [token[-1]]


@given(
    st.binary(max_size=200).map(lambda data: base64.urlsafe_b64encode(data).decode().rstrip("="))
    | st.text(max_size=200)
)
def test_any_other_text_is_refused(text: str) -> None:
    _refused(SECRET, LISTING, text)


@pytest.mark.parametrize("length", [0, 1, 12, 13, 14, 28, 29, 30])
def test_a_short_one_of_the_right_version_is_refused(length: int) -> None:
    token = base64.urlsafe_b64encode(b"\x01" + os.urandom(length)).decode().rstrip("=")
    _refused(SECRET, LISTING, token)


def _refused(secret: bytes, listing: Listing, token: str) -> None:
    with pytest.raises(InvalidQuery) as refused:
        unseal(secret, listing, token)
    assert refused.value.parameter == "cursor"
