"""Serve an app of `tests.bench.noop` exactly as the functions are served: `python -m tests.bench.serve APP PORT`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from audit_functions.server import HttpProcess
from audit_functions.settings import Settings
from tests.bench import noop


class NoopProcess(HttpProcess):
    """The same server, worker class, loop and parser around another app."""

    def __init__(self, settings: Settings, app: str) -> None:
        self._app = app
        super().__init__(settings)

    def load(self) -> Any:
        return getattr(noop, self._app)


def main() -> None:
    app, port = sys.argv[1:]
    settings = Settings(functions=("ingest",), shards=Path(), port=int(port), log_level="error")
    NoopProcess(settings, app).run()


if __name__ == "__main__":
    main()
