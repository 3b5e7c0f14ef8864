from __future__ import annotations

import pytest

from audit_operator.clients.postgres import is_supported
from audit_operator.clients.scram import scram_verifier


def test_a_verifier_is_what_postgresql_stores() -> None:
    verifier = scram_verifier("correct-horse_battery-staple", bytes(range(16)))
    assert verifier == (
        "SCRAM-SHA-256$4096:AAECAwQFBgcICQoLDA0ODw=="
        "$/8QWISP4UkPp+lwRfrFi+v8CQepeNXHSUHQvMYixsBU=:0s3lHxAqA1loGIjLR2Ej8ctDDo9pgOkClLYjC+5hv4c="
    )


@pytest.mark.parametrize(
    "password", ["", "short", "x" * 129, "with space in the middle ok", "ünïcödé-password-of-length"]
)
def test_only_generated_passwords_are_taken(password: str) -> None:
    with pytest.raises(ValueError, match="24 to 128"):
        scram_verifier(password, bytes(16))


@pytest.mark.parametrize(
    ("version", "supported"),
    [
        (140019, False),
        (150013, False),
        (150014, True),
        (160009, False),
        (160010, True),
        (170005, False),
        (170006, True),
        (180000, True),
        (190001, True),
    ],
)
def test_servers_with_known_leaks_past_row_security_are_refused(version: int, *, supported: bool) -> None:
    assert is_supported(version) is supported
