"""What each user on NATS may publish and hear. What is not named is refused.

Permissions hold within an account, that is within a shard. They do not bind reply subjects.
"""

from __future__ import annotations

from typing import Final

import msgspec

from audit_core.projection import FROZEN_KEY, TRIMMED_KEY, VERSIONS_KEY
from audit_core.tenant import (
    Function,
    config_bucket,
    control_subject,
    inbox_prefix,
    ingest_subject,
    stream_name,
    watermark_bucket,
)

PROVISIONER_INBOX: Final = "_INBOX.provisioner"


class Permissions(msgspec.Struct, frozen=True, kw_only=True):
    """The subjects that a user may publish and subscribe to. What is not named is refused."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]


SYSTEM_PERMISSIONS: Final = Permissions(
    publish=("$SYS.REQ.SERVER.PING.VARZ", "$SYS.REQ.CLAIMS.UPDATE", "$SYS.REQ.ACCOUNT.*.CLAIMS.LOOKUP"),
    subscribe=(f"{PROVISIONER_INBOX}.>",),
)
"""Of the provisioner in the system account."""


def ingest_permissions(shard_id: str) -> Permissions:
    """Publish frames and watermarks, read the shard's configuration, hear what became of its frames."""
    return Permissions(
        publish=(
            ingest_subject(shard_id),
            f"$JS.API.STREAM.INFO.{stream_name(shard_id)}",
            *_bucket_reading(config_bucket(shard_id)),
            f"$KV.{watermark_bucket(shard_id)}.>",
        ),
        subscribe=(_inbox(shard_id, "ingest"), f"audit.out.{shard_id}.*"),
    )


def query_permissions(shard_id: str) -> Permissions:
    """Read the shard's configuration."""
    return Permissions(
        publish=_bucket_reading(config_bucket(shard_id)), subscribe=(_inbox(shard_id, "query"),)
    )


def writer_permissions(shard_id: str) -> Permissions:
    """Consume and trim the shard's stream, read its buckets, say what the writer alone knows, tell outcomes."""
    stream = stream_name(shard_id)
    configuration = config_bucket(shard_id)
    return Permissions(
        publish=(
            f"$JS.API.STREAM.INFO.{stream}",
            f"$JS.API.STREAM.MSG.GET.{stream}",
            f"$JS.API.DIRECT.GET.{stream}",
            f"$JS.API.DIRECT.GET.{stream}.>",
            f"$JS.API.STREAM.PURGE.{stream}",
            f"$JS.API.CONSUMER.CREATE.{stream}.>",
            f"$JS.API.CONSUMER.INFO.{stream}.>",
            f"$JS.API.CONSUMER.DELETE.{stream}.>",
            f"$JS.API.CONSUMER.MSG.NEXT.{stream}.>",
            *_bucket_reading(configuration),
            *_bucket_reading(watermark_bucket(shard_id)),
            *(f"$KV.{configuration}.{key}" for key in (FROZEN_KEY, VERSIONS_KEY, TRIMMED_KEY)),
            f"audit.out.{shard_id}.*",
        ),
        subscribe=(_inbox(shard_id, "writer"),),
    )


def provisioner_permissions(shard_id: str) -> Permissions:
    """Make the stream and the buckets, write configuration, publish control frames. Never events."""
    return Permissions(
        publish=("$JS.API.>", "$KV.>", control_subject(shard_id)), subscribe=(f"{PROVISIONER_INBOX}.>",)
    )


def _inbox(shard_id: str, function: Function) -> str:
    return f"{inbox_prefix(shard_id, function)}.>"


def _bucket_reading(bucket: str) -> tuple[str, ...]:
    return (
        f"$JS.API.STREAM.INFO.KV_{bucket}",
        f"$JS.API.DIRECT.GET.KV_{bucket}",
        f"$JS.API.DIRECT.GET.KV_{bucket}.>",
    )
