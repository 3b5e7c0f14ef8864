"""A Kubernetes API to test against: `cluster` for most, `private_cluster` for those who take it away.

Whoever sets E2E_KUBECONFIG (a kind cluster's, say) gives the cluster; otherwise one is made out of processes and shared
by all processes of a test run. Tests keep apart by names that nobody else has. `@pytest.mark.needs("pods")` says what a
test needs that not every cluster has:

- `gc`: objects go with their owner, and namespaces with what is in them
- `nodes`: pods are scheduled and get ready
- `pods`: containers run
- `network`: policies are enforced
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests.cluster.build import binary, can_build

ROOT: Final = Path(__file__).parents[2]
KUBECONFIG: Final = "E2E_KUBECONFIG"
START_SECONDS: Final = 1800.0
"""Long enough to build everything from nothing."""
_OURS: Final = frozenset({"gc", "nodes"})
_ANYONES: Final = frozenset({"gc", "nodes", "pods"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A cluster and what it has. `folder` is None for one that was given to us."""

    kubeconfig: Path
    folder: Path | None
    capabilities: frozenset[str]

    @property
    def url(self) -> str:
        """Where the API server answers."""
        return self.kubectl("config", "view", "--minify", "--output=jsonpath={.clusters[0].cluster.server}")

    @property
    def audit_log(self) -> Path:
        """The file that the API server writes a line to for each stage of each request."""
        return self._own_folder() / "audit.log"

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl as an administrator; return what it printed. Raises CalledProcessError with its words."""
        done = self.try_kubectl(*arguments, stdin=stdin)
        if done.returncode:
            raise AssertionError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def try_kubectl(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run kubectl; return how it ended."""
        program = shutil.which("kubectl") if self.folder is None else None
        return subprocess.run(
            [program or str(binary("kubectl")), f"--kubeconfig={self.kubeconfig}", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def json(self, *arguments: str) -> Any:
        """Run kubectl and return its output as JSON."""
        return json.loads(self.kubectl(*arguments, "--output=json"))

    def token_for(self, namespace: str, service_account: str) -> str:
        """Return a token with which to be a ServiceAccount for an hour."""
        return self.kubectl("--namespace", namespace, "create", "token", service_account).strip()

    def kubeconfig_for(self, namespace: str, service_account: str, path: Path) -> Path:
        """Write a kubeconfig of a ServiceAccount."""
        config = json.loads(self.kubectl("config", "view", "--raw", "--flatten", "--minify", "--output=json"))
        config["users"] = [
            {
                "name": config["users"][0]["name"],
                "user": {"token": self.token_for(namespace, service_account)},
            }
        ]
        path.touch(mode=0o600)
        path.write_text(json.dumps(config))
        return path

    def stop_apiserver(self) -> None:
        """Take the API server away; return when it is. Only for a `private_cluster`."""
        self._switch("away")

    def start_apiserver(self) -> None:
        """Bring it back; return when it is ready."""
        self._switch("there")

    def _switch(self, state: str) -> None:
        folder = self._own_folder()
        if state == "away":
            (folder / "away").touch()
        else:
            (folder / "away").unlink(missing_ok=True)
        deadline = time.monotonic() + 120
        while not (folder / "is").exists() or (folder / "is").read_text() != state:
            assert time.monotonic() < deadline, f"the API server is not {state}"
            time.sleep(0.05)

    def _own_folder(self) -> Path:
        if self.folder is None:
            pytest.skip("a cluster that was given to us is not ours to look into, nor to take away")
        return self.folder


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Give the cluster that all tests of a run share; it ends with the process that runs them."""
    if given := os.environ.get(KUBECONFIG):
        yield Cluster(kubeconfig=Path(given), folder=None, capabilities=_ANYONES)
        return
    _demand_go()
    distributed = "PYTEST_XDIST_WORKER" in os.environ
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if distributed else base) / "cluster"
    with (folder.parent / "cluster.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "ready").exists():
            start(folder, for_process=os.getppid() if distributed else os.getpid())
    yield Cluster(kubeconfig=folder / "kubeconfig", folder=folder, capabilities=_OURS)
    if not distributed:
        (folder / "stop").touch()


@pytest.fixture(scope="module")
def private_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Give a cluster to the tests of one module alone; where one was given, that, and one module after the other."""
    if given := os.environ.get(KUBECONFIG):
        yield Cluster(kubeconfig=Path(given), folder=None, capabilities=_ANYONES)
        return
    _demand_go()
    folder = tmp_path_factory.mktemp("private") / "cluster"
    start(folder, for_process=os.getpid())
    yield Cluster(kubeconfig=folder / "kubeconfig", folder=folder, capabilities=_OURS)
    (folder / "stop").touch()


@pytest.fixture(autouse=True)
def _needs(request: pytest.FixtureRequest) -> None:
    """Skip a test, and say so, whose needs its cluster does not meet."""
    wanted = {need for mark in request.node.iter_markers("needs") for need in mark.args}
    if wanted:
        found: Cluster = request.getfixturevalue("cluster")
        if missing := wanted - found.capabilities:
            pytest.skip(f"this cluster has no {', '.join(sorted(missing))}")


def start(folder: Path, *, for_process: int, webhook: Path | None = None) -> None:
    """Start a cluster in a folder; return when it is there."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    command = [sys.executable, "-m", "tests.cluster", str(folder), "--for-process", str(for_process)]
    if webhook is not None:
        command += ["--webhook", str(webhook)]
    log = os.open(folder / "supervisor.log", os.O_CREAT | os.O_WRONLY, 0o600)
    # Nobody here waits for it: it ends by itself when the tests do.
    os.posix_spawn(
        sys.executable,
        command,
        {**os.environ, "PYTHONPATH": str(ROOT)},
        file_actions=[(os.POSIX_SPAWN_DUP2, log, 1), (os.POSIX_SPAWN_DUP2, log, 2)],
        setsid=True,
    )
    os.close(log)
    deadline = time.monotonic() + START_SECONDS
    while not (folder / "ready").exists():
        if (folder / "failed").exists():
            raise AssertionError((folder / "failed").read_text())
        assert time.monotonic() < deadline, f"no cluster: see {folder}"
        time.sleep(0.1)


def _demand_go() -> None:
    if can_build():
        return
    reason = "go is missing, and the cluster's programs are not built"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
