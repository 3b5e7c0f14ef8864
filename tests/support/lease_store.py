"""One Lease, kept as an API server keeps it."""

from __future__ import annotations

import copy
from typing import Any

from audit_operator.clients.kubernetes_errors import Conflict


class LeaseStore:
    """Writes only over the version that the writer read, and anew only where there is none."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.version = 0

    def read(self) -> dict[str, Any] | None:
        return copy.deepcopy(self.lease)

    def write(self, manifest: dict[str, Any], *, anew: bool) -> dict[str, Any]:
        expected = None if anew else manifest["metadata"]["resourceVersion"]
        if (self.lease and self.lease["metadata"]["resourceVersion"]) != expected:
            raise Conflict(409, "Conflict", "changed")
        self.version += 1
        self.lease = copy.deepcopy(manifest)
        self.lease["metadata"]["resourceVersion"] = str(self.version)
        return copy.deepcopy(self.lease)

    def holder(self) -> str:
        return str(self.lease["spec"]["holderIdentity"]) if self.lease else ""
