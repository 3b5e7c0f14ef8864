"""Ports are chosen once, kept while they are free, and told by name when they are not."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from audit_operator.local.errors import CannotRun
from audit_operator.local.ports import HOST, demand_free, free_port, is_free, remembered_port


def test_a_chosen_port_is_none_that_an_outgoing_connection_can_get() -> None:
    first_outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert all(port < first_outgoing and is_free(port) for port in (free_port() for _ in range(50)))


def test_a_port_that_is_taken_is_said_with_the_variable_that_changes_it() -> None:
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(CannotRun) as refused:
            demand_free(port, "AUDIT_PORT")
    said = f"port {port} is taken: stop what listens there, or set AUDIT_PORT to another port"
    assert str(refused.value) == said
    demand_free(port, "AUDIT_PORT")


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_a_port_is_taken_whichever_address_its_owner_listens_on(address: str) -> None:
    with socket.create_server((address, 0)) as server:
        assert not is_free(server.getsockname()[1])


def test_a_port_is_kept_while_it_is_free(tmp_path: Path) -> None:
    path = tmp_path / "port"
    port = remembered_port(path)
    assert remembered_port(path) == port
    with socket.create_server((HOST, port)):
        other = remembered_port(path)
    assert other != port
    assert remembered_port(path) == other


@pytest.mark.parametrize("text", ["", "no number", "0", "65536", "-1"])
def test_a_damaged_note_is_replaced(tmp_path: Path, text: str) -> None:
    path = tmp_path / "port"
    path.write_text(text)
    port = remembered_port(path)
    assert int(path.read_text()) == port
