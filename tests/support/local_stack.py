"""`python -m audit_operator.local up` as a person runs it: a process, its output, its files, and curl."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from audit_operator.local.ports import free_port

EXAMPLES = Path(__file__).parents[2] / "examples" / "tenants"
START_SECONDS = 90.0
READY = "Everything runs."


@dataclass
class Answer:
    """What curl got."""

    status: int
    text: str
    headers: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


@dataclass
class LocalStack:
    """One state folder, one folder of manifests, one port."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        shutil.copytree(EXAMPLES, self.tenants)

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def tenants(self) -> Path:
        return self.folder / "tenants"

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "AUDIT_STATE_DIR": str(self.state),
            "AUDIT_TENANTS_DIR": str(self.tenants),
            "AUDIT_PORT": str(self.port),
        }

    @property
    def output(self) -> str:
        """Everything that `up` printed, of all its runs."""
        return (self.folder / "output").read_text()

    def launch(self) -> subprocess.Popen[bytes]:
        """Run `up` and return at once."""
        with (self.folder / "output").open("ab") as output:
            self.process = subprocess.Popen(
                self._command("up"), env=self.environment, stdout=output, stderr=subprocess.STDOUT
            )
        return self.process

    def start(self) -> None:
        """Run `up` and return when it says that everything runs."""
        runs = self.output.count(READY) if (self.folder / "output").exists() else 0
        process = self.launch()
        self.until(lambda: self.output.count(READY) > runs or process.poll() is not None, START_SECONDS)
        assert process.poll() is None, self.output

    def stop(self, how: signal.Signals = signal.SIGINT) -> int:
        """Ask it to stop, as Ctrl-C does, and return its status."""
        assert self.process is not None
        self.process.send_signal(how)
        return self.process.wait(60)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run another command of the local runtime."""
        return subprocess.run(
            self._command(*command), env=self.environment, capture_output=True, text=True, check=False
        )

    def close(self) -> None:
        """Stop whatever runs and delete everything, what lies outside the folder too."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.run("clean")

    def until(self, holds: Callable[[], object], seconds: float = 20.0) -> None:
        """Return when something holds."""
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, self.output
            time.sleep(0.05)

    def says(self, text: str) -> None:
        """Return when it has printed a text."""
        self.until(lambda: text in self.output)

    def endpoints(self) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = json.loads((self.state / "endpoints.json").read_text())["tenants"]
        return found

    def edit(self, name: str, **spec: Any) -> None:
        """Change fields of a manifest's spec."""
        path = self.tenants / f"{name}.yaml"
        manifest = yaml.safe_load(path.read_text())
        manifest["spec"] |= spec
        path.write_text(yaml.safe_dump(manifest))

    def curl(self, path: str, *arguments: str, tenant: str | None = "acme", key: str | None = None) -> Answer:
        """Call with curl, as the tenant, with this key, or (None) without any."""
        if key is None and tenant is not None:
            key = self.endpoints()[tenant]["key"]
        bearer = [] if key is None else ["-H", f"Authorization: Bearer {key}"]
        done = subprocess.run(
            [
                "curl",
                "-sS",
                "-i",
                "--max-time",
                "20",
                f"http://localhost:{self.port}{path}",
                *bearer,
                *arguments,
            ],
            capture_output=True,
            check=True,
        )
        headers, _, text = done.stdout.decode().partition("\r\n\r\n")
        return Answer(int(headers.split()[1]), text, headers)

    def post(self, body: object, path: str = "/api/v1/audit/logs", **who: str | None) -> Answer:
        """Post JSON with curl."""
        return self.curl(path, "-H", "Content-Type: application/json", "-d", json.dumps(body), **who)

    def try_post(self, body: object) -> int:
        """Post JSON; return the status, 0 when nobody answers."""
        try:
            return self.post(body).status
        except subprocess.CalledProcessError:
            return 0

    def logs(self, query: str, *, expected: int, **who: str | None) -> list[dict[str, Any]]:
        """Return a list by query, as soon as it has as many events."""
        found: list[dict[str, Any]] = []

        def are_there() -> bool:
            nonlocal found
            answer = self.curl(f"/api/v1/audit/logs?{query}", **who)
            found = answer.json["logs"] if answer.status == 200 else []
            return len(found) >= expected

        self.until(are_there)
        assert len(found) == expected
        return found

    def children(self) -> dict[str, int]:
        """Return the processes that `up` keeps, by what they are."""
        assert self.process is not None
        pids = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return {self._kind(int(pid)): int(pid) for pid in pids}

    def processes(self) -> list[str]:
        """Return the command lines of every process that works in this stack."""
        found = []
        place = re.escape(str(self.state))
        for entry in Path("/proc").iterdir():
            if not entry.name.isdecimal() or int(entry.name) == os.getpid():
                continue
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                environment = (entry / "environ").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if re.search(place, command) or re.search(place, environment):
                found.append(command)
        return found

    @staticmethod
    def _kind(pid: int) -> str:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        program = Path(command[0].decode()).name
        if not program.startswith("python"):
            return program
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        return "writer" if b"AUDIT_FUNCTIONS=writer" in environment else "functions"

    @staticmethod
    def _command(*command: str) -> list[str]:
        return [sys.executable, "-m", "audit_operator.local", *command]
