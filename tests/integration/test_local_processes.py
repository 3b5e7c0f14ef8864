"""Children of the supervisor are started again when they die, stopped in order, and never left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from audit_operator.local.errors import CannotRun
from audit_operator.local.processes import LOG_BYTES, Command, Supervisor
from tests.support.supervision import PATIENCE_SECONDS, Told, is_alive, until

STUBBORN = ("sh", "-c", "trap '' TERM INT; while :; do sleep 0.05; done")


def _sleeper(name: str = "sleeper") -> Command:
    return Command(name=name, prepare=lambda: ("sleep", "60"))


async def test_a_process_that_dies_is_started_again_and_one_that_is_stopped_is_not(
    supervisor: Supervisor, told: Told
) -> None:
    await supervisor.start(_sleeper())
    first = supervisor.pids()["sleeper"]
    os.kill(first, signal.SIGKILL)
    await until(lambda: supervisor.pids().get("sleeper", first) != first)
    assert told.deaths == [("sleeper", -signal.SIGKILL)]
    second = supervisor.pids()["sleeper"]
    await supervisor.stop("sleeper")
    await asyncio.sleep(0.5)
    assert supervisor.pids() == {}
    assert not is_alive(second)


async def test_a_process_that_keeps_dying_is_started_ever_more_slowly(
    supervisor: Supervisor, told: Told
) -> None:
    starts: list[float] = []

    def dying() -> Sequence[str]:
        starts.append(time.monotonic())
        return ("false",)

    await supervisor.start(Command(name="dying", prepare=dying))
    await until(lambda: len(starts) == 4)
    pauses = [later - earlier for earlier, later in pairwise(starts)]
    assert pauses[0] >= 0.2
    assert pauses[1] >= 0.4
    assert pauses[2] >= 0.8


async def test_nothing_is_started_after_a_stop_between_two_tries(supervisor: Supervisor, told: Told) -> None:
    await supervisor.start(Command(name="dying", prepare=lambda: ("false",)))
    await until(lambda: bool(told.deaths))
    await supervisor.stop("dying")
    seen = len(told.deaths)
    await asyncio.sleep(1)
    assert len(told.deaths) == seen
    assert supervisor.pids() == {}


async def test_a_stop_while_a_process_comes_up_again_leaves_nothing_behind(
    tmp_path: Path, supervisor: Supervisor
) -> None:
    pids = tmp_path / "pids"
    first = asyncio.Event()

    async def ready() -> None:
        if first.is_set():
            await asyncio.sleep(60)
        first.set()

    await supervisor.start(
        Command(name="slow", prepare=lambda: ("sh", "-c", f"echo $$ >> {pids}; exec sleep 60"), ready=ready)
    )
    await until(lambda: pids.exists() and len(pids.read_text().split()) == 1)
    os.kill(supervisor.pids()["slow"], signal.SIGKILL)
    await until(lambda: len(pids.read_text().split()) == 2)
    await supervisor.stop("slow")
    assert [pid for pid in pids.read_text().split() if is_alive(int(pid))] == []


async def test_a_restart_that_comes_to_nothing_is_told_and_tried_again(
    tmp_path: Path, supervisor: Supervisor, told: Told
) -> None:
    broken = tmp_path / "broken"

    def prepare() -> Sequence[str]:
        if broken.exists():
            raise CannotRun("something is missing", "put it back")
        return ("sleep", "60")

    await supervisor.start(Command(name="fragile", prepare=prepare))
    broken.touch()
    os.kill(supervisor.pids()["fragile"], signal.SIGKILL)
    await until(lambda: len(told.failed_starts) == 2)
    assert told.failed_starts[0] == ("fragile", "something is missing: put it back")
    broken.unlink()
    await until(lambda: "fragile" in supervisor.pids())


async def test_a_restart_that_never_gets_ready_is_ended_and_tried_again(
    supervisor: Supervisor, told: Told
) -> None:
    tries: list[int] = []

    async def ready() -> None:
        tries.append(len(tries))
        if len(tries) == 2:
            await asyncio.sleep(60)

    await supervisor.start(
        Command(name="hanging", prepare=lambda: ("sleep", "60"), ready=ready, ready_seconds=0.3)
    )
    os.kill(supervisor.pids()["hanging"], signal.SIGKILL)
    await until(lambda: len(tries) == 3)
    ((name, reason),) = told.failed_starts
    assert name == "hanging"
    assert reason.startswith("hanging did not start within 0.3 s: see ")


async def test_a_process_that_ends_while_starting_is_named_with_its_log(supervisor: Supervisor) -> None:
    async def never() -> None:
        await asyncio.sleep(60)

    with pytest.raises(CannotRun, match=r"broken ended with status 3 while starting: see .*broken\.log"):
        await supervisor.start(
            Command(name="broken", prepare=lambda: ("sh", "-c", "echo why; exit 3"), ready=never)
        )
    assert supervisor.log("broken").read_text() == "why\n"
    assert supervisor.pids() == {}


async def test_a_process_that_does_not_get_ready_in_time_is_ended(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    async def never() -> None:
        await asyncio.sleep(60)

    note = tmp_path / "pid"
    command = ("sh", "-c", f"echo $$ > {note}; exec sleep 60")
    with pytest.raises(CannotRun, match=r"late did not start within 0\.5 s"):
        await supervisor.start(Command(name="late", prepare=lambda: command, ready=never, ready_seconds=0.5))
    assert not is_alive(int(note.read_text()))


async def test_everything_is_stopped_in_reverse_order(tmp_path: Path, supervisor: Supervisor) -> None:
    order = tmp_path / "order"
    for name in ("first", "second", "third"):
        begun = tmp_path / name
        script = f"trap 'echo {name} >> {order}; exit 0' TERM; touch {begun}; while :; do sleep 0.05; done"
        await supervisor.start(Command(name=name, prepare=partial(tuple, ("sh", "-c", script))))
        await until(begun.exists)
    await supervisor.stop_all()
    assert order.read_text().split() == ["third", "second", "first"]


async def test_a_process_that_ignores_its_signal_is_killed(supervisor: Supervisor) -> None:
    await supervisor.start(Command(name="stubborn", prepare=lambda: STUBBORN, stop_seconds=0.3))
    pid = supervisor.pids()["stubborn"]
    await asyncio.sleep(0.2)
    await supervisor.stop("stubborn")
    assert not is_alive(pid)


async def test_what_a_dead_process_started_does_not_hold_on_to_its_port(
    tmp_path: Path, supervisor: Supervisor
) -> None:
    note = tmp_path / "grandchild"
    await supervisor.start(
        Command(name="parent", prepare=lambda: ("sh", "-c", f"sleep 60 & echo $! >> {note}; wait"))
    )
    await until(lambda: note.exists() and bool(note.read_text().split()))
    grandchild = int(note.read_text().split()[0])
    os.kill(supervisor.pids()["parent"], signal.SIGKILL)
    await until(lambda: not is_alive(grandchild))


async def test_a_signal_from_the_keyboard_does_not_reach_the_children(supervisor: Supervisor) -> None:
    await supervisor.start(_sleeper())
    assert os.getpgid(supervisor.pids()["sleeper"]) != os.getpgid(0)


async def test_a_long_log_is_put_aside_at_the_next_start(supervisor: Supervisor) -> None:
    log = supervisor.log("talker")
    with log.open("wb") as file:
        file.truncate(LOG_BYTES + 1)
    await supervisor.start(Command(name="talker", prepare=lambda: ("sh", "-c", "echo new; exec sleep 60")))
    await until(lambda: log.read_text() == "new\n")
    assert log.with_suffix(".log.1").stat().st_size == LOG_BYTES + 1


SUPERVISE = """
import asyncio, sys
from pathlib import Path
from audit_operator.local.processes import Command, Supervisor

async def main():
    supervisor = Supervisor(Path(sys.argv[1]), print)
    await supervisor.start(Command(name="child", prepare=lambda: tuple(sys.argv[2:])))
    print(supervisor.pids()["child"], flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def _supervised_elsewhere(logs: Path, *command: str) -> tuple[subprocess.Popen[str], int]:
    supervising = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SUPERVISE), logs, *command],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert supervising.stdout is not None
    return supervising, int(supervising.stdout.readline())


def _killed(supervising: subprocess.Popen[str]) -> None:
    supervising.kill()
    supervising.wait(PATIENCE_SECONDS)
    assert supervising.stdout is not None
    supervising.stdout.close()


async def test_children_are_stopped_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    ended = tmp_path / "ended"
    script = f"trap 'touch {ended}; exit 0' TERM; while :; do sleep 0.05; done"
    supervising, child = _supervised_elsewhere(tmp_path / "logs", "sh", "-c", script)
    await asyncio.sleep(0.2)
    _killed(supervising)
    await until(lambda: not is_alive(child))
    assert ended.exists()


async def test_a_process_that_outlived_its_supervisor_is_ended_before_its_successor_starts(
    tmp_path: Path, supervisor: Supervisor
) -> None:
    supervising, child = _supervised_elsewhere(tmp_path / "logs", *STUBBORN)
    await asyncio.sleep(0.2)
    _killed(supervising)
    assert is_alive(child)
    alone: list[bool] = []

    def prepare() -> Sequence[str]:
        alone.append(not is_alive(child))
        return ("sleep", "60")

    await supervisor.start(Command(name="child", prepare=prepare, stop_seconds=0.3))
    assert alone == [True]


async def test_a_number_that_went_to_another_process_is_left_alone(
    tmp_path: Path, supervisor: Supervisor
) -> None:
    with subprocess.Popen(["sleep", "60"]) as stranger:
        (tmp_path / "logs" / "sleeper.pid").write_text(f"{stranger.pid} 1\n")
        await supervisor.start(_sleeper())
        assert is_alive(stranger.pid)
        stranger.kill()
