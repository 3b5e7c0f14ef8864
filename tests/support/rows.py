"""Rows of `event` for tests of the database alone, stored the way the writer does: COPY to a landing table, then INSERT."""

from __future__ import annotations

from itertools import count
from typing import Final

from asyncpg import Connection

from tests.support.postgres import NOW, ShardInDatabase, connected

_LANDING_COLUMNS: Final = """
SELECT string_agg(format('%I %s COLLATE "C"', attname, format_type(atttypid, atttypmod)), ', ' ORDER BY attnum)
    FILTER (WHERE attcollation <> 0)
    || ', ' || string_agg(format('%I %s', attname, format_type(atttypid, atttypmod)), ', ' ORDER BY attnum)
    FILTER (WHERE attcollation = 0)
FROM pg_attribute WHERE attrelid = 'event'::regclass AND attnum > 0
"""
_sequences: Final = count()

Row = dict[str, object]


def an_event_row(tenant_id: str = "tenant-a", received_at: int = NOW, **changes: object) -> Row:
    """Build the row of one stored event; its sequence is new."""
    sequence = next(_sequences)
    row: Row = {
        "received_at": received_at,
        "sequence": sequence,
        "stream_sequence": sequence + 1,
        "occurred_at": received_at,
        "position": 0,
        "kind": 1,
        "id_from_client": False,
        "tenant_id": tenant_id,
        "id": f"id-{sequence}",
        "epoch": bytes(16),
        "salt": bytes(16),
        "envelope": "{}",
        "body": '{"event_type":"user.login"}',
        "event_type": "user.login",
        "outcome": "success",
    }
    return row | changes


async def store(shard: ShardInDatabase, *rows: Row) -> None:
    """Store rows as the shard's writer, in one transaction."""
    async with connected(shard.dsn("writer")) as writer:
        await make_landing(writer)
        async with writer.transaction():
            await insert(writer, *rows)


async def make_landing(writer: Connection) -> None:
    """Make the session's landing table, which empties itself at each commit."""
    columns = await writer.fetchval(_LANDING_COLUMNS)
    await writer.execute(f"CREATE TEMPORARY TABLE landing ({columns}) ON COMMIT DELETE ROWS")


async def insert(writer: Connection, *rows: Row) -> None:
    """Insert rows of one shape through the landing table, within the caller's transaction."""
    columns = list(rows[0])
    records = [tuple(row[column] for column in columns) for row in rows]
    await writer.copy_records_to_table("landing", records=records, columns=columns)
    names = ", ".join(columns)
    await writer.execute(f"INSERT INTO event ({names}) SELECT {names} FROM landing")
