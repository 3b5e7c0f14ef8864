"""Secrets from texts that somebody else made."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Final

from audit_operator.resources.metadata import MANAGED_BY, OPERATOR, PART_OF
from audit_operator.resources.platform import Manifest

GENERATION: Final = "auditlog.dev/credentials-generation"
FIRST_KEY: Final = "key"


def secret(
    name: str,
    namespace: str,
    texts: Mapping[str, str],
    *,
    annotations: Mapping[str, str] | None = None,
    owner: Manifest | None = None,
) -> Manifest:
    """Return a Secret that holds these texts. It is no watched child: it carries no tenant's label."""
    metadata: Manifest = {
        "name": name,
        "namespace": namespace,
        "labels": {MANAGED_BY: OPERATOR, PART_OF: "audit-log"},
    }
    if annotations:
        metadata["annotations"] = dict(annotations)
    if owner is not None:
        metadata["ownerReferences"] = [owner]
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "type": "Opaque",
        "data": {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()},
    }
