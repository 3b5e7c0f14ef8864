"""The API server goes away, or the operator that leads: what was asked for meanwhile is done afterwards.

An operator that ends is started again, as a kubelet does: who could not renew its Lease in time has to begin anew.
"""

from __future__ import annotations

import os
import re
import signal
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from tests.support.operator import LEASE_SECONDS, Installation
from tests.support.postgres import PostgresServer
from tests.support.tenant_objects import objects_of, path_of

AWAY_SECONDS: Final = 30.0
LONG_SECONDS: Final = 120.0
SMALL: Final[dict[str, Any]] = {"ingest": {"replicas": 1}, "query": {"replicas": 1}}
OURS: Final = ("NamespaceReady", "StreamReady", "DatabaseReady", "CredentialsReady")
PAIR: Final = ("operator-0", "operator-1")


def test_a_tenant_made_while_the_leader_dies_becomes_ready(standing: Installation) -> None:
    standing.eventually(lambda: leaders(standing) == ["operator-0"], "it leads", LONG_SECONDS)
    standing.start("operator-1")
    answering(standing, "operator-1")
    with watched(standing) as seen:
        standing.tenant("meanwhile", **SMALL)
        standing.stop("operator-0", signal.SIGKILL)
        began = time.monotonic()
        standing.settled("meanwhile", LONG_SECONDS)
        print(
            f"after the leader was killed, a tenant was ready in {time.monotonic() - began:.1f} s (Lease: {LEASE_SECONDS} s)"
        )
        assert leaders(standing) == ["operator-1"]

        standing.start("operator-0")
        answering(standing, "operator-0")
        standing.tenant("handed-over", **SMALL)
        began = time.monotonic()
        assert standing.stop("operator-1", signal.SIGTERM) == 0
        standing.eventually(
            lambda: leaders(standing) == ["operator-0"], "the other one goes on", LONG_SECONDS
        )
        print(f"after the leader was told to stop, the other one led in {time.monotonic() - began:.2f} s")
        standing.settled("handed-over", LONG_SECONDS)
    assert {tuple(each) for each in seen} <= {(), ("operator-0",), ("operator-1",)}, "two led at once"
    assert ["operator-0"] in seen
    assert ["operator-1"] in seen


def test_a_frozen_leader_does_not_go_on(standing: Installation) -> None:
    standing.start("operator-1")
    answering(standing, "operator-1")
    frozen = standing.operators["operator-0"]
    frozen.send_signal(signal.SIGSTOP)
    standing.tenant("frozen", **SMALL)
    standing.settled("frozen", LONG_SECONDS)
    frozen.send_signal(signal.SIGCONT)
    assert frozen.wait(30) != 0, "it led, and could not have led on"
    del standing.operators["operator-0"]
    assert leaders(standing) == ["operator-1"]


def test_a_database_that_hangs_keeps_no_tenant_from_repairs(
    standing: Installation, postgres_server: PostgresServer
) -> None:
    """It takes connections and answers nothing, in the middle of what is being provisioned."""
    standing.tenant("hangs-0", **SMALL)
    standing.settled("hangs-0")
    names = [f"hangs-{number}" for number in range(4)]
    for name in names[1:]:
        standing.tenant(name, **SMALL)
    paths = [path_of(name, "NetworkPolicy", "default-deny") for name in names]
    standing.eventually(lambda: standing.api.find(paths[1]) is not None, "the first of them is being made")
    with frozen(postgres_server):
        standing.patch("hangs-0", {"spec": {"query": {"concurrency": 2}}})
        for path in paths:
            standing.eventually(partial(is_there, standing, path), f"{path} is made", LONG_SECONDS)
            standing.api.delete(path)
        began = time.monotonic()
        for path in paths:
            standing.eventually(partial(is_there, standing, path), f"{path} is repaired", LONG_SECONDS)
        print(f"without a database, {len(paths)} policies were repaired in {time.monotonic() - began:.1f} s")
        standing.eventually(
            lambda: standing.condition("hangs-0", "DatabaseReady").get("reason") == "DatabaseUnavailable",
            "it tells of the database",
            LONG_SECONDS,
        )
    for name in names:
        standing.settled(name, LONG_SECONDS)


def test_an_operator_that_starts_without_a_database_waits_for_it(
    standing: Installation, postgres_server: PostgresServer
) -> None:
    (operator,) = standing.operators
    standing.stop(operator)
    with frozen(postgres_server):
        standing.start()
        standing.eventually(
            lambda: "database_not_ready" in standing.log().read_text(), "it tries to reach it", LONG_SECONDS
        )
        assert standing.operators["operator-0"].poll() is None
    standing.tenant("late", **SMALL)
    standing.settled("late", LONG_SECONDS)


def test_an_api_server_that_is_away_while_tenants_are_made_delays_them(standing: Installation) -> None:
    """The last one: nodes that could not tell that they live are taken for lost, and pods with them."""
    (operator,) = standing.operators
    standing.tenant("before", **SMALL)
    standing.settled("before")
    names = [f"during-{number}" for number in range(4)]
    for name in names:
        standing.tenant(name, **SMALL)
    standing.cluster.stop_apiserver()
    standing.api.close()
    time.sleep(AWAY_SECONDS)
    standing.cluster.start_apiserver()
    began = time.monotonic()
    with kept_alive(standing, operator):
        for name in names:
            standing.eventually(partial(is_made, standing, name), f"{name} is made", LONG_SECONDS, name)
        print(
            f"{len(names)} tenants were made {time.monotonic() - began:.1f} s after the API server was back"
        )
        for name in (*names, "before"):
            standing.eventually(
                partial(tells_the_truth, standing, name),
                f"the status of {name} is up to date",
                LONG_SECONDS,
            )
    complete = objects_of(standing.api, "before").keys()
    for name in names:
        assert len(objects_of(standing.api, name)) == len(complete)


def is_there(installation: Installation, path: str) -> bool:
    return installation.api.find(path) is not None


@contextmanager
def frozen(server: PostgresServer) -> Iterator[None]:
    """Stop every process of a server for a while: connections are taken, and nothing is answered."""
    assert server._process is not None
    stop_all(server._process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        stop_all(server._process.pid, signal.SIGCONT)


def stop_all(parent: int, what: signal.Signals) -> None:
    """Send a signal to a process and its children, each of which leads a group of its own."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    for pid in (parent, *map(int, children)):
        os.kill(pid, what)


def is_made(installation: Installation, name: str) -> bool:
    """Tell whether everything that the operator makes is there; whether pods are ready is for their nodes to say."""
    return all(installation.condition(name, kind).get("status") == "True" for kind in OURS)


def tells_the_truth(installation: Installation, name: str) -> bool:
    """Tell whether the status says of the ingest pods what their Deployment says: nodes may take them for lost."""
    found = installation.api.get(path_of(name, "Deployment", "ingest"))
    available, wanted = found["status"].get("availableReplicas", 0), found["spec"]["replicas"]
    return bool(installation.get(name)["status"]["ingest"]["ready"] == f"{available}/{wanted}")


def leaders(installation: Installation) -> list[str]:
    """Return the operators that say that they lead."""
    return [name for name in PAIR if name in installation.operators and leads(installation, name)]


def leads(installation: Installation, name: str) -> bool:
    url = f"http://127.0.0.1:{installation.ports[name]}/metrics"
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            text = answer.read().decode()
    except OSError:
        return False
    return re.search(r"^audit_operator_leading 1\.0$", text, re.MULTILINE) is not None


def answering(installation: Installation, name: str) -> None:
    """Return when an operator serves its metrics: it stands by then."""

    def holds() -> bool:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{installation.ports[name]}/readyz", timeout=2).close()
        except OSError:
            return False
        return True

    installation.eventually(holds, f"{name} answers")


@contextmanager
def watched(installation: Installation) -> Iterator[list[list[str]]]:
    """Collect who leads, looked at again and again."""
    seen: list[list[str]] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.05):
            seen.append(leaders(installation))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


@contextmanager
def kept_alive(installation: Installation, name: str) -> Iterator[None]:
    """Start an operator again whenever it ends."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.2):
            if installation.operators[name].poll() is not None:
                installation.start(name)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
