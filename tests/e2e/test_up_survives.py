"""`up` stays up: children that die are started again, data and keys are found again, and Ctrl-C ends all of it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.local_stack import LocalStack

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[LocalStack]:
    made = LocalStack(tmp_path)
    yield made
    made.close()


def _killed_and_back(stack: LocalStack, name: str) -> None:
    pid = stack.children()[name]
    os.kill(pid, signal.SIGKILL)
    stack.until(lambda: stack.children().get(name, pid) != pid)


def _taken(stack: LocalStack, event: dict[str, str]) -> None:
    """Post until it is taken, with an id: what was answered by nobody may have been stored all the same."""
    body = {"id": f"id-{event['user_id']}", **event}
    stack.until(lambda: stack.try_post(body) == 202)


def test_each_child_that_is_killed_is_started_again(stack: LocalStack) -> None:
    stack.start()
    for number, name in enumerate(("functions", "writer", "nats-server", "postgres"), start=1):
        _killed_and_back(stack, name)
        _taken(stack, {"event_type": "after", "user_id": str(number)})
    assert stack.output.count(" died (status -9) and is started again") == 4
    events = stack.logs("event_type=after&order=asc", expected=4)
    assert [event["user_id"] for event in events] == ["1", "2", "3", "4"]
    assert stack.stop() == 0
    assert stack.processes() == []


def test_a_second_start_finds_tenants_keys_and_events(stack: LocalStack) -> None:
    stack.start()
    for tenant in ("acme", "globex"):
        assert stack.post({"event_type": "kept"}, tenant=tenant).status == 202
    before = stack.endpoints()
    assert stack.stop(signal.SIGTERM) == 0
    (stack.tenants / "initech.yaml").unlink()
    stack.start()
    assert stack.endpoints() == before
    assert stack.output.count("tenant acme: new") == 1
    for tenant in ("acme", "globex"):
        [event] = stack.logs("event_type=kept", expected=1, tenant=tenant)
        assert event["sequence"] == 0
    # Whose manifest went while nothing ran is removed now.
    stack.until(lambda: "initech" not in stack.endpoints())
    stack.until(lambda: stack.post({"event_type": "x"}, key=before["initech"]["key"]).status in (401, 403))
    assert stack.stop() == 0


def test_kill_nine_of_everything_loses_nothing_and_the_next_start_works(stack: LocalStack) -> None:
    stack.start()
    assert stack.post({"event_type": "kept"}).status == 202
    assert stack.process is not None
    stack.process.kill()
    stack.process.wait()
    stack.until(lambda: stack.processes() == [])
    stack.start()
    stack.logs("event_type=kept", expected=1)
    assert stack.stop() == 0


def test_the_second_ctrl_c_does_not_wait(stack: LocalStack) -> None:
    stack.start()
    children = stack.children()
    os.kill(children["writer"], signal.SIGSTOP)  # it cannot stop in order
    assert stack.process is not None
    stack.process.send_signal(signal.SIGINT)
    stack.until(lambda: "stopping" in stack.output)
    time.sleep(0.5)
    assert stack.process.poll() is None
    assert stack.stop() == 130
    stack.until(lambda: stack.processes() == [])


def test_ctrl_c_while_starting_stops_what_was_started(stack: LocalStack) -> None:
    stack.launch()
    stack.until(lambda: "starting NATS" in stack.output)
    assert stack.stop() == 0
    assert stack.processes() == []


def test_two_at_once_are_refused_with_one_line(stack: LocalStack) -> None:
    stack.start()
    assert stack.process is not None
    second = stack.run("up")
    assert second.returncode == 1
    [line] = second.stderr.splitlines()
    assert line == f"{stack.state} is in use by process {stack.process.pid}: stop it first: make down"
    refused = stack.run("clean")
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    assert stack.run("status").stdout.startswith(f"process {stack.process.pid}")
    down = stack.run("down")
    assert down.returncode == 0
    assert stack.process.wait(10) == 0
    assert stack.run("status").returncode == 1
    assert stack.run("down").stdout == "nothing runs here\n"


def test_a_taken_port_is_named_before_anything_is_started(stack: LocalStack) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", stack.port))
        taken.listen()
        done = stack.run("up")
    assert done.returncode == 1
    assert done.stderr == (
        f"port {stack.port} is taken: stop what listens there, or set AUDIT_PORT to another port\n"
    )
    assert not (stack.state / "postgres" / "location").exists()


@pytest.mark.parametrize(("port", "reason"), [("0", "AUDIT_PORT is 0"), ("http", "AUDIT_*")])
def test_settings_that_make_no_sense_are_named(stack: LocalStack, port: str, reason: str) -> None:
    os.environ["AUDIT_PORT"] = port
    try:
        stack.port = port  # type: ignore[assignment]  # what a person may set is text
        done = stack.run("up")
    finally:
        del os.environ["AUDIT_PORT"]
    assert done.returncode == 1
    assert reason in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_tenant_it_waits_for_one(stack: LocalStack) -> None:
    for path in stack.tenants.iterdir():
        path.rename(stack.folder / path.name)
    stack.start()
    assert stack.endpoints() == {}
    shutil.copy(stack.folder / "acme.yaml", stack.tenants)
    stack.until(lambda: "acme" in stack.endpoints())
    stack.until(lambda: stack.post({"event_type": "x"}).status == 202)
    assert stack.stop() == 0


def test_migrate_works_without_a_running_stack_and_on_one(stack: LocalStack) -> None:
    first = stack.run("migrate")
    assert first.returncode == 0
    assert "applied 0001_tenants.sql" in first.stdout
    assert "applied" not in stack.run("migrate").stdout
    stack.start()
    done = stack.run("migrate")
    assert (done.returncode, "applied" in done.stdout) == (0, False)
    assert stack.stop() == 0


def test_clean_and_reset_leave_what_is_not_ours(stack: LocalStack) -> None:
    stack.start()
    assert stack.stop() == 0
    (stack.state / "notes.txt").write_text("mine")
    assert stack.run("reset").returncode == 0
    assert [path.name for path in stack.state.iterdir()] == ["notes.txt"]
    assert stack.run("clean").returncode == 0
