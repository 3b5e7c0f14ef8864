"""Whether the process lives and whether it can do its work, from the same state that the work itself goes by.

`/healthz`: no vital task has ended. `/readyz`: a supervisor may send requests. `/health`: the same for callers of the
earlier API. A process becomes ready when every shard that it knows is able, and stays so while any is: a shard that is
being made, or one that fails, must not take the others' endpoint away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from audit_functions.web.function import HttpFunction
from audit_functions.web.vital import Vital

_JSON: Final = "application/json"


class Health(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The state of a process. `shards` by function and shard: `ok`, what hampers it, or what is wrong."""

    status: str
    functions: list[str]
    failed_task: str | None = None
    shards: dict[str, dict[str, str]] = {}


class Readiness:
    """Answers the three questions. `draining` is set when the process was told to stop."""

    def __init__(self, functions: Sequence[HttpFunction], vital: Vital) -> None:
        self.draining = False
        self._functions = functions
        self._vital = vital
        self._was_ready = False

    async def healthz(self, request: Request) -> Response:  # noqa: ARG002 - the signature of a handler
        """Answer 200 while the vital tasks run."""
        failed = self._vital.failed
        health = Health(status="failed" if failed else "ok", functions=self._names(), failed_task=failed)
        return _answer(health, ok=failed is None)

    async def readyz(self, request: Request) -> Response:  # noqa: ARG002 - as above
        """Answer 200 while requests are welcome."""
        return self._answer_ready()

    async def health(self, request: Request) -> Response:  # noqa: ARG002 - as above
        """Answer the same, for callers of the earlier API."""
        return self._answer_ready()

    def _answer_ready(self) -> Response:
        shards: dict[str, dict[str, str | None]] = {
            function.name: _problems(function) for function in self._functions
        }
        able = self._able(shards)
        shown: dict[str, dict[str, str]] = {
            function.name: _shown(function, shards[function.name]) for function in self._functions
        }
        return _answer(
            Health(status="ok" if able else "unavailable", functions=self._names(), shards=shown), ok=able
        )

    def _able(self, shards: Mapping[str, Mapping[str, str | None]]) -> bool:
        if self.draining or self._vital.failed is not None:
            return False
        enough = any if self._was_ready else all
        able = all(
            found and enough(problem is None for problem in found.values()) for found in shards.values()
        )
        self._was_ready = self._was_ready or able
        return able

    def _names(self) -> list[str]:
        return [function.name for function in self._functions]


def _problems(function: HttpFunction) -> dict[str, str | None]:
    """Return what is wrong with each known shard, None where nothing is."""
    folder = function.folder
    return {
        shard_id: folder.serving[shard_id].problem() if shard_id in folder.serving else "not open"
        for shard_id in sorted(folder.known)
    }


def _shown(function: HttpFunction, problems: Mapping[str, str | None]) -> dict[str, str]:
    impaired = {str(shard_id): f"ok, but {what}" for shard_id, what in function.impairments().items()}
    return {shard_id: problem or impaired.get(shard_id, "ok") for shard_id, problem in problems.items()}


def _answer(health: Health, *, ok: bool) -> Response:
    return Response(msgspec.json.encode(health), status_code=200 if ok else 503, media_type=_JSON)
