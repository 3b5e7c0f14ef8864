"""What a Pod object asks for, run as a process: its command, its environment and the Secrets that it mounts."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import time
from base64 import b64decode
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from tests.cluster.control_plane import free_port
from tests.support.cluster import Cluster

ROOT: Final = Path(__file__).parents[2]
MODULES: Final = os.pathsep.join(str(ROOT / each) for each in ("core", "functions"))
READY_SECONDS: Final = 40.0


@dataclass(slots=True, kw_only=True)
class Pods:
    """The processes of pods of a cluster, each on a port of 127.0.0.1. Leaving the context ends them."""

    cluster: Cluster
    folder: Path
    _running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        for process in self._running:
            process.send_signal(signal.SIGTERM)
        for process in self._running:
            process.wait(timeout=40)

    def run(self, namespace: str, function: str, *, selector: str = "app.kubernetes.io/name") -> int:
        """Run one pod of a function; return the port that it answers at, once it is ready."""
        found = self.cluster.json(
            "--namespace", namespace, "get", "pods", f"--selector={selector}={function}"
        )
        pod = found["items"][0]
        assert len(pod["spec"]["containers"]) == 1
        container = pod["spec"]["containers"][0]
        place = self.folder / pod["metadata"]["name"]
        port = free_port()
        environment = {each["name"]: each["value"] for each in container["env"]}
        mounts = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
        for volume in pod["spec"]["volumes"]:
            if "secret" in volume:
                self._mount(namespace, volume["secret"], place / volume["name"])
                environment = {
                    name: str(place / volume["name"]) if value == mounts[volume["name"]] else value
                    for name, value in environment.items()
                }
        command = [sys.executable if each == "python" else each for each in container["command"]]
        own = {"PYTHONPATH": MODULES, "PATH": os.environ["PATH"], "AUDIT_ADDRESS": "127.0.0.1"}
        with (place / "log").open("wb") as log:
            self._running.append(
                subprocess.Popen(
                    command, env={**environment, **own, "AUDIT_PORT": str(port)}, stdout=log, stderr=log
                )
            )
        path = container["readinessProbe"]["httpGet"]["path"]
        self._until_ready(port, path, place / "log")
        return port

    def _mount(self, namespace: str, volume: dict[str, Any], place: Path) -> None:
        """Write a Secret's keys as the kubelet does: files of a hidden folder, swapped by a link."""
        secret = self.cluster.json("--namespace", namespace, "get", "secret", volume["secretName"])
        hidden = place / "..now"
        hidden.mkdir(parents=True)
        (place / "..data").symlink_to("..now")
        for key, value in secret["data"].items():
            (hidden / key).write_bytes(b64decode(value))
            (place / key).symlink_to(f"..data/{key}")

    def _until_ready(self, port: int, path: str, log: Path) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while _status(port, path) != http.client.OK:
            assert time.monotonic() < deadline, f"not ready:\n{log.read_text()[-4000:]}"
            time.sleep(0.1)


def _status(port: int, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()
