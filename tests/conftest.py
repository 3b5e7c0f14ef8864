"""What every test may ask for: the fixtures of `tests.support`."""

from __future__ import annotations

pytest_plugins = ["tests.support.nats", "tests.support.postgres", "tests.support.provisioning"]
