"""The embedded servers as children of the supervisor."""

from __future__ import annotations

import signal

from audit_operator.local.nats import EmbeddedNats
from audit_operator.local.postgres import EmbeddedPostgres
from audit_operator.local.processes import Command


def postgres_command(server: EmbeddedPostgres) -> Command:
    """Return the database server: SIGINT is its fast shutdown, which waits for nobody's session."""
    return Command(
        name="postgres",
        prepare=server.command,
        environment=server.environment(),
        run_as=server.run_as,
        folder=server.folder,
        stop=signal.SIGINT,
        stop_seconds=30.0,
        ready=server.ready,
    )


def nats_command(server: EmbeddedNats) -> Command:
    """Return the stream's server."""
    return Command(name="nats", prepare=server.command, environment=server.environment(), ready=server.ready)
