"""What the environment says, decoded once, and named when it makes no sense."""

from __future__ import annotations

from pathlib import Path

import pytest

from audit_functions.settings import InvalidSettings, Settings, settings_from

LEAST = {"AUDIT_FUNCTIONS": "ingest", "AUDIT_SHARDS": "/shards"}


def test_the_least_that_has_to_be_said() -> None:
    assert settings_from(LEAST) == Settings(functions=("ingest",), shards=Path("/shards"))


def test_everything_may_be_said() -> None:
    told = settings_from(
        {
            "AUDIT_FUNCTIONS": "ingest, query",
            "AUDIT_SHARDS": "/shards",
            "AUDIT_INSTALLATION": "eu",
            "AUDIT_NATS_URL": "nats://a:4222,nats://b:4222",
            "AUDIT_ADDRESS": "0.0.0.0",
            "AUDIT_PORT": "9000",
            "AUDIT_LOG_LEVEL": "warning",
            "AUDIT_BACKUP": "archive",
            "AUDIT_MAX_INFLIGHT_BYTES": "1000",
            "AUDIT_TENANTS_DIR": "of another process",
            "HOME": "/root",
        }
    )
    assert told == Settings(
        functions=("ingest", "query"),
        shards=Path("/shards"),
        installation="eu",
        nats_url="nats://a:4222,nats://b:4222",
        address="0.0.0.0",
        port=9000,
        log_level="warning",
        backup="archive",
        max_inflight_bytes=1000,
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"AUDIT_FUNCTIONS": ""},
        {"AUDIT_FUNCTIONS": "ingest,admin"},
        {"AUDIT_FUNCTIONS": "writer,ingest"},
        {"AUDIT_PORT": "http"},
        {"AUDIT_LOG_LEVEL": "loud"},
        {"AUDIT_BACKUP": "sometimes"},
    ],
)
def test_what_makes_no_sense_is_refused(changed: dict[str, str]) -> None:
    with pytest.raises(InvalidSettings, match=r"AUDIT_"):
        settings_from(LEAST | changed)


@pytest.mark.parametrize("missing", sorted(LEAST))
def test_what_is_missing_is_named(missing: str) -> None:
    with pytest.raises(InvalidSettings, match=missing.removeprefix("AUDIT_").lower()):
        settings_from({name: value for name, value in LEAST.items() if name != missing})
