"""`load` posts events to the running stack and counts them back."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from audit_operator.local.load_events import RECORDS
from tests.support.local_stack import LocalStack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    running = LocalStack(tmp_path_factory.mktemp("up"))
    try:
        running.start()
        yield running
        assert running.stop() == 0
    finally:
        running.close()


def _counts(output: str) -> dict[str, tuple[int, int]]:
    rows = [line.split() for line in output.split("event type")[1].splitlines()[1:]]
    return {
        row[0]: (int(row[1].replace(",", "")), int(row[2].replace(",", ""))) for row in rows if len(row) == 3
    }


def _records(path: Path, count: int, *, marker: str) -> Path:
    lines = [
        json.dumps(
            {
                "eventID": f"{marker}-{number}",
                "eventName": "GetUser" if number % 3 else "DeleteUser",
                "eventSource": "iam.amazonaws.com",
                "eventTime": "2023-07-10T11:42:18Z",
                "userIdentity": {"type": "IAMUser", "userName": "ada", "arn": "arn:aws:iam::1:user/ada"},
            }
        )
        for number in range(count)
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.skipif(not RECORDS.exists(), reason=f"needs {RECORDS.name} beside the repository")
def test_the_records_beside_the_repository_arrive_and_add_nothing_the_second_time(stack: LocalStack) -> None:
    posted = sum(1 for line in RECORDS.read_bytes().splitlines() if line)
    first = stack.run("load")
    assert first.returncode == 0, first.stderr
    assert f"{posted:,} stored (201)" in first.stdout
    counts = _counts(first.stdout)
    assert all(sent == found for sent, found in counts.values())
    assert sum(sent for sent, _ in counts.values()) == posted
    second = stack.run("load")
    assert f"{posted:,} there already (200)" in second.stdout
    assert _counts(second.stdout) == counts


def test_a_tenants_limit_only_slows_it(stack: LocalStack, tmp_path: Path) -> None:
    """900 events at 300 a second: most batches are told to come again."""
    stack.edit("initech", ingest={"limits": {"eventsPerSecond": 300, "burst": 300}})
    stack.until(lambda: "tenant initech: spec.ingest.limits" in stack.output)
    records = _records(tmp_path / "records", 900, marker="limited")
    done = stack.run("load", "--tenant", "initech", "--file", str(records))
    assert done.returncode == 0, done.stderr
    assert _counts(done.stdout) == Counter({"aws.iam.GetUser": (600, 600), "aws.iam.DeleteUser": (300, 300)})


def test_what_cannot_be_done_is_said_in_one_line(stack: LocalStack, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no records\n")
    for arguments, reason in (
        (("--tenant", "nobody"), "there is no tenant nobody: choose one of: acme, globex, initech"),
        (("--file", str(tmp_path / "text")), "holds no CloudTrail records"),
        (("--file", str(tmp_path / "nowhere")), "holds no CloudTrail records"),
    ):
        done = stack.run("load", *arguments)
        assert done.returncode == 1
        assert reason in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_without_a_running_stack_it_says_how_to_start_one(tmp_path: Path) -> None:
    done = LocalStack(tmp_path).run("load")
    assert (done.returncode, done.stderr) == (
        1,
        "nothing runs here: start it in another terminal: make up\n",
    )
