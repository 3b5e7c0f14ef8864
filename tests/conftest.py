"""What every test may ask for: the fixtures of `tests.support`, and property tests that a busy machine cannot fail."""

from __future__ import annotations

import inspect

from hypothesis import settings

pytest_plugins = [
    "tests.support.cluster",
    "tests.support.crd",
    "tests.support.nats",
    "tests.support.functions",
    "tests.support.postgres",
    "tests.support.provisioning",
    "tests.support.supervision",
    "tests.support.writing",
    "tests.support.operator",
]

# The time of one example says how busy the machine is; what must be quick has a test that measures it.
settings.register_profile("project", deadline=None, print_blob=True)
settings.load_profile("project")


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name functions among parameters without their address: each process must collect the same tests."""
    return "function" if inspect.isfunction(val) else None
