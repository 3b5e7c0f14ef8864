"""PostgreSQL on this machine, for one state folder.

The server refuses to run as root. Then it runs as `postgres` or `nobody`, with its data where that user can reach it.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import secrets
import shutil
import signal
import subprocess
from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Final

import asyncpg

from audit_operator.local import outside
from audit_operator.local.errors import CannotRun
from audit_operator.local.leftovers import are_gone, end, processes_in
from audit_operator.local.ports import HOST, remembered_port
from audit_operator.local.postgres_binaries import (
    BUILTIN_LOCALE_SINCE,
    installed_binaries,
    usable_by_others,
    version,
)
from audit_operator.local.private_files import sync_folder, write_private
from audit_operator.local.processes import RunAs

__all__ = ["SUPERUSER", "EmbeddedPostgres", "installed_binaries"]

SUPERUSER: Final = "postgres"
_SHUTDOWN_SECONDS: Final = 10.0
_QUIT_SECONDS: Final = 2.0
_SETTINGS: Final = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "maintenance_work_mem": "128MB",
    "max_parallel_workers_per_gather": "1",
    "random_page_cost": "1.1",
    "jit": "off",
    "wal_buffers": "16MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "log_destination": "stderr",
    "log_min_messages": "warning",
    "log_timezone": "UTC",
    "timezone": "UTC",
}
_IF_SUPPORTED: Final = {"wal_compression": "lz4"}


class EmbeddedPostgres:
    """One cluster that belongs to the state folder. A second start finds data, port and password again."""

    def __init__(self, state: Path, settings: dict[str, str] | None = None) -> None:
        self._state = state / "postgres"
        self._state.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._settings = {**_SETTINGS, **(settings or {})}
        self.port = 0

    @cached_property
    def run_as(self) -> RunAs | None:
        """The user that the server runs as, None for our own."""
        if os.geteuid() != 0:
            return None
        known = {entry.pw_name: entry for entry in pwd.getpwall()}
        entry = known.get("postgres") or known["nobody"]
        return RunAs(uid=entry.pw_uid, gid=entry.pw_gid)

    @cached_property
    def folder(self) -> Path:
        """Where the data are. Raises CannotRun when the state folder is a copy of another one."""
        return self._state if self.run_as is None else outside.place_of(self._note)

    @cached_property
    def binaries(self) -> Path:
        """A folder with `postgres` and `initdb` that the server's user can run. Raises CannotRun."""
        found = installed_binaries()
        return found if self.run_as is None else usable_by_others(found)

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.folder / "data"

    @property
    def password(self) -> str:
        """The superuser's password, made once."""
        path = self._state / "password"
        if not path.exists():
            write_private(path, secrets.token_urlsafe(24))
        return path.read_text()

    def dsn(self, database: str = "postgres", *, user: str = SUPERUSER, password: str | None = None) -> str:
        """Return a connection string, by default the superuser's."""
        return f"postgresql://{user}:{password or self.password}@{HOST}:{self.port}/{database}"

    def command(self) -> Sequence[str]:
        """Make the cluster if there never was one, and return the command that runs the server. Blocks.

        The port is chosen the first time, and kept, so that what was handed out stays true over a restart. Raises
        CannotRun.
        """
        if self.run_as is not None:
            outside.make_place(self.folder, self._note)
            self._give(self.folder)
        if not (self.data / "PG_VERSION").exists():
            if self._made.exists():
                raise CannotRun(f"{self.data} is gone", "restore it from a backup, or start anew: make clean")
            self._create()
        if not self._made.exists():
            write_private(self._made, "")
        self._clear()
        self.port = self.port or remembered_port(self._state / "port")
        settings = {**self._settings, **self._supported(), "port": str(self.port)}
        options = [f"--{name}={value}" for name, value in settings.items()]
        return [str(self.binaries / "postgres"), "-D", str(self.data), *options]

    def environment(self) -> dict[str, str]:
        """Return the variables that the server runs with: nothing of ours is its business."""
        return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}

    async def ready(self) -> None:
        """Return when the server answers queries, however long that takes. Raises CannotRun when it never will."""
        while not await self._answers():  # noqa: ASYNC110 - another process: nothing to wait on
            await asyncio.sleep(0.02)

    def remove(self) -> None:
        """Delete the data, and what an earlier state folder of the same name left. The server must be stopped."""
        if self.run_as is not None:
            outside.remove_places(self._note)
        shutil.rmtree(self._state, ignore_errors=True)

    @property
    def _note(self) -> Path:
        return self._state / "location"

    @property
    def _made(self) -> Path:
        """Says that there was a cluster once: never is an empty one put in the place of one that is lost."""
        return self._state / "made"

    async def _answers(self) -> bool:
        try:
            connection = await asyncpg.connect(self.dsn(), timeout=5)
        except asyncpg.InvalidPasswordError as error:
            raise CannotRun(
                f"{self.data} has another password than {self._state}",
                "put the right file back, or make clean",
            ) from error
        except (ConnectionError, TimeoutError, asyncpg.PostgresError):
            return False
        await connection.close()
        return True

    def _clear(self) -> None:
        """End what is left of a server on these data, then remove its lock file, whose pid may be another's by now.

        The backends of a killed server live until they notice, each in a session of its own. Beside them and without
        the lock file another server would start.
        """
        lock = self.data / "postmaster.pid"
        living = partial(processes_in, self.data)
        try:
            if _pid_in(lock) in living():  # it is shutting down, because whoever started it is gone
                are_gone(living, _SHUTDOWN_SECONDS)
            end(living, signal.SIGQUIT, _QUIT_SECONDS)
        except TimeoutError as error:
            raise CannotRun(f"a server still runs on {self.data}", str(error)) from error
        lock.unlink(missing_ok=True)

    def _create(self) -> None:
        draft, secret = self.folder / "data.new", self.folder / "initdb.password"
        shutil.rmtree(draft, ignore_errors=True)
        write_private(secret, self.password)
        self._give(secret)
        try:
            self._initdb(draft, secret)
        finally:
            secret.unlink()
        draft.rename(self.data)
        sync_folder(self.folder)

    def _initdb(self, data: Path, secret: Path) -> None:
        # Both order by code point; this one knows the letters of other alphabets besides.
        builtin = ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
        locale = builtin if version(self.binaries) >= BUILTIN_LOCALE_SINCE else ("--locale=C.UTF-8",)
        options = ("--auth=scram-sha-256", "--encoding=UTF8", "--data-checksums", "--no-instructions")
        done = self._run("initdb", "-D", str(data), "-U", SUPERUSER, f"--pwfile={secret}", *options, *locale)
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[0]
            raise CannotRun(f"initdb failed ({reason})", f"look at {self.folder}")

    def _supported(self) -> dict[str, str]:
        """Return the settings that depend on what the binaries were built with."""
        return {
            name: value
            for name, value in _IF_SUPPORTED.items()
            if self._run("postgres", "-C", name, f"--{name}={value}", "-D", str(self.data)).returncode == 0
        }

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603 - the server's own programs
            [self.binaries / program, *arguments],
            user=None if self.run_as is None else self.run_as.uid,
            group=None if self.run_as is None else self.run_as.gid,
            extra_groups=None if self.run_as is None else [],
            env=self.environment(),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def _give(self, path: Path) -> None:
        if self.run_as is not None:
            os.chown(path, self.run_as.uid, self.run_as.gid)


def _pid_in(lock: Path) -> int | None:
    try:
        return int(lock.read_text().splitlines()[0])
    except (FileNotFoundError, ValueError, IndexError):
        return None
