"""The two servers of a state folder, and provisioning on them."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from asyncpg import Connection

from audit_operator.clients.cluster import Cluster
from audit_operator.clients.database import DATABASE
from audit_operator.clients.postgres import connected
from audit_operator.local.errors import CannotRun
from audit_operator.local.keys import KeyFolder
from audit_operator.local.lock import holder
from audit_operator.local.nats import EmbeddedNats
from audit_operator.local.postgres import EmbeddedPostgres
from audit_operator.local.settings import LocalSettings
from audit_operator.local.shard_folder import ShardFolder
from audit_operator.reconcile.converge import Reconciler
from audit_operator.reconcile.installation import Installation
from audit_operator.reconcile.keys import FirstKey
from audit_operator.reconcile.shard import ShardReconciler

INSTALLATION: Final = Installation(
    stream_replicas=1,
    one_server=True,
    pool_max_bytes=10 << 30,
    cap_to_disk=True,
    config_max_bytes=16 << 20,
    watermark_max_bytes=4 << 20,
)


@dataclass(frozen=True, slots=True)
class Stack:
    """One state folder with its servers, running or not."""

    settings: LocalSettings
    postgres: EmbeddedPostgres
    nats: EmbeddedNats

    def attach(self) -> None:
        """Learn where the servers of a running stack listen. Raises CannotRun when none runs."""
        state = self.settings.state
        if holder(state) is None:
            raise CannotRun("nothing runs here", "start it first: make up")
        try:
            self.postgres.port = int((state / "postgres" / "port").read_text())
            self.nats.port = int((state / "nats" / "port").read_text())
        except FileNotFoundError as error:
            raise CannotRun(
                "the servers are not up yet", "wait until make up says that it is ready"
            ) from error

    def database(self) -> AbstractAsyncContextManager[Connection]:
        """Open an administrator's connection to the database of the log."""
        return connected(self.postgres.dsn(DATABASE))

    def maintenance(self) -> AbstractAsyncContextManager[Connection]:
        """Open an administrator's connection to the database that every server has."""
        return connected(self.postgres.dsn())

    @asynccontextmanager
    async def reconciler(self) -> AsyncIterator[Reconciler]:
        """Give what provisions on these servers; its connections to NATS are open for as long as it is used."""
        async with Cluster(lambda: self.nats.url, self.nats.authority, os.urandom) as cluster:
            yield self._wired(cluster)

    def _wired(self, cluster: Cluster) -> Reconciler:
        shards = ShardReconciler(
            installation=INSTALLATION,
            cluster=cluster,
            credentials=ShardFolder(
                folder=self.settings.state / "shards",
                authority=self.nats.authority,
                dsn=lambda role, password: self.postgres.dsn(DATABASE, user=role, password=password),
                random=os.urandom,
            ),
            clock=microseconds_now,
        )
        keyring = KeyFolder(self.settings.state / "keys")
        first_key = FirstKey(keyring=keyring, clock=microseconds_now, random=os.urandom)
        return Reconciler(database=self.database, shards=shards, first_key=first_key, random=os.urandom)


def stack(settings: LocalSettings) -> Stack:
    """Return the stack of a state folder; nothing is started."""
    settings.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Stack(settings, EmbeddedPostgres(settings.state), EmbeddedNats(settings.state / "nats"))


def microseconds_now() -> int:
    """Return the time in µs since 1970."""
    return time.time_ns() // 1000
