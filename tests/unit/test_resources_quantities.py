"""Quantities in the form in which the API server keeps them. What is expected is what a server of 1.36 answered."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_operator.model.quantity import ResourceQuantity, resource_quantity
from audit_operator.resources.quantity import canonical, in_bytes, in_processors

KEPT = {
    "0": "0",
    "0Mi": "0",
    "1": "1",
    "0.5": "500m",
    "0.1": "100m",
    ".25": "250m",
    "1000m": "1",
    "1500m": "1500m",
    "2.5": "2500m",
    "1000": "1k",
    "1024": "1024",
    "100000000": "100M",
    "1500M": "1500M",
    "1000G": "1T",
    "1024Mi": "1Gi",
    "1.5Gi": "1536Mi",
    "1536Ki": "1536Ki",
    "1.5Ki": "1536",
    "1Ki": "1Ki",
    "0.5Ki": "512",
    "0.3Ki": "307200m",
    "1.0001Ki": "1024102400u",
    "1e3": "1e3",
    "1E3": "1e3",
    "1e4": "10e3",
    "5e-1": "500e-3",
    "12E": "12E",
    "1500000000n": "1500m",
    "0.5n": "1n",
    "3u": "3u",
    "20Ei": "9223372036854775807",
}


@pytest.mark.parametrize(("written", "kept"), KEPT.items())
def test_a_quantity_is_written_as_the_server_keeps_it(written: str, kept: str) -> None:
    assert canonical(resource_quantity(written)) == kept


@given(
    st.from_regex(r"(0|[1-9][0-9]{0,5})(\.[0-9]{1,3})?", fullmatch=True),
    st.sampled_from(("", "m", "k", "M", "G", "Ki", "Mi", "Gi", "e2", "e3", "e-3")),
)
def test_the_canonical_form_is_the_same_amount_and_its_own_canonical_form(number: str, suffix: str) -> None:
    quantity = resource_quantity(number + suffix)
    kept = resource_quantity(canonical(quantity))
    assert kept.amount == quantity.amount
    assert canonical(kept) == kept


def test_sums_are_written_in_the_same_form() -> None:
    assert in_bytes(Decimal(3 << 30)) == "3Gi"
    assert in_bytes(Decimal("1536.5")) == "1537"
    assert in_bytes(Decimal(0)) == "0"
    assert in_processors(Decimal("0.0001")) == "1m"
    assert in_processors(Decimal("2.000")) == "2"
    for written in (in_bytes(Decimal(3 << 30)), in_processors(Decimal("11.25"))):
        assert canonical(ResourceQuantity(written)) == written
