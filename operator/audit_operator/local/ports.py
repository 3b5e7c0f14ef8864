"""Ports on 127.0.0.1: one that is asked for, or a free one that stays the same from start to start."""

from __future__ import annotations

import errno
import secrets
import socket
from pathlib import Path
from typing import Final

from audit_operator.local.errors import CannotRun
from audit_operator.local.private_files import write_private

HOST: Final = "127.0.0.1"
_LOWEST: Final = 15_000
_TRIES: Final = 200
_OUTGOING: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")


def is_free(port: int) -> bool:
    """Tell whether a server could listen on `port` now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def free_port() -> int:
    """Return a port that nothing listens on now, if possible below those that outgoing connections get.

    While a server on one of those is down, a client that keeps trying can end up connected to itself, and then the
    server cannot have its port back.
    """
    span = _first_outgoing() - _LOWEST
    for _ in range(_TRIES if span > 0 else 0):
        port = _LOWEST + secrets.randbelow(span)
        if is_free(port):
            return port
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def remembered_port(path: Path) -> int:
    """Return the port written in `path` while it is free, else a free one, and write that."""
    port = _written(path)
    if port is None or not is_free(port):
        port = free_port()
        write_private(path, f"{port}\n")
    return port


def demand_free(port: int, variable: str) -> None:
    """Raise CannotRun when `port`, which `variable` sets, is taken."""
    if not is_free(port):
        raise CannotRun(
            f"port {port} is taken", f"stop what listens there, or set {variable} to another port"
        )


def _written(path: Path) -> int | None:
    try:
        port = int(path.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return port if 0 < port < 1 << 16 else None


def _first_outgoing() -> int:
    try:
        return int(_OUTGOING.read_text().split()[0])
    except (FileNotFoundError, ValueError, IndexError):
        return 0
