"""What the functions log in with, as files: one folder per shard, each function reading only its own.

In a cluster the same are Secrets. NATS credentials are minted anew only when the ones that are there allow something
else than they should, or come from another authority.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from audit_core.tenant import role_name
from audit_operator.clients.nats_jwt import Authority
from audit_operator.clients.nats_users import PERMISSIONS, is_current
from audit_operator.clients.roles import ROLE_FUNCTIONS, Passwords, RoleFunction
from audit_operator.local.private_files import sync_folder, write_private
from audit_operator.reconcile.ports import Random


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardFolder:
    """`dsn(role, password)` gives the connection string of a role as the server can be reached now."""

    folder: Path
    authority: Authority
    dsn: Callable[[str, str], str]
    random: Random

    async def passwords(self, shard_id: str) -> Mapping[RoleFunction, str]:
        """Return the database passwords that were handed out for a shard."""
        found: dict[RoleFunction, str] = {}
        for function in ROLE_FUNCTIONS:
            text = _text(self.folder / shard_id / f"{function}.dsn")
            if text is not None and (password := urlsplit(text.strip()).password):
                found[function] = password
        return found

    async def hand_out(self, shard_id: str, passwords: Passwords) -> list[str]:
        """Write the files that are missing or outdated; return their names. A new shard appears whole."""
        place = self.folder / shard_id
        if place.exists():
            return self._write(place, shard_id, passwords)
        draft = self.folder / f".{shard_id}.new"
        draft.mkdir(mode=0o700, parents=True, exist_ok=True)
        written = self._write(draft, shard_id, passwords)
        draft.rename(place)
        sync_folder(self.folder)
        return written

    def _write(self, place: Path, shard_id: str, passwords: Passwords) -> list[str]:
        wanted = {
            f"{function}.dsn": f"{self.dsn(role_name(shard_id, function), passwords[function])}\n"
            for function in ROLE_FUNCTIONS
        }
        changed = {name: text for name, text in wanted.items() if _text(place / name) != text}
        for function, permissions in PERMISSIONS.items():
            name = f"{function}.creds"
            if not is_current(
                _text(place / name), permissions(shard_id), account=self.authority.account(shard_id)
            ):
                changed[name] = self.authority.user_creds(
                    shard_id, function, permissions(shard_id), self.random
                )
        for name, text in changed.items():
            write_private(place / name, text)
        return sorted(changed)


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
