"""The commands of docs/operator.md do what the document says, on a real API server."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.cluster.build import binary
from tests.support.documents import DOCS, blocks, section
from tests.support.operator import Installation

TEXT: Final = (DOCS / "operator.md").read_text()
_NEEDS_PODS: Final = ("port-forward", "curl ", "-H ")
"""What speaks to a container, and the rest of such a command on its next line."""


@pytest.fixture
def path_with_kubectl(tmp_path: Path) -> str:
    """Give a PATH on which kubectl is the one of the cluster."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "kubectl").symlink_to(binary("kubectl"))
    return f"{programs}{os.pathsep}{os.environ['PATH']}"


def run(installation: Installation, path: str, script: str) -> str:
    """Run commands as a reader would, but those that need containers; return what they print."""
    lines = [line for line in script.splitlines() if not line.strip().startswith(_NEEDS_PODS)]
    script = "\n".join(line for line in lines if "port-forward" not in line)
    environment = {**os.environ, "PATH": path, "KUBECONFIG": str(installation.cluster.kubeconfig)}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        env=environment, capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, f"{script}\n{done.stderr}"
    return done.stdout


@pytest.mark.slow
def test_what_the_page_tells_to_type_works(installation: Installation, path_with_kubectl: str) -> None:
    installation.start(AUDIT_STREAM_MAX_BYTES=str(64 << 20))
    make, look, let_in = blocks(section(TEXT, "## Quick start"), "sh")
    shown = run(installation, path_with_kubectl, make)
    assert shown.splitlines()[-1].split()[:5] == ["acme", "True", "Ready", "Active", "2/2"]
    key = run(installation, path_with_kubectl, f"{look}\nprintf %s $key")
    assert key == installation.secret("audit-acme", "audit-first-key")["key"]
    run(installation, path_with_kubectl, f"kubectl create namespace shop\n{let_in}")

    (pause,) = blocks(section(TEXT, "## Annotations, labels and the finalizer"), "sh")
    assert run(installation, path_with_kubectl, pause).count("annotated") == 2
    described, events = (
        run(installation, path_with_kubectl, line)
        for line in blocks(section(TEXT, "## Events"), "sh")[0].splitlines()
    )
    assert "events are accepted, stored and readable" in described
    assert "Ready" in events

    tenant_id = installation.get("acme")["status"]["tenantID"]
    keep = blocks(section(TEXT, "## Uninstall"), "sh")[0].splitlines()[0]
    assert run(installation, path_with_kubectl, keep).splitlines()[1].split() == ["acme", tenant_id]
    (delete,) = blocks(section(TEXT, "## Deleting a tenant"), "sh")
    assert run(installation, path_with_kubectl, delete).startswith(tenant_id)
    assert installation.cluster.try_kubectl("get", "namespace", "audit-acme").returncode == 1
