"""What is read of a Kubernetes object's metadata; everything else that the API server keeps there is ignored."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec


class Metadata(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The identity of an object. `uid` is empty and `generation` 0 where no API server gave it one (a file)."""

    name: str
    uid: str = ""
    generation: Annotated[int, msgspec.Meta(ge=0)] = 0
    annotations: dict[str, str] = {}
    finalizers: tuple[str, ...] = ()
    creation_timestamp: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    deletion_timestamp: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
