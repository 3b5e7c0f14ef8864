"""The API server asked over one connection: what is looked at often costs too much by kubectl, a process for each look."""

from __future__ import annotations

import http.client
import json
import ssl
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from tests.support.cluster import Cluster

MERGE: Final = "application/merge-patch+json"
APPLY: Final = "application/apply-patch+yaml"
TENANTS: Final = "/apis/auditlog.dev/v1alpha1/audittenants"


class Refused(Exception):
    """The server said no; `code` and the text are its own."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code} {text}")
        self.code = code


@dataclass(slots=True)
class Api:
    """A cluster's API, as an administrator. Not for threads."""

    cluster: Cluster
    _token: str = ""
    _connection: http.client.HTTPSConnection | None = field(default=None)

    def close(self) -> None:
        """Close the connection; the next request opens one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def get(self, path: str) -> dict[str, Any]:
        """Return an object or a list. Raises Refused."""
        return self._ask("GET", path)

    def find(self, path: str) -> dict[str, Any] | None:
        """Return an object, None when there is none."""
        try:
            return self.get(path)
        except Refused as refused:
            if refused.code == http.client.NOT_FOUND:
                return None
            raise

    def create(self, path: str, manifest: dict[str, Any]) -> dict[str, Any]:
        """Create an object in a collection."""
        return self._ask("POST", path, manifest, "application/json")

    def merge(self, path: str, patch: dict[str, Any]) -> dict[str, Any]:
        """Change an object by a JSON merge patch: null removes."""
        return self._ask("PATCH", path, patch, MERGE)

    def delete(self, path: str) -> dict[str, Any]:
        """Delete an object, its dependents after it."""
        return self._ask("DELETE", path, {"propagationPolicy": "Background"}, "application/json")

    def _ask(self, method: str, path: str, body: Any = None, kind: str = "") -> dict[str, Any]:
        for attempt in range(2):
            connection = self._connected()
            headers = {"Authorization": f"Bearer {self._token}", "Content-Type": kind or "application/json"}
            try:
                connection.request(method, path, None if body is None else json.dumps(body), headers)
                answer = connection.getresponse()
                text = answer.read()
            except OSError:
                self.close()  # it was idle for too long
                if attempt:
                    raise
                continue
            if not 200 <= answer.status < 300:
                raise Refused(answer.status, text.decode(errors="replace"))
            found: dict[str, Any] = json.loads(text)
            return found
        raise AssertionError("unreachable")

    def _connected(self) -> http.client.HTTPSConnection:
        if self._connection is None:
            config = json.loads(
                self.cluster.kubectl("config", "view", "--raw", "--flatten", "--minify", "--output=json")
            )
            self._token = config["users"][0]["user"]["token"]
            server = urlsplit(config["clusters"][0]["cluster"]["server"])
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            assert server.hostname
            self._connection = http.client.HTTPSConnection(
                server.hostname, server.port, timeout=60, context=context
            )
        return self._connection
