"""What the installation decides for every tenant."""

from __future__ import annotations

import msgspec


class Installation(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes in bytes, of streams and of their buckets."""

    stream_replicas: int = 3
    """Servers that keep each stream. One disk is outside the promise that nothing acknowledged is lost."""

    one_server: bool = False
    """Whether there is no second server, so that a tenant's wish for copies counts for nothing."""

    stream_max_bytes: int = 10 << 30
    """The size of a Dedicated tenant's stream that names none."""

    pool_max_bytes: int = 10 << 30
    """The size of a pool's stream."""

    cap_to_disk: bool = False
    """Whether a stream may be made smaller than asked for, so that several fit on one disk."""

    config_max_bytes: int = 64 << 20
    """The size of a configuration bucket: about 1 KiB for each tenant with two keys."""

    watermark_max_bytes: int = 16 << 20
    """The size of a watermark bucket: about 300 bytes for each start of an ingest process."""
