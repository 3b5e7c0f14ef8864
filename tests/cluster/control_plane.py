"""One control plane in one folder: how its programs are started, in which order, and when each is there."""

from __future__ import annotations

import ctypes
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.cluster.build import binary, stages

HOST: Final = "127.0.0.1"
NODES: Final = 3
START_SECONDS: Final = 120.0
MOST_RESTARTS: Final = 20
"""How often one program may end by itself: some do when the API server goes away before they are quite there."""
_PR_SET_PDEATHSIG: Final = 1
_libc: Final = ctypes.CDLL(None)

AUDIT_POLICY: Final[dict[str, Any]] = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "rules": [{"level": "Metadata"}],
}


class NotStarted(Exception):
    """A program ended, or did not answer in time; the text has the end of its log."""


class ControlPlane:
    """The programs of one cluster. `webhook`: a kubeconfig that audit events are posted by, each before its answer."""

    def __init__(self, folder: Path, *, webhook: Path | None = None) -> None:
        self.folder = folder
        self.kubeconfig = folder / "kubeconfig"
        self.audit_log = folder / "audit.log"
        self._webhook = webhook
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._restarts: Counter[str] = Counter()
        self._etcd, self._peers, self._port = (free_port() for _ in range(3))
        self._token = os.urandom(16).hex()

    @property
    def url(self) -> str:
        """Where the API server answers."""
        return f"https://{HOST}:{self._port}"

    def start(self) -> None:
        """Start everything; return when nodes are there. Raises NotStarted."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._write_files()
        self._spawn("etcd", self._etcd_arguments())
        self._until("etcd", lambda: _answers(self._etcd, "/health"))
        self.start_apiserver()
        for name, arguments in self._clients():
            self._spawn(name, arguments)
        self._make_nodes()

    def start_apiserver(self) -> None:
        """Start the API server; return when it is ready."""
        self._spawn("kube-apiserver", self._apiserver_arguments())
        self._until("kube-apiserver", lambda: _answers(self._port, "/readyz", token=self._token))
        if not self.kubeconfig.exists():
            self._write_kubeconfig()

    def stop_apiserver(self) -> None:
        """End the API server at once; the others try to reach it on and on."""
        process = self._processes.pop("kube-apiserver")
        process.kill()
        process.wait()

    def stop(self) -> None:
        """End everything, the last started first."""
        for process in reversed(self._processes.values()):
            process.send_signal(signal.SIGKILL)
        for process in self._processes.values():
            process.wait()
        self._processes.clear()

    def tend(self) -> None:
        """Start again what ended by itself, as a kubelet would. Raises NotStarted for what others stand on."""
        clients = dict(self._clients())
        for name in [name for name, process in self._processes.items() if process.poll() is not None]:
            self._restarts[name] += 1
            if name not in clients or self._restarts[name] > MOST_RESTARTS:
                raise NotStarted(f"{name} ended by itself; see its log in {self.folder}")
            self._spawn(name, clients[name])

    def _write_files(self) -> None:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (self.folder / "service-accounts.key").write_bytes(pem)
        (self.folder / "tokens.csv").write_text(f"{self._token},admin,admin,system:masters\n")
        (self.folder / "audit-policy.yaml").write_text(yaml.safe_dump(AUDIT_POLICY))

    def _etcd_arguments(self) -> list[str]:
        client, peer = (f"http://{HOST}:{port}" for port in (self._etcd, self._peers))
        return [
            "--name=default",
            f"--data-dir={self.folder / 'etcd'}",
            "--unsafe-no-fsync",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--log-level=warn",
        ]

    def _apiserver_arguments(self) -> list[str]:
        key = self.folder / "service-accounts.key"
        arguments = [
            f"--etcd-servers=http://{HOST}:{self._etcd}",
            f"--bind-address={HOST}",
            f"--secure-port={self._port}",
            f"--cert-dir={self.folder / 'certificates'}",
            "--service-cluster-ip-range=10.0.0.0/16",
            "--authorization-mode=RBAC",
            f"--token-auth-file={self.folder / 'tokens.csv'}",
            "--endpoint-reconciler-type=none",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--audit-policy-file={self.folder / 'audit-policy.yaml'}",
            f"--audit-log-path={self.audit_log}",
            "--enable-admission-plugins=OwnerReferencesPermissionEnforcement",
        ]
        if self._webhook is not None:
            arguments += [f"--audit-webhook-config-file={self._webhook}", "--audit-webhook-mode=blocking"]
        return arguments

    def _clients(self) -> list[tuple[str, list[str]]]:
        kubeconfig = f"--kubeconfig={self.kubeconfig}"
        return [
            (
                "kube-controller-manager",
                [
                    kubeconfig,
                    f"--service-account-private-key-file={self.folder / 'service-accounts.key'}",
                    f"--root-ca-file={self.folder / 'certificates' / 'apiserver.crt'}",
                    "--use-service-account-credentials",
                    "--leader-elect=false",
                    "--secure-port=0",
                ],
            ),
            ("kube-scheduler", [kubeconfig, "--leader-elect=false", "--secure-port=0"]),
            (
                "kwok",
                [
                    kubeconfig,
                    "--manage-all-nodes=true",
                    f"--config={stages()}",
                    "--node-lease-duration-seconds=40",
                ],
            ),
        ]

    def _write_kubeconfig(self) -> None:
        certificate = self.folder / "certificates" / "apiserver.crt"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "local", "cluster": {"server": self.url, "certificate-authority": str(certificate)}}
            ],
            "users": [{"name": "admin", "user": {"token": self._token}}],
            "contexts": [{"name": "local", "context": {"cluster": "local", "user": "admin"}}],
            "current-context": "local",
        }
        self.kubeconfig.touch(mode=0o600)
        self.kubeconfig.write_text(yaml.safe_dump(config))

    def _make_nodes(self) -> None:
        for number in range(NODES):
            self._create("/api/v1/nodes", _node(f"node-{number}"))

    def _create(self, path: str, manifest: dict[str, Any]) -> None:
        """Create an object, however slow the server is: one that waits for a webhook can be very slow."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                status, body = _request(self._port, path, token=self._token, manifest=manifest)
            except OSError as error:
                if time.monotonic() > deadline:
                    raise NotStarted(f"{path}: {error!r}") from error
                continue  # it may have been done all the same
            if status not in (http.client.CREATED, http.client.CONFLICT):
                raise NotStarted(f"{path}: {status} {body.decode(errors='replace')}")
            return

    def _spawn(self, name: str, arguments: Sequence[str]) -> None:
        program = binary(name)
        with (self.folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [str(program), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - a process without threads of its own starts them
                start_new_session=True,
            )

    def _until(self, name: str, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not holds():
            ended = self._processes[name].poll() is not None
            if ended or time.monotonic() > deadline:
                log = (self.folder / f"{name}.log").read_text(errors="replace")
                raise NotStarted(f"{name} {'ended' if ended else 'does not answer'}:\n{log[-2000:]}")
            time.sleep(0.05)


def free_port() -> int:
    """Return a port of 127.0.0.1 that is free now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _answers(port: int, path: str, *, token: str | None = None) -> bool:
    try:
        return _request(port, path, token=token)[0] == http.client.OK
    except OSError:
        return False


def _request(
    port: int, path: str, *, token: str | None = None, manifest: dict[str, Any] | None = None
) -> tuple[int, bytes]:
    connection = (
        http.client.HTTPConnection(HOST, port, timeout=5)
        if token is None
        else http.client.HTTPSConnection(HOST, port, timeout=5, context=_unverified())
    )
    headers = (
        {} if token is None else {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    )
    try:
        connection.request(
            "GET" if manifest is None else "POST",
            path,
            body=None if manifest is None else json.dumps(manifest),
            headers=headers,
        )
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _unverified() -> ssl.SSLContext:
    """Trust whoever listens on the port that we chose a moment ago: its certificate is not there before it."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _node(name: str) -> dict[str, Any]:
    room = {"cpu": "64", "memory": "256Gi", "pods": "1000"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {"kwok.x-k8s.io/node": "fake"},
            "labels": {"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": f"zone-{name[-1]}"},
        },
        "status": {"allocatable": room, "capacity": room},
    }
