"""gunicorn with the uvicorn worker class: one process that serves, and one that starts it again when it dies.

The worker stops in bounded time: it takes no more connections, lets requests end, then the lifespan flushes and closes.
uvicorn alone waits for ever for a body that trickles and for a head that never ends; both are bounded here.
"""

from __future__ import annotations

import sys
import time
from typing import Any, ClassVar, Final

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger
from uvicorn.server import Server
from uvicorn_worker import UvicornWorker  # type: ignore[import-untyped]  # it has no types

from audit_functions.app import application
from audit_functions.http_protocol import Protocol
from audit_functions.logs import JsonLines
from audit_functions.settings import Settings

BACKLOG: Final = 2048
REQUESTS_END_SECONDS: Final = 12
"""How long requests may take to end after SIGTERM: the publish deadline, the commit's, and a little."""
STOP_SECONDS: Final = 30
"""After this long after SIGTERM the worker is killed."""
HANG_SECONDS: Final = 60
"""A worker whose loop does not turn for so long is killed."""
_SWEEP_EVERY_TICKS: Final = 10


class BoundedServer(Server):
    """uvicorn's server, which also looks at connections that dawdle."""

    async def on_tick(self, counter: int) -> bool:
        """Do what uvicorn does every 0.1 s, and sweep every second."""
        if counter % _SWEEP_EVERY_TICKS == 0:
            now = time.monotonic()
            for connection in list(self.server_state.connections):
                if isinstance(connection, Protocol):
                    connection.sweep(now)
        return await super().on_tick(counter)


class Worker(UvicornWorker):  # type: ignore[misc]  # as above
    """The worker class: uvloop, httptools, no server or date header, no access log, a bounded stop."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {
        "loop": "uvloop",
        "http": Protocol,
        "ws": "none",
        "lifespan": "on",
        "interface": "asgi3",
        "server_header": False,
        "date_header": False,
        "access_log": False,
        "proxy_headers": False,
        "timeout_graceful_shutdown": REQUESTS_END_SECONDS,
    }

    async def _serve(self) -> None:
        self.config.app = self.wsgi
        server = BoundedServer(config=self.config)
        self._install_sigquit_handler()
        await server.serve(sockets=self.sockets)
        if not server.started:
            sys.exit(Arbiter.WORKER_BOOT_ERROR)


class JsonLogger(Logger):
    """gunicorn's own lines in the form of ours."""

    def setup(self, cfg: Any) -> None:
        """Set the formatter of every handler."""
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(JsonLines())


class HttpProcess(BaseApplication):
    """The gunicorn application."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        super().__init__()

    def load_config(self) -> None:
        """Set what is served where."""
        settings = self._settings
        for name, value in {
            "bind": f"{settings.address}:{settings.port}",
            "workers": 1,
            "worker_class": Worker,
            "backlog": BACKLOG,
            "timeout": HANG_SECONDS,
            "graceful_timeout": STOP_SECONDS,
            "loglevel": settings.log_level,
            "accesslog": None,
            "errorlog": "-",
            "logger_class": JsonLogger,
            "proc_name": "audit " + ",".join(settings.functions),
            "control_socket_disable": True,
            "max_requests": 0,
            "preload_app": False,
        }.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """Return the ASGI app, in the worker."""
        return application(self._settings)
