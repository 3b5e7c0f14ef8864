"""`python -m audit_operator.local COMMAND`: the audit log on one machine."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path
from typing import Final

from audit_core.control import GapArguments
from audit_operator.local.commands import clean, down, migrate, reset, status, up
from audit_operator.local.errors import CannotRun
from audit_operator.local.load import load
from audit_operator.local.output import Output, on_stdout
from audit_operator.local.repair import accept_missing, recover_stream
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
    match told.command:
        case "load":
            load(settings, output, tenant=told.tenant, file=told.file)
        case "recover-stream":
            asyncio.run(recover_stream(settings, output, name=told.name, confirmed=told.confirm))
        case "accept-gap":
            gap = GapArguments(first=told.first, last=told.through)
            asyncio.run(accept_missing(settings, output, name=told.name, gap=gap, confirmed=told.confirm))
        case plain:
            asyncio.run(PLAIN[plain](settings, output))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m audit_operator.local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in PLAIN.items():
        commands.add_parser(name, help=command.__doc__)
    loading = commands.add_parser("load", help=load.__doc__)
    loading.add_argument("--tenant", help="the tenant to load (default: the first)")
    loading.add_argument("--file", type=Path, help="a file with one CloudTrail record a line")
    recovering = commands.add_parser("recover-stream", help=recover_stream.__doc__)
    accepting = commands.add_parser("accept-gap", help=accept_missing.__doc__)
    for repairing in (recovering, accepting):
        repairing.add_argument("name", metavar="TENANT", help="the tenant, or the id of a shard")
        repairing.add_argument("--confirm", action="store_true", help="really do it")
    accepting.add_argument("first", metavar="FROM", type=int, help="the first message that is missing")
    accepting.add_argument("through", metavar="THROUGH", type=int, help="the last message that is missing")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
