"""What functions log in with and owners begin with, kept in Secrets: the adapters of two ports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlsplit, urlunsplit

from audit_core.tenant import role_name
from audit_operator.clients.kubernetes_errors import NamespaceTerminating, NotFound
from audit_operator.clients.nats_jwt import Authority
from audit_operator.clients.nats_users import PERMISSIONS, is_current
from audit_operator.clients.roles import ROLE_FUNCTIONS, Passwords, RoleFunction
from audit_operator.reconcile.cluster.secrets import SecretPlace, texts
from audit_operator.reconcile.ports import Random
from audit_operator.resources.secrets import FIRST_KEY, secret

FIRST_KEY_SECRET: Final = "audit-first-key"  # noqa: S105 - a name
LOG: Final = "auditlog.dev/tenant-id"
"""The annotation of a first key: the log that it opens. One of another log is of no use."""

Dsn = Callable[[str, str], str]
"""Gives the connection string of a role with a password."""


def dsn_like(administrators: str) -> Dsn:
    """Return what gives functions the administrator's connection with a role of their own. It has to be a URL."""
    parts = urlsplit(administrators)
    server = parts.netloc.rpartition("@")[2]

    def dsn(role: str, password: str) -> str:
        user = f"{quote(role, safe='')}:{quote(password, safe='')}"
        return urlunsplit(parts._replace(netloc=f"{user}@{server}"))

    return dsn


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretCredentials:
    """What the functions of some shards log in with: a Secret for each function, with two files for each shard.

    `name(function)` names the Secret. It may hold the files of other shards of the pool, which are left alone.
    """

    place: SecretPlace
    name: Callable[[str], str]
    authority: Authority
    dsn: Dsn
    random: Random

    async def passwords(self, shard_id: str) -> Mapping[RoleFunction, str]:
        """Return the database passwords that were handed out for a shard."""
        found: dict[RoleFunction, str] = {}
        for function in ROLE_FUNCTIONS:
            dsn = texts(await self.place.read(self.name(function))).get(f"{shard_id}.{function}.dsn")
            if dsn is not None and (password := urlsplit(dsn.strip()).password):
                found[function] = password
        return found

    async def hand_out(self, shard_id: str, passwords: Passwords) -> list[str]:
        """Write the Secrets that lack something or hold something outdated; return their names."""
        written = []
        for function in PERMISSIONS:
            name = self.name(function)
            held = texts(await self.place.read(name))
            wanted = held | self._files(shard_id, function, passwords, held)
            if wanted != held:
                try:
                    await self.place.write(secret(name, self.place.namespace, wanted))
                except (NamespaceTerminating, NotFound):
                    continue  # nobody logs in from a namespace that is going
                written.append(f"Secret {name}")
        return written

    def _files(
        self, shard_id: str, function: str, passwords: Passwords, held: Mapping[str, str]
    ) -> dict[str, str]:
        files = {}
        creds = f"{shard_id}.{function}.creds"
        permissions = PERMISSIONS[function](shard_id)
        if not is_current(held.get(creds), permissions, account=self.authority.account(shard_id)):
            files[creds] = self.authority.user_creds(shard_id, function, permissions, self.random)
        for role in ROLE_FUNCTIONS:
            if role == function:
                files[f"{shard_id}.{role}.dsn"] = f"{self.dsn(role_name(shard_id, role), passwords[role])}\n"
        return files


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretKeyring:
    """A tenant's first key, in a Secret that its owner reads. Nothing else holds its text."""

    place: SecretPlace
    name: str

    async def made_key(self, tenant_id: str) -> str | None:
        """Return the key that was made for a tenant."""
        found = await self.place.read(self.name)
        if found is None or found["metadata"].get("annotations", {}).get(LOG) != tenant_id:
            return None
        return texts(found).get(FIRST_KEY)

    async def keep(self, tenant_id: str, key: str) -> None:
        """Store a new key."""
        manifest = secret(self.name, self.place.namespace, {FIRST_KEY: key}, annotations={LOG: tenant_id})
        await self.place.write(manifest)
