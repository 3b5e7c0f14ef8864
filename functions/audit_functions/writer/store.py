"""A shard's tables as its writer sees them.

Three connections, opened when they are first needed: while one stores a batch under the lock, the next batch lands on
the second and the one after it is looked up on the third. An error drops the connection that it happened on, so what
was in doubt is settled by reading the offset again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Final, Self

import asyncpg
from asyncpg import Connection
from asyncpg.transaction import Transaction

from audit_core.errors import StoreUnavailable
from audit_core.partitions import dedupe_slot
from audit_functions.adapters.postgres import away_as_unavailable, connected, sql
from audit_functions.writer.ledger import Found, Wanted
from audit_functions.writer.producers import Producer
from audit_functions.writer.rows import LANDING_COLUMNS, Row
from audit_functions.writer.settle import Batch
from audit_functions.writer.state import FenceLost, Freeze, Offset, Reason, Remembered, RowsRefused

LANDINGS: Final = 2
COMMAND_TIMEOUT_SECONDS: Final = 32.0
_SETTINGS: Final = {"application_name": "audit writer", "temp_buffers": "32MB"}
_SQL: Final = sql("writer")


class ShardStore:
    """One shard in PostgreSQL. Raises StoreUnavailable where another try may help."""

    def __init__(self, dsn: Callable[[], str]) -> None:
        """`dsn` is asked for each connection: a password may change meanwhile."""
        self._lookups = _Session(dsn, _nothing)
        self._landings = tuple(_Session(dsn, _make_landing) for _ in range(LANDINGS))
        self._free = _all_of(self._landings)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for session in (self._lookups, *self._landings):
            await session.close()

    async def offset(self) -> Offset:
        """Return the shard's place, as it is committed."""
        async with self._lookups.used() as connection:
            return _offset(await connection.fetchrow(_SQL["offset"]))

    async def look_up(self, wanted: Wanted, *, since: int) -> Found:
        """Return what a batch wants to know; of events those that came after `since` (µs)."""
        async with self._lookups.used() as connection:
            return Found(
                heads=await _heads(connection, wanted),
                remembered=await _remembered(connection, wanted, since),
                producers=await _producers(connection, wanted),
            )

    async def ensure_partition(self, received_at: int) -> None:
        """Make the partition that holds an instant, unless it is there."""
        async with self._lookups.used() as connection:
            await connection.execute(_SQL["ensure_partition"], received_at)

    async def land(self, batch: Batch) -> Landed:
        """Send a batch to the server, without a lock. Raises RowsRefused."""
        session = await self._free.get()
        try:
            async with session.used() as connection:
                transaction = connection.transaction()
                await transaction.start()
                await _copy(connection, batch.rows)
                return Landed(batch, session, transaction, self._free)
        except BaseException:
            self._free.put_nowait(session)
            raise

    def give_up(self) -> None:
        """Forget whatever has landed and is not committed."""
        for session in self._landings:
            session.drop()
        self._free = _all_of(self._landings)

    async def refused(self, rows: Sequence[Row]) -> str | None:
        """Try to store rows and take them back; return the SQLSTATE with which they are refused, or None."""
        session = await self._free.get()
        try:
            async with session.used() as connection:
                transaction = connection.transaction()
                await transaction.start()
                await _copy(connection, rows)
                await connection.execute(_SQL["insert_landed"])
                await transaction.rollback()
        except RowsRefused as refused:
            return refused.code
        finally:
            self._free.put_nowait(session)
        return None

    async def mark_trimmed(self, through: int, epoch: bytes) -> int | None:
        """Allow the stream to lack messages up to `through`; return the mark, None unless they are all committed."""
        async with self._lookups.used() as connection:
            mark: int | None = await connection.fetchval(_SQL["mark_trimmed"], through, epoch)
            return mark

    async def missing_frames(self) -> int:
        """Return how many frames were acknowledged and never arrived."""
        async with self._lookups.used() as connection:
            count: int = await connection.fetchval(_SQL["missing_frames"])
            return count

    async def wal_files(self) -> tuple[str, str | None]:
        """Return the WAL file that holds everything committed so far, and the last one archived."""
        async with self._lookups.used() as connection:
            row = await connection.fetchrow(_SQL["wal_position"])
            assert row is not None
            return row["current_file"], row["archived_file"]


class Landed:
    """A batch that is on the server, in a transaction that holds no lock yet: one call away from being stored."""

    def __init__(
        self, batch: Batch, session: _Session, transaction: Transaction, free: asyncio.Queue[_Session]
    ) -> None:
        self.batch = batch
        self._session = session
        self._transaction = transaction
        self._free = free

    async def commit(self) -> None:
        """Lock the offset, store the batch, move the offset. Raises FenceLost and RowsRefused: then nothing is stored.

        From the lock to the commit only the server works: it never waits for this process to send something long, so
        a process that freezes here is found idle and loses the lock.
        """
        try:
            async with self._session.used() as connection:
                found = _offset(await connection.fetchrow(_SQL["lock_offset"]))
                if not found.is_at(self.batch.before):
                    raise FenceLost(self.batch.before.stream_sequence, found.stream_sequence)
                await _store(connection, self.batch)
                await self._transaction.commit()
        finally:
            self._free.put_nowait(self._session)


class _Session:
    """One connection at a time, made anew after any error on it."""

    def __init__(self, dsn: Callable[[], str], prepare: Callable[[Connection], Awaitable[None]]) -> None:
        self._dsn = dsn
        self._prepare = prepare
        self._stack = AsyncExitStack()
        self._connection: Connection | None = None
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def used(self) -> AsyncIterator[Connection]:
        """Give the connection to one at a time, and drop it unless what it was used for ended as it should."""
        async with self._turn:
            try:
                with away_as_unavailable():
                    yield await self._open()
            except asyncpg.PostgresError as error:
                self.drop()
                raise _translated(error) from error
            except BaseException:
                self.drop()
                raise

    def drop(self) -> None:
        """Give up the connection and whatever it was doing."""
        if self._connection is not None:
            self._connection.terminate()

    async def close(self) -> None:
        """Close the connection, if there is one."""
        await self._stack.aclose()

    async def _open(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            await self.close()
            self._connection = await self._stack.enter_async_context(
                connected(self._dsn(), _SETTINGS, command_timeout=COMMAND_TIMEOUT_SECONDS)
            )
            await self._prepare(self._connection)
        return self._connection


def _all_of(sessions: Iterable[_Session]) -> asyncio.Queue[_Session]:
    free: asyncio.Queue[_Session] = asyncio.Queue()
    for session in sessions:
        free.put_nowait(session)
    return free


async def _nothing(connection: Connection) -> None:
    """Prepare nothing."""


async def _make_landing(connection: Connection) -> None:
    await connection.execute(_SQL["make_landing"])
    await connection.execute(_SQL["keep_bodies_as_they_are"])


async def _copy(connection: Connection, rows: Sequence[Row]) -> None:
    if rows:
        await connection.copy_records_to_table("landing", records=rows, columns=LANDING_COLUMNS)


async def _store(connection: Connection, batch: Batch) -> None:
    after, touched = batch.after, batch.touched
    if batch.opens_a_day:
        await connection.execute(_SQL["rotate_dedupe"], after.received_at)
    if batch.rows:
        await connection.execute(_SQL["insert_landed"])
    if touched.remembered and after.received_at is not None:
        await connection.execute(_SQL["remember"], dedupe_slot(after.received_at))
    if batch.dead_letters:
        await connection.executemany(_SQL["insert_dead_letter"], batch.dead_letters)
    if touched.heads:
        await connection.execute(_SQL["put_heads"], list(touched.heads), list(touched.heads.values()))
    for producer in touched.producers.values():
        await connection.execute(_SQL["put_producer"], *_fields(producer))
    if after != batch.before:
        await connection.execute(
            _SQL["move_offset"], after.epoch, after.stream_sequence, after.received_at, after.frame_sha256
        )


def _fields(producer: Producer) -> tuple[object, ...]:
    return (
        producer.epoch,
        producer.instance,
        producer.last_frame,
        producer.abandoned,
        producer.missing,
        producer.last_stream_sequence,
        producer.last_seen,
    )


def _offset(row: asyncpg.Record | None) -> Offset:
    if row is None:
        raise StoreUnavailable("the shard has no offset yet")
    return Offset(**row)


async def _heads(connection: Connection, wanted: Wanted) -> dict[str, int]:
    if not wanted.tenants:
        return {}
    rows = await connection.fetch(_SQL["heads"], wanted.tenants)
    return {row["tenant_id"]: row["size"] for row in rows}


async def _remembered(
    connection: Connection, wanted: Wanted, since: int
) -> dict[tuple[str, str], Remembered]:
    found: dict[tuple[str, str], Remembered] = {}
    if wanted.events:
        tenants, ids = zip(*wanted.events, strict=True)
        for tenant, event_id, *leaf in await connection.fetch(_SQL["remembered"], tenants, ids, since):
            last = Remembered(*leaf)
            found[tenant, event_id] = max(last, found.get((tenant, event_id), last))
    return found


async def _producers(connection: Connection, wanted: Wanted) -> dict[bytes, Producer]:
    if not wanted.instances:
        return {}
    rows = await connection.fetch(_SQL["producers"], wanted.instances)
    return {
        row["instance"]: Producer(
            **{**row, "abandoned": tuple(row["abandoned"]), "missing": tuple(row["missing"])}
        )
        for row in rows
    }


def _translated(error: asyncpg.PostgresError) -> Exception:
    """Tell apart what another try may cure, what never will, and what must not be."""
    if isinstance(error, asyncpg.UniqueViolationError):
        return Freeze(Reason.STORE_CONTRADICTS, constraint=str(error.constraint_name))
    if isinstance(error, asyncpg.DataError | asyncpg.IntegrityConstraintViolationError):
        return RowsRefused(error.sqlstate or type(error).__name__)
    return StoreUnavailable(type(error).__name__)
