"""The generator as a process of its own: `python -m tests.bench.generate`, one JSON line on stdout.

It stands apart from what it measures, and reports the share of a core that it took itself.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import sys

import uvloop

from tests.bench.workload import batches, bodies
from tests.support.http_load import Load, Source, closed_loop, open_loop, post

PREPARED = 20_000


def _source(arguments: argparse.Namespace) -> Source:
    if arguments.batch == 1:
        made = bodies(PREPARED, seed=arguments.seed)
        path = "/api/v1/audit/logs"
    else:
        made = batches(max(PREPARED // arguments.batch, 1), arguments.batch, seed=arguments.seed)
        path = "/api/v1/audit/logs/batch"
    requests = itertools.cycle([post("localhost", path, arguments.key, body) for body in made])
    left = itertools.count(arguments.requests, -1) if arguments.requests else itertools.repeat(1)
    return lambda: (None, next(requests)) if next(left) > 0 else None


async def _run(arguments: argparse.Namespace) -> Load:
    source = _source(arguments)
    if arguments.rate:
        return await open_loop(
            arguments.port,
            arguments.rate,
            source,
            seconds=arguments.seconds,
            connections=arguments.connections,
        )
    return await closed_loop(arguments.port, arguments.connections, source, seconds=arguments.seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--key", default="akl_none")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rate", type=float, default=0.0, help="open loop at this many requests a second")
    parser.add_argument("--requests", type=int, default=0, help="stop after this many requests")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    load = uvloop.run(_run(arguments))
    usage = resource.getrusage(resource.RUSAGE_SELF)
    json.dump(
        {
            "rate": load.rate,
            "seconds": load.seconds,
            "statuses": load.statuses,
            "p50_ms": load.quantile(0.5) * 1000,
            "p99_ms": load.quantile(0.99) * 1000,
            "cpu_share": (usage.ru_utime + usage.ru_stime) / load.seconds,
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
