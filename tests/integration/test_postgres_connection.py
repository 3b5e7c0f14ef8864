from __future__ import annotations

import socket

import pytest
from asyncpg import InvalidPasswordError

from audit_core.errors import StoreUnavailable
from audit_operator.clients.postgres import connected
from tests.support.postgres import NOW, Database, PostgresServer


@pytest.mark.parametrize(
    "microseconds", [0, 1, -1, NOW + 1, 253_402_300_799_999_999, -62_135_596_800_000_000]
)
async def test_times_pass_in_and_out_to_the_microsecond(database: Database, microseconds: int) -> None:
    same, counted, many = await database.admin.fetchrow(  # type: ignore[misc] # SELECT without FROM has one row
        "SELECT $1::timestamptz, (extract(epoch FROM $1) * 1000000)::bigint, ARRAY[$1, NULL]", microseconds
    )
    assert (same, counted, many) == (microseconds, microseconds, [microseconds, None])


async def test_a_server_that_is_away_is_told_from_a_wrong_password(postgres_server: PostgresServer) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        away = f"postgresql://postgres:secret@127.0.0.1:{taken.getsockname()[1]}/postgres"
        with pytest.raises(StoreUnavailable, match="ConnectionRefusedError"):
            await _connect(away)
    with pytest.raises(InvalidPasswordError):
        await _connect(postgres_server.dsn(password="wrong"))


async def _connect(dsn: str) -> None:
    async with connected(dsn):
        pass
