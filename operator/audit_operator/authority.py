"""`python -m audit_operator.authority`: make an installation's NATS authority.

The Secret goes to standard output, for `kubectl apply -f -`. What the servers' configuration must say to trust the
authority holds no secret: it goes to a file, as values of the NATS chart or as lines of a configuration.
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
"""Where the servers keep accounts, unless told otherwise."""


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


def chart_values(authority: Authority) -> dict[str, Any]:
    """Return the values of the NATS chart that make its servers trust the authority."""
    lines = authority.server_config('""').splitlines()
    settings = dict(line.split(": ", 1) for line in lines)
    account, token = settings["resolver_preload"].strip("{} ").split(": ")
    return {
        "config": {
            "merge": {
                "operator": settings["operator"],
                "system_account": settings["system_account"],
                "resolver_preload": {account: token},
            }
        }
    }


def main(arguments: list[str]) -> None:
    """Print the Secret, and write the servers' configuration."""
    parser = argparse.ArgumentParser(prog="python -m audit_operator.authority", description=__doc__)
    parser.add_argument("--name", default="audit-nats", help="of the Secret (default: %(default)s)")
    parser.add_argument("--namespace", default="auditlog", help="of the Secret (default: %(default)s)")
    parser.add_argument(
        "--accounts", default=ACCOUNTS, help="the servers' folder of accounts (default: %(default)s)"
    )
    parser.add_argument(
        "--servers",
        type=Path,
        required=True,
        help="the file to write, no secret: values of the NATS chart if it ends in .yaml, else lines of a configuration",
    )
    told = parser.parse_args(arguments)
    if told.servers.exists():
        sys.exit(f"{told.servers} is there already: another authority may be in use")
    authority = new_authority(os.urandom)
    if told.servers.suffix == ".yaml":
        told.servers.write_text(yaml.safe_dump(chart_values(authority), width=4096))
    else:
        told.servers.write_text(authority.server_config(f'"{told.accounts}"'))
    sys.stdout.write(yaml.safe_dump(secret(authority, told.name, told.namespace), sort_keys=False))


if __name__ == "__main__":
    main(sys.argv[1:])
