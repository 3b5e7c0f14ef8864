"""What the local runtime is told by its environment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from audit_operator.local.errors import CannotRun

_PREFIX: Final = "AUDIT_"


class LocalSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The variables `AUDIT_<FIELD>` of `python -m audit_operator.local`."""

    state_dir: str = ".audit"
    """Where data, keys, credentials and logs are kept. Deleting it deletes every event."""

    tenants_dir: str = "examples/tenants"
    """The folder with the AuditTenant manifests that are served."""

    port: int = 8000
    """Where the HTTP functions listen, on 127.0.0.1."""

    installation: str = "local"
    """The first part of every log's origin."""

    log_level: str = "info"
    """Which lines the functions write to their logs."""

    @property
    def state(self) -> Path:
        """The state folder, absolute: children run elsewhere."""
        return Path(self.state_dir).absolute()

    @property
    def tenants(self) -> Path:
        """The folder of manifests, as it was given: messages name files in it."""
        return Path(self.tenants_dir)

    @property
    def url(self) -> str:
        """Where callers reach the endpoint of every tenant."""
        return f"http://localhost:{self.port}"

    @property
    def endpoints(self) -> Path:
        """The file that names each tenant's address and key."""
        return self.state / "endpoints.json"


def local_settings(environment: Mapping[str, str]) -> LocalSettings:
    """Return the settings that the environment gives. Raises CannotRun that names the variable."""
    told: dict[str, Any] = {
        name.removeprefix(_PREFIX).lower(): value
        for name, value in environment.items()
        if name.startswith(_PREFIX) and value
    }
    try:
        settings = msgspec.convert(told, LocalSettings, strict=False)
    except msgspec.ValidationError as error:
        raise CannotRun("the environment makes no sense", f"{_PREFIX}*: {error}") from error
    if not 0 < settings.port < 1 << 16:
        raise CannotRun(f"AUDIT_PORT is {settings.port}", "choose a port from 1 to 65535")
    return settings
