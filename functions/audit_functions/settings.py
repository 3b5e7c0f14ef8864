"""What a process is told by its environment, decoded once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

_PREFIX: Final = "AUDIT_"

FunctionName = Literal["ingest", "query", "writer"]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The variables `AUDIT_<FIELD>`. Variables that are no field belong to other processes."""

    functions: tuple[FunctionName, ...]
    """What this process is: `ingest`, `query` or both (`ingest,query`), or `writer` alone."""

    shards: Path
    """The folder with one folder per served shard, in it the credentials of each function. Looked at every 2 s."""

    installation: str = "local"
    """The first part of every log's origin. Changing it makes other logs."""

    nats_url: str = "nats://127.0.0.1:4222"
    """The stream's servers, several with commas between."""

    address: str = "127.0.0.1"
    """Where to listen. In a pod `0.0.0.0`: whoever reaches it may send credentials in plain text."""

    port: int = 8000
    """The HTTP port; of the writer the port of its metrics."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Which lines are written to standard error."""

    backup: Literal["archive", "none"] | None = None
    """What the trimmer waits for besides the commit. The writer demands that it is said."""

    max_inflight_bytes: int = 48 * 1024 * 1024
    """Bodies of requests that are under way, in bytes, reserved before they are read. Beyond it: 503."""


class InvalidSettings(ValueError):
    """The environment does not make sense; the text names the variable."""


def settings_from(environment: Mapping[str, str]) -> Settings:
    """Return the settings that the environment gives. Raises InvalidSettings."""
    told: dict[str, Any] = {
        name.removeprefix(_PREFIX).lower(): value
        for name, value in environment.items()
        if name.startswith(_PREFIX)
    }
    if "functions" in told:
        told["functions"] = [name.strip() for name in told["functions"].split(",")]
    try:
        settings = msgspec.convert(told, Settings, strict=False, dec_hook=_path)
    except msgspec.ValidationError as error:
        raise InvalidSettings(f"{_PREFIX}*: {error}") from error
    if "writer" in settings.functions and settings.functions != ("writer",):
        raise InvalidSettings("AUDIT_FUNCTIONS: the writer is a process of its own")
    return settings


def _path(kind: type, value: Any) -> Path:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise NotImplementedError(kind)
