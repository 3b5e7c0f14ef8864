"""The embedded servers: made once, found again, restarted when they die, reachable for nobody else."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import nats
import pytest

from audit_operator.clients.nats_jwt import PROVISIONER_INBOX
from audit_operator.clients.servers import Servers
from audit_operator.local.errors import CannotRun
from audit_operator.local.nats import EmbeddedNats
from audit_operator.local.postgres import EmbeddedPostgres
from audit_operator.local.processes import Command, Supervisor


class Deaths:
    """What a supervisor reported."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int]] = []

    def __call__(self, name: str, status: int) -> None:
        self.seen.append((name, status))


@pytest.fixture
def deaths() -> Deaths:
    return Deaths()


@pytest.fixture
async def supervisor(tmp_path: Path, deaths: Deaths) -> AsyncIterator[Supervisor]:
    made = Supervisor(tmp_path / "logs", deaths)
    yield made
    await made.stop_all()


def _postgres(server: EmbeddedPostgres) -> Command:
    return Command(
        name="postgres",
        prepare=server.command,
        run_as=server.run_as,
        folder=server.folder,
        stop=signal.SIGINT,
        ready=server.ready,
    )


async def test_postgres_is_found_again_with_its_data_after_kill_nine(
    tmp_path: Path, supervisor: Supervisor, deaths: Deaths
) -> None:
    server = EmbeddedPostgres(tmp_path)
    try:
        await supervisor.start(_postgres(server))
        connection = await asyncpg.connect(server.dsn())
        assert await connection.fetchval("SHOW fsync") == "on"
        assert await connection.fetchval("SHOW data_checksums") == "on"
        await connection.execute("CREATE TABLE kept AS SELECT 1")
        await connection.close()

        os.killpg(supervisor.pids()["postgres"], signal.SIGKILL)
        async with asyncio.timeout(30):
            while not deaths.seen:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.05)
        await server.ready()
        connection = await asyncpg.connect(server.dsn())
        assert await connection.fetchval("SELECT count(*) FROM kept") == 1
        await connection.close()

        await supervisor.stop_all()
        again = EmbeddedPostgres(tmp_path)
        await supervisor.start(_postgres(again))
        assert (again.port, again.password) == (server.port, server.password)
    finally:
        await supervisor.stop_all()
        server.remove()


async def test_postgres_lets_nobody_in_without_the_password(tmp_path: Path, supervisor: Supervisor) -> None:
    server = EmbeddedPostgres(tmp_path)
    try:
        await supervisor.start(_postgres(server))
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(server.dsn(password="wrong"))
        assert stat.S_IMODE((tmp_path / "postgres" / "password").stat().st_mode) == 0o600
    finally:
        await supervisor.stop_all()
        server.remove()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: only then does the server run as another OS user")
async def test_as_root_postgres_runs_as_another_user_and_no_parent_folder_is_opened(
    tmp_path: Path, supervisor: Supervisor
) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    server = EmbeddedPostgres(private)
    try:
        await supervisor.start(_postgres(server))
        assert Path(f"/proc/{supervisor.pids()['postgres']}").stat().st_uid != 0
        assert stat.S_IMODE(private.stat().st_mode) == 0o700
        assert not server.folder.is_relative_to(private)
    finally:
        await supervisor.stop_all()
        server.remove()
    assert not server.folder.exists()


async def test_nats_fsyncs_every_message_and_says_so(tmp_path: Path, supervisor: Supervisor) -> None:
    server = EmbeddedNats(tmp_path / "nats")
    await supervisor.start(Command(name="nats", prepare=server.command, ready=server.ready))
    creds = tmp_path / "system.creds"
    creds.write_text(server.authority.system_creds(os.urandom))
    connection = await nats.connect(server.url, user_credentials=str(creds), inbox_prefix=PROVISIONER_INBOX)
    (found,) = await Servers(connection).answering()
    await connection.close()
    assert (found.name, found.sync_always) == ("local", True)


async def test_credentials_stay_valid_from_start_to_start(tmp_path: Path, supervisor: Supervisor) -> None:
    server = EmbeddedNats(tmp_path / "nats")
    creds = tmp_path / "provisioner.creds"
    creds.write_text(server.authority.system_creds(os.urandom))
    await supervisor.start(Command(name="nats", prepare=server.command, ready=server.ready))
    await supervisor.stop("nats")
    again = EmbeddedNats(tmp_path / "nats")
    await supervisor.start(Command(name="nats", prepare=again.command, ready=again.ready))
    connection = await nats.connect(again.url, user_credentials=str(creds), inbox_prefix=PROVISIONER_INBOX)
    assert await Servers(connection).answering()
    await connection.close()
    assert stat.S_IMODE((tmp_path / "nats" / "authority.json").stat().st_mode) == 0o600


async def test_a_process_that_dies_is_started_again_and_one_that_is_stopped_is_not(
    supervisor: Supervisor, deaths: Deaths
) -> None:
    await supervisor.start(Command(name="sleeper", prepare=lambda: ("sleep", "60")))
    first = supervisor.pids()["sleeper"]
    os.kill(first, signal.SIGKILL)
    async with asyncio.timeout(10):
        while supervisor.pids().get("sleeper", first) == first:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.02)
    assert deaths.seen == [("sleeper", -signal.SIGKILL)]
    second = supervisor.pids()["sleeper"]
    await supervisor.stop("sleeper")
    await asyncio.sleep(0.5)
    assert supervisor.pids() == {}
    assert not Path(f"/proc/{second}").exists()


async def test_a_process_that_ends_while_starting_is_named_with_its_log(
    tmp_path: Path, supervisor: Supervisor
) -> None:
    async def never() -> None:
        await asyncio.sleep(60)

    with pytest.raises(CannotRun, match=r"broken ended with status 3 while starting: see .*broken\.log"):
        await supervisor.start(Command(name="broken", prepare=lambda: ("sh", "-c", "exit 3"), ready=never))


async def test_a_process_that_ignores_its_signal_is_killed(supervisor: Supervisor) -> None:
    stubborn = ("sh", "-c", "trap '' TERM; while :; do sleep 0.1; done")
    await supervisor.start(Command(name="stubborn", prepare=lambda: stubborn, stop_seconds=0.5))
    pid = supervisor.pids()["stubborn"]
    await asyncio.sleep(0.2)
    await supervisor.stop("stubborn")
    assert not Path(f"/proc/{pid}").exists()
