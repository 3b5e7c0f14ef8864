"""`python -m audit_operator.local COMMAND`: the audit log on one machine."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from typing import Final

from audit_operator.local.commands import clean, down, migrate, reset, status, up
from audit_operator.local.errors import CannotRun
from audit_operator.local.output import on_stdout
from audit_operator.local.settings import local_settings

COMMANDS: Final = {each.__name__: each for each in (up, down, status, migrate, clean, reset)}


def main(arguments: list[str]) -> int:
    """Run one command; return the status to exit with."""
    parser = argparse.ArgumentParser(prog="python -m audit_operator.local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        commands.add_parser(name, help=command.__doc__)
    told = parser.parse_args(arguments)
    try:
        asyncio.run(COMMANDS[told.command](local_settings(os.environ), on_stdout()))
    except CannotRun as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
