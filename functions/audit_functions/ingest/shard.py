"""A shard that ingest serves, without what it is connected by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

from audit_core.projection import ConfigView
from audit_core.tenant import ShardId
from audit_functions.ingest.frames import Frames
from audit_functions.web.auth import MAX_CONFIG_AGE_SECONDS, Caller


class Configuration(Protocol):
    """The shard's configuration, followed by somebody else."""

    @property
    def view(self) -> ConfigView:
        """The state as of now."""
        ...

    def age_seconds(self) -> float:
        """How long ago it was confirmed."""
        ...


@dataclass(frozen=True, slots=True)
class IngestShard:
    """Where a caller's events go."""

    shard_id: ShardId
    configuration: Configuration
    frames: Frames

    @property
    def view(self) -> ConfigView:
        """The configuration as of now."""
        return self.configuration.view

    def config_age_seconds(self) -> float:
        """Return how long ago the configuration was confirmed."""
        return self.configuration.age_seconds()

    def problem(self) -> str | None:
        """Return why the shard takes no events now, or None."""
        if self.config_age_seconds() > MAX_CONFIG_AGE_SECONDS:
            return "configuration not confirmed"
        obstacle = self.frames.obstacle()
        return None if obstacle is None else str(obstacle.fields().get("reason", obstacle))


IngestCaller: TypeAlias = Caller[IngestShard]
