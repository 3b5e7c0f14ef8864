"""Ports on 127.0.0.1: one that is asked for, or a free one that stays the same from start to start."""

from __future__ import annotations

import errno
import socket
from pathlib import Path

from audit_operator.local.errors import CannotRun

HOST = "127.0.0.1"


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
    """Return a port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def remembered_port(path: Path) -> int:
    """Return the port written in `path` while it is free, else a free one, and write that."""
    if path.exists():
        port = int(path.read_text())
        if is_free(port):
            return port
    port = free_port()
    path.write_text(f"{port}\n")
    return port


def demand_free(port: int, variable: str) -> None:
    """Raise CannotRun when `port`, which `variable` sets, is taken."""
    if not is_free(port):
        raise CannotRun(
            f"port {port} is taken", f"stop what listens there, or set {variable} to another port"
        )
