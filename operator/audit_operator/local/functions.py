"""The functions as child processes: one serves HTTP, one is the writer."""

from __future__ import annotations

import asyncio
import http.client
import os
import sys
from typing import Final

from audit_operator.local.errors import CannotRun
from audit_operator.local.ports import HOST, remembered_port
from audit_operator.local.processes import Command
from audit_operator.local.stack import Stack

HTTP: Final = "functions"
WRITER: Final = "writer"
BACKUP: Final = "none"
READY_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 25.0
_ASK_SECONDS: Final = 2.0


def http_command(stack: Stack) -> Command:
    """Return the process that answers callers: ingest and query of every tenant."""
    environment = _environment(stack, "ingest,query") | {"AUDIT_PORT": str(stack.settings.port)}
    return Command(name=HTTP, prepare=_arguments, environment=environment, stop_seconds=_STOP_SECONDS)


def writer_command(stack: Stack) -> Command:
    """Return the process that stores what was taken, for every shard."""
    port = remembered_port(stack.settings.state / "writer.port")
    environment = _environment(stack, "writer") | {"AUDIT_PORT": str(port), "AUDIT_BACKUP": BACKUP}
    return Command(name=WRITER, prepare=_arguments, environment=environment, stop_seconds=_STOP_SECONDS)


async def ready(port: int, *, for_tenants: bool = True, seconds: float = READY_SECONDS) -> None:
    """Return when the endpoint takes and answers requests. Raises CannotRun with what it waits for.

    With nobody to be ready for it need only answer that.
    """
    status, body = 0, "nothing listens"
    try:
        async with asyncio.timeout(seconds):
            while status == 0 or (for_tenants and status != http.client.OK):
                await asyncio.sleep(0.1)
                status, body = await asyncio.to_thread(asked, port)
    except TimeoutError as error:
        raise CannotRun(
            f"the functions are not ready: {body}", "see functions.log in the state folder"
        ) from error


def asked(port: int) -> tuple[int, str]:
    """Return the status and the text of `/readyz`, status 0 when nothing answers."""
    connection = http.client.HTTPConnection(HOST, port, timeout=_ASK_SECONDS)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        return answer.status, answer.read(4096).decode("utf-8", "replace").strip()
    except (OSError, http.client.HTTPException) as error:
        return 0, f"{type(error).__name__}"
    finally:
        connection.close()


def _arguments() -> list[str]:
    return [sys.executable, "-m", "audit_functions"]


def _environment(stack: Stack, functions: str) -> dict[str, str]:
    settings = stack.settings
    return {
        **os.environ,
        "AUDIT_FUNCTIONS": functions,
        "AUDIT_INSTALLATION": settings.installation,
        "AUDIT_LOG_LEVEL": settings.log_level,
        "AUDIT_NATS_URL": stack.nats.url,
        "AUDIT_SHARDS": str(settings.state / "shards"),
    }
