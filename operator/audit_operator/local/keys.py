"""The first API key of each tenant, in files of its owner: nothing else holds its text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from audit_operator.local.private_files import write_private


@dataclass(frozen=True, slots=True)
class KeyFolder:
    """One file per tenant, named by its id: a tenant that is made anew under the same name gets another key."""

    folder: Path

    def key(self, tenant_id: str) -> str | None:
        """Return the key that was made for a tenant."""
        try:
            return (self.folder / tenant_id).read_text(encoding="ascii").strip() or None
        except FileNotFoundError:
            return None

    async def made_key(self, tenant_id: str) -> str | None:
        """Return the same, to provisioning."""
        return self.key(tenant_id)

    async def keep(self, tenant_id: str, key: str) -> None:
        """Store a new key so that it outlives a crash."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(self.folder / tenant_id, f"{key}\n")
