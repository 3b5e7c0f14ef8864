"""The ceiling of the storage side: binary COPY of the very rows that the pipeline stored, as superuser.

They go into a scratch table of the same columns and indexes, in transactions of 500, 2,000 and 10,000 rows; the best
of the three is the ceiling.
"""

from __future__ import annotations

import asyncio
import io
import struct
import time
from collections.abc import Iterator
from typing import Final

from asyncpg import Connection

TRANSACTION_ROWS: Final = (500, 2_000, 10_000)
SCRATCH: Final = "bench_copy"
_HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER: Final = b"\xff\xff"
_FIELDS: Final = struct.Struct(">h")
_LENGTH: Final = struct.Struct(">i")


async def read_rows(connection: Connection, schema: str, limit: int) -> list[bytes]:
    """Return up to `limit` rows of `schema`.event in reading order, each as one tuple of binary COPY data."""
    sink = io.BytesIO()
    await connection.copy_from_query(
        f"SELECT * FROM {schema}.event ORDER BY received_at, sequence LIMIT {int(limit)}",
        output=sink,
        format="binary",
    )
    return list(_tuples(sink.getvalue()))


def _tuples(data: bytes) -> Iterator[bytes]:
    at = len(_HEADER)
    while data[at : at + 2] != _TRAILER:
        start = at
        (fields,) = _FIELDS.unpack_from(data, at)
        at += 2
        for _ in range(fields):
            (length,) = _LENGTH.unpack_from(data, at)
            at += 4 + max(length, 0)
        yield data[start:at]


async def make_scratch(connection: Connection, schema: str) -> None:
    """Make an empty table like `schema`.event, partitioned alike, with the same indexes and one partition for all."""
    await connection.execute(f"DROP SCHEMA IF EXISTS {SCRATCH} CASCADE")
    await connection.execute(f"CREATE SCHEMA {SCRATCH}")
    await connection.execute(
        f"CREATE TABLE {SCRATCH}.event (LIKE {schema}.event INCLUDING ALL) PARTITION BY RANGE (received_at)"
    )
    await connection.execute(
        f"CREATE TABLE {SCRATCH}.event_all PARTITION OF {SCRATCH}.event FOR VALUES FROM (MINVALUE) TO (MAXVALUE)"
    )


async def copy_rate(connection: Connection, rows: list[bytes]) -> float:
    """Return rows per second of the best transaction size."""
    return max([await _rate_at(connection, rows, size) for size in TRANSACTION_ROWS])


async def _rate_at(connection: Connection, rows: list[bytes], size: int) -> float:
    chunks = [_HEADER + b"".join(rows[at : at + size]) + _TRAILER for at in range(0, len(rows), size)]
    await connection.execute(f"TRUNCATE {SCRATCH}.event")
    started = time.perf_counter()
    for chunk in chunks:
        await connection.copy_to_table(
            "event", schema_name=SCRATCH, source=io.BytesIO(chunk), format="binary"
        )
        await asyncio.sleep(0)
    return len(rows) / (time.perf_counter() - started)
