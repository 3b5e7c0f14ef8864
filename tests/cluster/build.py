"""The programs of a cluster, built once for each state of the lock files.

They are kept under `${XDG_CACHE_HOME:-~/.cache}/audit-log/cluster/<hash>`. A cold build takes about ten minutes on two
cores; with Go's own cache it takes one.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
KUBERNETES: Final = "1.36.3"
_VERSION: Final = "k8s.io/component-base/version"
_FLAGS: Final = (
    f"-s -w -X {_VERSION}.gitVersion=v{KUBERNETES} -X {_VERSION}.gitMajor=1 -X {_VERSION}.gitMinor=36"
)
"""Without a version the server reports one that Helm and kubectl cannot read."""

PACKAGES: Final = {
    "etcd": ("", "go.etcd.io/etcd/server/v3"),
    "kube-apiserver": ("", "k8s.io/kubernetes/cmd/kube-apiserver"),
    "kube-controller-manager": ("", "k8s.io/kubernetes/cmd/kube-controller-manager"),
    "kube-scheduler": ("", "k8s.io/kubernetes/cmd/kube-scheduler"),
    "kubectl": ("", "k8s.io/kubernetes/cmd/kubectl"),
    "kwok": ("", "sigs.k8s.io/kwok/cmd/kwok"),
    "kubeconform": ("", "github.com/yannh/kubeconform/cmd/kubeconform"),
    "helm": ("helm", "helm.sh/helm/v4/cmd/helm"),
}
"""Of each program the folder of its module and its package."""

STAGES: Final = ("node/fast", "node/heartbeat-with-lease", "pod/fast")


class CannotBuild(Exception):
    """There is no Go, or it fails; the text says what to do."""


def binary(name: str) -> Path:
    """Return a program, which is built first if it has to be. Raises CannotBuild."""
    module, package = PACKAGES[name]
    place = _place(module)
    program = place / name
    if not program.exists():
        with _alone(place):
            if not program.exists():
                _build(name, module, package, program)
    return program


def stages() -> Path:
    """Return kwok's description of how nodes and pods get ready, as one file."""
    place = _place("")
    found = place / "stages.yaml"
    if not found.exists():
        folder = Path(json.loads(_go("mod", "download", "-json", "sigs.k8s.io/kwok", module=""))["Dir"])
        documents = [
            path.read_text(encoding="utf-8")
            for stage in STAGES
            for path in sorted((folder / "kustomize" / "stage" / stage).glob("*.yaml"))
            if path.name != "kustomization.yaml"
        ]
        place.mkdir(parents=True, exist_ok=True)
        draft = found.with_suffix(f".{os.getpid()}")
        draft.write_text("\n---\n".join(documents), encoding="utf-8")
        draft.replace(found)
    return found


def can_build() -> bool:
    """Tell whether every program is there or can be built."""
    built = all((_place(module) / name).exists() for name, (module, _) in PACKAGES.items())
    return built or shutil.which("go") is not None


def _build(name: str, module: str, package: str, program: Path) -> None:
    sys.stderr.write(f"cluster: building {name}, once; the first program takes minutes\n")
    draft = program.with_suffix(f".{os.getpid()}")
    flags = _FLAGS if module == "" else "-s -w"
    _go("build", "-trimpath", "-ldflags", flags, "-o", str(draft), package, module=module)
    draft.replace(program)


def _go(*arguments: str, module: str) -> str:
    if shutil.which("go") is None:
        raise CannotBuild("go is missing: the cluster's programs are built with Go 1.26 or newer")
    done = subprocess.run(
        ["go", *arguments],
        cwd=HERE / module,
        env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -buildvcs=false"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CannotBuild(f"go {arguments[0]} failed: {done.stderr.strip()[-2000:]}")
    return done.stdout


def _place(module: str) -> Path:
    digest = hashlib.sha256((HERE / module / "go.sum").read_bytes()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "audit-log" / "cluster" / digest


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """Let one process build at a time; the others wait for what it builds."""
    place.mkdir(parents=True, exist_ok=True)
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
