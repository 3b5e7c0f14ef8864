"""One shard as the query function serves it: its configuration over NATS, its events in PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from audit_core.projection import ConfigView
from audit_core.tenant import ShardId, inbox_prefix
from audit_functions.adapters.jetstream import connected
from audit_functions.adapters.kv import ConfigFollower
from audit_functions.adapters.postgres import MAX_CONNECTIONS
from audit_functions.logs import Log
from audit_functions.query import store
from audit_functions.query.gate import Gate
from audit_functions.query.service import Query
from audit_functions.query.store import EventStore
from audit_functions.web.auth import MAX_CONFIG_AGE_SECONDS
from audit_functions.web.shard_files import ShardFiles

CREDENTIALS: Final = "query.creds"
DSN: Final = "query.dsn"
_LOOK_EVERY_SECONDS: Final = 1.0

_log: Final = Log("query")


@dataclass(slots=True, eq=False)
class QueryShard:
    """A shard that is served. The database is connected to when somebody asks."""

    shard_id: ShardId
    query: Query
    _config: ConfigFollower
    _events: EventStore

    @property
    def view(self) -> ConfigView:
        """The configuration, as of now."""
        return self._config.view

    def config_age_seconds(self) -> float:
        """How long ago the configuration was confirmed."""
        return self._config.age_seconds()

    def problem(self) -> str | None:
        """Why no request can be served now, or None when one can."""
        if self._config.age_seconds() > MAX_CONFIG_AGE_SECONDS:
            return "configuration not confirmed"
        return None

    def impairment(self) -> str | None:
        """Why readers get 503 although the process does its part, or None. An idle shard does not know, and has none.

        It is no reason to send requests elsewhere: every process would go at once, and callers would lose the answer
        that says when to come back.
        """
        return None if self._events.away is None else f"database away: {self._events.away}"


@asynccontextmanager
async def opened(nats_url: str, shard_id: ShardId, files: ShardFiles) -> AsyncIterator[QueryShard]:
    """Serve the shard whose credentials are in `files`. Raises when it has to be opened anew."""
    name = f"query {shard_id}"
    async with (
        connected(
            nats_url, files / CREDENTIALS, name=name, inbox=inbox_prefix(shard_id, "query")
        ) as connection,
        store.opened((files / DSN).read_text(encoding="utf-8").strip()) as events,
        asyncio.TaskGroup() as tasks,
    ):
        config = ConfigFollower(connection, shard_id)
        running = [
            tasks.create_task(config.run(), name=f"{name} config"),
            tasks.create_task(connection.until_closed(), name=f"{name} connection"),
            tasks.create_task(_look_after(events, shard_id), name=f"{name} database"),
        ]
        yield QueryShard(shard_id, Query(events, Gate(MAX_CONNECTIONS)), config, events)
        for task in running:
            task.cancel()


async def _look_after(events: EventStore, shard_id: ShardId) -> None:
    """While the database is away, ask it again."""
    lost = False
    while True:
        await asyncio.sleep(_LOOK_EVERY_SECONDS)
        if events.away is not None:
            if not lost:
                _log.warning("database_lost", shard_id=shard_id, reason=events.away)
            lost = True
            await events.answers()
        if lost and events.away is None:
            _log.info("database_found", shard_id=shard_id)
            lost = False
