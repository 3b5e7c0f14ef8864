"""The operator as a process, with the ServiceAccount, roles and policies of the chart, on a cluster of its own.

PostgreSQL and NATS are real. Pods get ready without running; what they would run is taken from the Pod objects by
`tests.support.pods`. `installation` is one for each test, `standing` one for all tests of a module.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
import yaml

from audit_operator.clients.database import create_database
from tests.cluster.control_plane import free_port
from tests.support.api import TENANTS, Api
from tests.support.audit_log import AuditLog
from tests.support.chart import NAMESPACE, render
from tests.support.cluster import Cluster
from tests.support.nats import NatsServer
from tests.support.postgres import Database, PostgresServer, connected

ROOT: Final = Path(__file__).parents[2]
MODULES: Final = os.pathsep.join(str(ROOT / each) for each in ("core", "operator", "functions"))
IMAGE: Final = "registry.example/audit-functions@sha256:" + "0" * 64
PATIENCE_SECONDS: Final = 60.0
LEASE_SECONDS: Final = 8
"""Shorter than the chart's, so that tests need not wait; long enough that a busy machine does not end a leader."""
_CLUSTER_WIDE: Final = (
    "CustomResourceDefinition",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
    "ServiceAccount",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
)
_LEAST_STREAM: Final = {"stream": {"maxBytes": "64Mi"}}


@dataclass(slots=True, kw_only=True)
class Installation:
    """A cluster with the chart's operator, of which as many processes run as were started."""

    cluster: Cluster
    dsn: str
    nats: NatsServer
    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    operators: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    api_url: str = ""
    """Where operators that are started from now on find the API server, if it is not the cluster's own address."""
    api: Api = field(init=False)

    def __post_init__(self) -> None:
        self.api = Api(self.cluster)

    def install(self) -> None:
        """Apply everything of the chart that gives the operator its place and its rights."""
        self.cluster.try_kubectl("create", "namespace", NAMESPACE)
        rendered = [each for each in render().values() if each["kind"] in _CLUSTER_WIDE]
        order = {kind: place for place, kind in enumerate(_CLUSTER_WIDE)}
        rendered.sort(key=lambda each: order[each["kind"]])
        self.apply(*rendered)
        self.cluster.kubectl(
            "wait", "--for=condition=Established", "crd/audittenants.auditlog.dev", "--timeout=30s"
        )

    def apply(self, *manifests: dict[str, Any]) -> None:
        """Apply manifests as an administrator."""
        text = yaml.safe_dump_all(manifests)
        self.cluster.kubectl("apply", "--server-side", "--force-conflicts", "--filename=-", stdin=text)

    def tenant(self, name: str, **spec: Any) -> None:
        """Apply an AuditTenant; a Dedicated one asks for a small stream."""
        if spec.get("isolation") != "Pooled":
            spec = {**_LEAST_STREAM, **spec}
        self.apply(
            {
                "apiVersion": "auditlog.dev/v1alpha1",
                "kind": "AuditTenant",
                "metadata": {"name": name},
                "spec": spec,
            }
        )

    def start(self, name: str = "operator-0", **settings: str) -> None:
        """Start an operator as the chart's Deployment would, with the token of its ServiceAccount."""
        kubeconfig = self.kubeconfig(name)
        authority = self.folder / "authority.json"
        authority.write_bytes(msgspec.json.encode(self.nats.embedded.authority))
        self.ports[name] = free_port()
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("AUDIT_")},
            "PYTHONPATH": MODULES,
            "KUBECONFIG": str(kubeconfig),
            "AUDIT_NAMESPACE": NAMESPACE,
            "AUDIT_POD_NAME": name,
            "AUDIT_NATS_URL": self.nats.url,
            "AUDIT_NATS_CREDENTIALS": str(authority),
            "AUDIT_POSTGRES_DSN": self.dsn,
            "AUDIT_IMAGE": IMAGE,
            "AUDIT_SECRETS_CLUSTER_ROLE": self._secrets_role(),
            "AUDIT_STREAM_REPLICAS": "1",
            "AUDIT_POOL_MAX_BYTES": str(64 << 20),
            "AUDIT_LEASE_SECONDS": str(LEASE_SECONDS),
            "AUDIT_ADDRESS": "127.0.0.1",
            "AUDIT_PORT": str(self.ports[name]),
            **self.settings,
            **settings,
        }
        with self.log(name).open("ab") as log:
            self.operators[name] = subprocess.Popen(
                [sys.executable, "-m", "audit_operator"], cwd=ROOT, env=environment, stdout=log, stderr=log
            )

    def kubeconfig(self, name: str) -> Path:
        """Write and return the kubeconfig of an operator."""
        path = self.folder / f"{name}.kubeconfig"
        self.cluster.kubeconfig_for(NAMESPACE, "audit-operator", path)
        if self.api_url:
            config = json.loads(path.read_text())
            config["clusters"][0]["cluster"] = {"server": self.api_url}
            path.write_text(json.dumps(config))
        return path

    def stop(self, name: str = "operator-0", how: signal.Signals = signal.SIGTERM) -> int:
        """End an operator; return its status."""
        process = self.operators.pop(name)
        process.send_signal(how)
        return process.wait(timeout=30)

    def end(self) -> None:
        """Kill every operator, and ask nothing more."""
        for name in list(self.operators):
            self.stop(name, signal.SIGKILL)
        self.api.close()

    def log(self, name: str = "operator-0") -> Path:
        """Return where an operator writes."""
        return self.folder / f"{name}.log"

    def get(self, name: str) -> dict[str, Any]:
        """Return an AuditTenant."""
        return self.api.get(f"{TENANTS}/{name}")

    def patch(self, name: str, patch: dict[str, Any]) -> dict[str, Any]:
        """Change an AuditTenant by a merge patch, in which null removes a field; return it."""
        return self.api.merge(f"{TENANTS}/{name}", patch)

    def audit_log(self) -> AuditLog:
        """Return what the API server is asked from now on."""
        return AuditLog.now(self.cluster.audit_log)

    def condition(self, name: str, kind: str = "Ready") -> dict[str, Any]:
        """Return a condition of a tenant, empty when it is not there."""
        for each in (self.api.find(f"{TENANTS}/{name}") or {}).get("status", {}).get("conditions", []):
            if each["type"] == kind:
                return dict(each)
        return {}

    def settled(self, name: str, seconds: float = PATIENCE_SECONDS) -> dict[str, Any]:
        """Return a tenant when its newest generation was taken in and is Ready."""

        def holds() -> bool:
            found = self.get(name)
            status = found.get("status", {})
            ready = [each["status"] for each in status.get("conditions", ()) if each["type"] == "Ready"]
            return ready == ["True"] and status["observedGeneration"] == found["metadata"]["generation"]

        self.eventually(holds, f"{name} is settled", seconds, name)
        return self.get(name)

    def wait(self, name: str, condition: str = "Ready", seconds: float = PATIENCE_SECONDS) -> None:
        """Return when a tenant's condition is True."""
        done = self.cluster.try_kubectl(
            "wait", f"--for=condition={condition}", f"at/{name}", f"--timeout={seconds:.0f}s"
        )
        assert done.returncode == 0, self._story(name, done.stderr)

    def eventually(
        self, holds: Callable[[], bool], what: str, seconds: float = PATIENCE_SECONDS, name: str = ""
    ) -> float:
        """Return, in seconds, how long it took until something held. `name`: the tenant to tell of if it does not."""
        began = time.monotonic()
        while not holds():
            assert time.monotonic() - began < seconds, self._story(name, what)
            time.sleep(0.05)
        return time.monotonic() - began

    def secret(self, namespace: str, name: str) -> dict[str, str]:
        """Return the texts of a Secret."""
        found = self.cluster.json("--namespace", namespace, "get", "secret", name)
        return {key: b64decode(value).decode() for key, value in found["data"].items()}

    def _secrets_role(self) -> str:
        roles = [name for name in render() if name.startswith("ClusterRole/") and name.endswith("secrets")]
        assert len(roles) == 1
        return roles[0].partition("/")[2]

    def _story(self, name: str, what: str) -> str:
        logs = "\n".join(self.log(each).read_text()[-4000:] for each in self.ports if self.log(each).exists())
        status = json.dumps(self.get(name).get("status"), indent=1) if name else ""
        return f"{what}\n{status}\n{logs}"


@pytest.fixture
def installation(
    private_cluster: Cluster, database: Database, nats_server: NatsServer, tmp_path: Path
) -> Iterator[Installation]:
    """Give an installation without tenants; what it started ends with the test, and its tenants with it."""
    dsn = database.server.dsn(database=database.name)
    made = Installation(cluster=private_cluster, dsn=dsn, nats=nats_server, folder=tmp_path)
    made.install()
    yield made
    made.end()
    _sweep(private_cluster)


@pytest.fixture(scope="module")
def bare(
    private_cluster: Cluster,
    postgres_server: PostgresServer,
    nats_server: NatsServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Installation]:
    """Give all tests of a module what an operator needs, but for the chart."""
    name = f"audit_standing_{secrets.token_hex(4)}"
    asyncio.run(_make_database(postgres_server, name))
    made = Installation(
        cluster=private_cluster,
        dsn=postgres_server.dsn(database=name),
        nats=nats_server,
        folder=tmp_path_factory.mktemp("standing"),
    )
    yield made
    made.end()
    asyncio.run(_drop_database(postgres_server, name))


@pytest.fixture(scope="module")
def standing(bare: Installation) -> Installation:
    """Give an installation to all tests of a module, with one operator. Each test has tenants of its own."""
    bare.install()
    bare.start()
    return bare


async def _make_database(server: PostgresServer, name: str) -> None:
    async with connected(server.dsn()) as maintenance:
        await create_database(maintenance, name)


async def _drop_database(server: PostgresServer, name: str) -> None:
    async with connected(server.dsn()) as maintenance:
        await maintenance.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _sweep(cluster: Cluster) -> None:
    """Delete every tenant without its operator: the next test has other servers."""
    for each in cluster.json("get", "audittenants")["items"]:
        name = each["metadata"]["name"]
        cluster.kubectl("patch", "at", name, "--type=merge", '--patch={"metadata":{"finalizers":null}}')
        cluster.kubectl("annotate", "--overwrite", "at", name, f"auditlog.dev/confirm-delete={name}")
        cluster.kubectl("delete", "at", name, "--ignore-not-found", "--wait=false")
    for each in cluster.json("get", "namespaces", "--selector=auditlog.dev/tenant")["items"]:
        cluster.kubectl(
            "delete", "namespace", each["metadata"]["name"], "--ignore-not-found", "--timeout=60s"
        )
    for each in cluster.json("get", "secrets", "--namespace", NAMESPACE)["items"]:
        cluster.kubectl("delete", "secret", "--namespace", NAMESPACE, each["metadata"]["name"])
