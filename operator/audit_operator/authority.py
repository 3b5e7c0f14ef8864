"""`python -m audit_operator.authority`: make an installation's NATS authority.

The Secret goes to standard output, for `kubectl apply -f -`. What the servers' configuration must say to trust the
authority holds no secret, and goes to the file named by `--server-config` in the form of the NATS chart's values.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from audit_operator.clients.nats_jwt import Authority, new_authority

KEY: Final = "authority.json"
ACCOUNTS: Final = "/data/accounts"
"""Where the servers keep accounts: on the volume that the NATS chart gives the resolver."""


def secret(authority: Authority, name: str, namespace: str) -> dict[str, Any]:
    """Return the Secret that the operator reads. Lost, no account of the installation can be changed any more."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "type": "Opaque",
        "immutable": True,
        "stringData": {KEY: msgspec.json.encode(authority).decode()},
    }


def main(arguments: list[str]) -> None:
    """Print the Secret, and write the servers' configuration."""
    parser = argparse.ArgumentParser(prog="python -m audit_operator.authority", description=__doc__)
    parser.add_argument("--name", default="audit-nats", help="of the Secret (default: %(default)s)")
    parser.add_argument("--namespace", default="auditlog", help="of the Secret (default: %(default)s)")
    parser.add_argument(
        "--accounts", default=ACCOUNTS, help="the servers' folder of accounts (default: %(default)s)"
    )
    parser.add_argument("--server-config", type=Path, required=True, help="the file to write, not a secret")
    told = parser.parse_args(arguments)
    if told.server_config.exists():
        sys.exit(f"{told.server_config} is there already: another authority may be in use")
    authority = new_authority(os.urandom)
    told.server_config.write_text(authority.server_config(f'"{told.accounts}"'))
    sys.stdout.write(yaml.safe_dump(secret(authority, told.name, told.namespace), sort_keys=False))


if __name__ == "__main__":
    main(sys.argv[1:])
