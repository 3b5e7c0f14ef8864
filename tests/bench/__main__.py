"""`make bench`: every scenario against its ceiling, side by side. `--quick` shortens it, `--docs` writes the page.

python -m tests.bench [--only NAME …] [--repetitions N] [--quick] [--docs]
"""

from __future__ import annotations

import argparse
import asyncio
import platform
import sys
import tempfile
from pathlib import Path

from tests.bench import scenarios
from tests.bench.fsync import fsync_quantiles
from tests.bench.results import Results
from tests.support.running import running_stack

ROOT = Path(__file__).parents[2]


async def _run(arguments: argparse.Namespace, results: Results) -> None:
    with tempfile.TemporaryDirectory(prefix="audit-bench-") as name:
        folder = Path(name)
        p50, p99 = fsync_quantiles(folder)
        results.add("fsync_4k_p50", p50 * 1000, "ms")
        results.add("fsync_4k_p99", p99 * 1000, "ms")
        async with running_stack(folder) as stack:
            for scenario in scenarios.ALL:
                if not arguments.only or scenario.__name__ in arguments.only:
                    print(f"{scenario.__name__}: {(scenario.__doc__ or '').splitlines()[0]}", flush=True)
                    await scenario(stack, results, arguments.repetitions)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", nargs="*", default=[], help="names of scenarios")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--docs", action="store_true", help="write docs/benchmarks.md too")
    arguments = parser.parse_args()
    results = Results()
    asyncio.run(_run(arguments, results))
    results.write(ROOT / "build" / "bench.json")
    if arguments.docs:
        machine = f"{platform.machine()}, {platform.system()} {platform.release()}, Python {platform.python_version()}"
        page = (
            (ROOT / "tests" / "bench" / "page.md")
            .read_text()
            .format(machine=machine, table=results.markdown())
        )
        (ROOT / "docs" / "benchmarks.md").write_text(page)
    sys.exit(0)


if __name__ == "__main__":
    main()
