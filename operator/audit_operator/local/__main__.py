"""`python -m audit_operator.local COMMAND`: the audit log on one machine."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path
from typing import Final

from audit_operator.local.commands import clean, down, migrate, reset, status, up
from audit_operator.local.errors import CannotRun
from audit_operator.local.load import load
from audit_operator.local.output import Output, on_stdout
from audit_operator.local.settings import LocalSettings, local_settings

PLAIN: Final = {each.__name__: each for each in (up, down, status, migrate, clean, reset)}
"""The commands without arguments."""


def main(arguments: list[str]) -> int:
    """Run one command; return the status to exit with."""
    told = _parser().parse_args(arguments)
    try:
        _run(told, local_settings(os.environ), on_stdout())
    except CannotRun as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever read our output had enough; nothing may be flushed there at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


def _run(told: argparse.Namespace, settings: LocalSettings, output: Output) -> None:
    if told.command == "load":
        load(settings, output, tenant=told.tenant, file=told.file)
    else:
        asyncio.run(PLAIN[told.command](settings, output))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m audit_operator.local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in PLAIN.items():
        commands.add_parser(name, help=command.__doc__)
    loading = commands.add_parser("load", help=load.__doc__)
    loading.add_argument("--tenant", help="the tenant to load (default: the first)")
    loading.add_argument("--file", type=Path, help="a file with one CloudTrail record a line")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
