"""The embedded NATS: every message fsynced, keys and streams found again, reachable from this machine alone."""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client, RawCredentials

from audit_core.tenant import control_subject, stream_name
from audit_operator.clients.jetstream import JetStream, StreamConfig
from audit_operator.clients.nats_accounts import AccountRefused, Accounts
from audit_operator.clients.nats_jwt import new_authority
from audit_operator.clients.nats_permissions import PROVISIONER_INBOX
from audit_operator.clients.servers import Server, Servers
from audit_operator.local.errors import CannotRun
from audit_operator.local.nats import EmbeddedNats, demand_version, disk_for_streams, nats_binary
from audit_operator.local.processes import Command, Supervisor
from tests.support.supervision import listening_addresses, until

SHARD = "a" * 16


def _command(server: EmbeddedNats) -> Command:
    return Command(name="nats", prepare=server.command, environment=server.environment(), ready=server.ready)


@pytest.fixture
async def server(tmp_path: Path, supervisor: Supervisor) -> EmbeddedNats:
    made = EmbeddedNats(tmp_path / "nats")
    await supervisor.start(_command(made))
    return made


@asynccontextmanager
async def _connected(server: EmbeddedNats, creds: str) -> AsyncIterator[Client]:
    client = await nats.connect(
        server.url, user_credentials=RawCredentials(creds), inbox_prefix=PROVISIONER_INBOX, error_cb=_ignored
    )
    try:
        yield client
    finally:
        await client.close()


async def _ignored(_error: Exception) -> None:
    """Leave it: what goes wrong is seen in what a call returns."""


async def _known(server: EmbeddedNats) -> bool:
    async with _connected(server, server.authority.system_creds(os.urandom)) as client:
        authority = server.authority
        return await Accounts(client).make_known(authority.account(SHARD), authority.account_jwt(SHARD))


async def _stored(server: EmbeddedNats) -> int:
    """Return how many messages the shard's stream holds."""
    async with _connected(server, server.authority.provisioner_creds(SHARD, os.urandom)) as client:
        info = await JetStream(client).stream(stream_name(SHARD))
        assert info is not None
        return info.state.messages


async def _store_one(server: EmbeddedNats) -> None:
    await _known(server)
    async with _connected(server, server.authority.provisioner_creds(SHARD, os.urandom)) as client:
        streams = JetStream(client)
        await streams.create_stream(
            StreamConfig(name=stream_name(SHARD), subjects=(control_subject(SHARD),), max_bytes=1 << 20)
        )
        await streams.publish(control_subject(SHARD), b"kept", stream=stream_name(SHARD))


async def _asked(server: EmbeddedNats) -> Server:
    async with _connected(server, server.authority.system_creds(os.urandom)) as client:
        (answer,) = await Servers(client).answering()
        return answer


async def test_every_message_is_fsynced_and_the_server_says_so(server: EmbeddedNats) -> None:
    answer = await _asked(server)
    assert (answer.name, answer.sync_always) == ("local", True)


async def test_a_server_that_does_not_fsync_every_message_says_that_too(
    tmp_path: Path, supervisor: Supervisor
) -> None:
    lax = EmbeddedNats(tmp_path / "nats", sync="2m")
    await supervisor.start(_command(lax))
    assert not (await _asked(lax)).sync_always


async def test_what_was_acknowledged_is_there_after_kill_nine_on_the_same_port(
    server: EmbeddedNats, supervisor: Supervisor
) -> None:
    await _store_one(server)
    before, port = supervisor.pids()["nats"], server.port
    os.kill(before, signal.SIGKILL)
    await until(lambda: supervisor.pids().get("nats", before) != before)
    await server.ready()
    assert await _stored(server) == 1
    assert server.port == port


async def test_keys_port_and_streams_are_found_again_by_the_next_start(
    server: EmbeddedNats, supervisor: Supervisor, tmp_path: Path
) -> None:
    await _store_one(server)
    handed_out = server.authority.provisioner_creds(SHARD, os.urandom)
    await supervisor.stop("nats")
    again = EmbeddedNats(tmp_path / "nats")
    await supervisor.start(_command(again))
    assert again.port == server.port
    async with _connected(again, handed_out) as client:
        assert await JetStream(client).stream(stream_name(SHARD)) is not None
    assert stat.S_IMODE((tmp_path / "nats/authority.json").stat().st_mode) == 0o600


async def test_the_streams_of_an_account_that_the_server_forgot_come_back_with_it(
    server: EmbeddedNats, supervisor: Supervisor, tmp_path: Path
) -> None:
    await _store_one(server)
    await supervisor.stop("nats")
    for jwt in (tmp_path / "nats/accounts").iterdir():
        jwt.unlink()
    await supervisor.start(_command(server))
    assert await _known(server)
    assert await _stored(server) == 1


async def test_an_account_is_made_known_once(server: EmbeddedNats) -> None:
    assert await _known(server)
    assert not await _known(server)


async def test_an_account_whose_jwt_was_touched_is_refused(server: EmbeddedNats) -> None:
    jwt = server.authority.account_jwt(SHARD)
    async with _connected(server, server.authority.system_creds(os.urandom)) as client:
        with pytest.raises(AccountRefused):
            await Accounts(client).make_known(server.authority.account(SHARD), jwt[:-8] + "AAAAAAAA")


async def _is_let_in(server: EmbeddedNats, creds: str | None) -> bool:
    client = Client()
    try:
        await client.connect(
            server.url,
            user_credentials=None if creds is None else RawCredentials(creds),
            allow_reconnect=False,
            max_reconnect_attempts=0,
            error_cb=_ignored,
        )
    except nats.errors.Error:
        return False
    finally:
        await client.close()
    return True


async def test_users_of_another_authority_are_not_let_in_though_its_accounts_be_known(
    server: EmbeddedNats,
) -> None:
    stranger = new_authority(os.urandom)
    async with _connected(server, server.authority.system_creds(os.urandom)) as client:
        await Accounts(client).make_known(stranger.account(SHARD), stranger.account_jwt(SHARD))
    assert not await _is_let_in(server, stranger.provisioner_creds(SHARD, os.urandom))
    assert not await _is_let_in(server, stranger.system_creds(os.urandom))


async def test_nobody_is_let_in_without_credentials_and_whoever_has_them_is(server: EmbeddedNats) -> None:
    assert not await _is_let_in(server, None)
    assert await _is_let_in(server, server.authority.system_creds(os.urandom))


async def test_it_listens_on_loopback_for_clients_and_for_nothing_else(
    server: EmbeddedNats, supervisor: Supervisor
) -> None:
    assert listening_addresses(supervisor.pids()["nats"]) == {f"0100007F:{server.port:04X}"}


async def test_its_configuration_holds_no_secret(server: EmbeddedNats, tmp_path: Path) -> None:
    configuration = (tmp_path / "nats/nats.conf").read_text()
    assert server.authority.operator not in configuration
    assert server.authority.system not in configuration
    assert "SO" not in {word[:2] for word in configuration.split() if len(word) == 58}


@pytest.mark.parametrize(
    "name", ['a "quoted" one', "with space", "$HOME", "back\\slash", "{braces}", "ümläut"]
)
async def test_a_state_folder_may_have_any_name(tmp_path: Path, supervisor: Supervisor, name: str) -> None:
    made = EmbeddedNats(tmp_path / name / "nats")
    await supervisor.start(_command(made))
    await _store_one(made)
    assert list((tmp_path / name / "nats/store").rglob("*.blk"))
    assert list((tmp_path / name / "nats/accounts").glob("A*.jwt"))


def test_streams_may_reserve_less_than_the_disk_has(tmp_path: Path) -> None:
    free = os.statvfs(tmp_path)
    assert 0 < disk_for_streams(tmp_path) < free.f_bavail * free.f_frsize


def test_a_damaged_file_of_keys_is_named_and_never_replaced(tmp_path: Path) -> None:
    EmbeddedNats(tmp_path)
    (tmp_path / "authority.json").write_text('{"operator":')
    with pytest.raises(CannotRun, match=r"authority\.json is damaged"):
        EmbeddedNats(tmp_path)
    assert (tmp_path / "authority.json").read_text() == '{"operator":'


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("nats-server: v2.12.5", "is version 2.12.5: 2.12.6 or newer is needed"),
        ("nats-server: v2.9.10", "is version 2.9.10: 2.12.6"),
        ("something else", "is no nats-server: install"),
    ],
)
def test_a_server_with_known_holes_is_refused(tmp_path: Path, said: str, reason: str) -> None:
    binary = tmp_path / "nats-server"
    binary.write_text(f"#!/bin/sh\necho '{said}'\n")
    binary.chmod(0o755)
    with pytest.raises(CannotRun) as refused:
        demand_version(binary)
    assert reason in str(refused.value)


def test_the_installed_server_is_recent_enough() -> None:
    demand_version(nats_binary())
