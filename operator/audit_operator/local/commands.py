"""The commands that start, stop and empty a stack."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import time
from typing import Final

from audit_operator.local.endpoints import read_endpoints
from audit_operator.local.errors import CannotRun
from audit_operator.local.functions import asked
from audit_operator.local.lock import holder, locked
from audit_operator.local.output import Output
from audit_operator.local.postgres import EmbeddedPostgres
from audit_operator.local.server_commands import postgres_command
from audit_operator.local.settings import LocalSettings
from audit_operator.local.stack import stack
from audit_operator.local.up import migrate_database, run_stack, supervised

STOP_SECONDS: Final = 90.0
OURS: Final = ("postgres", "nats", "shards", "keys", "logs", "endpoints.json", "writer.port", "lock")
"""What stands in a state folder. Nothing else is deleted: the folder may be named wrongly."""


async def up(settings: LocalSettings, output: Output) -> None:
    """Run the stack in the foreground until SIGINT, SIGTERM or SIGHUP; a second one kills."""
    task = asyncio.current_task()
    assert task is not None, "a coroutine runs in a task"
    stopping = False

    def stop() -> None:
        nonlocal stopping
        if stopping:
            os._exit(128 + signal.SIGINT)  # the kernel ends the children with us
        stopping = True
        output.say("")
        task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    with locked(settings.state):
        try:
            await run_stack(stack(settings), output)
        except asyncio.CancelledError:
            if not stopping:
                raise
            output.say("stopped")


async def down(settings: LocalSettings, output: Output) -> None:
    """Stop the stack that runs in another terminal, and wait until it has."""
    process = holder(settings.state)
    if process is None:
        output.say("nothing runs here")
        return
    with output.step(f"stopping process {process}"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while holder(settings.state) is not None:
            if time.monotonic() > deadline:
                raise CannotRun(f"process {process} does not stop", f"kill -9 {process} ends all of it")
            await asyncio.sleep(0.1)


async def status(settings: LocalSettings, output: Output) -> None:
    """Say whether the stack runs and whether it is ready."""
    process = holder(settings.state)
    if process is None:
        raise CannotRun("nothing runs here", "start it: make up")
    code, body = await asyncio.to_thread(asked, settings.port)
    names = ", ".join(sorted(read_endpoints(settings.endpoints).tenants)) or "none"
    output.say(f"process {process}, {settings.url}, tenants: {names}", f"readyz: {code} {body}")
    if code != 200:
        raise CannotRun("not ready", "see the logs in the state folder")


async def migrate(settings: LocalSettings, output: Output) -> None:
    """Apply the migrations that are missing, to a stack that runs or to one that does not."""
    here = stack(settings)
    if holder(settings.state) is not None:
        here.attach()
        await migrate_database(here, output)
        return
    with locked(settings.state):
        async with supervised(here, output) as supervisor:
            with output.step("starting PostgreSQL"):
                await supervisor.start(postgres_command(here.postgres))
            await migrate_database(here, output)


async def clean(settings: LocalSettings, output: Output) -> None:
    """Delete data, keys, credentials and logs. Whatever else lies in the state folder stays."""
    state = settings.state
    if not state.exists():
        return
    with locked(state):
        EmbeddedPostgres(state).remove()
        for name in OURS:
            path = state / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # something of somebody else is in it
        state.rmdir()
    output.say(f"{state} is empty: every local event and key is gone")


async def reset(settings: LocalSettings, output: Output) -> None:
    """Delete every event and key; the next start makes new ones."""
    await clean(settings, output)
    output.say("make up starts anew")
