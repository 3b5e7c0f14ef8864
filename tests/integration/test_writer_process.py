"""The writer as a process: many shards, none of which stops another, watched over HTTP, stopped by a signal."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.functions import FunctionsProcess, functions_process
from tests.support.writing import NewShard, StreamedShard, a_tenant_id, an_event

TENANT = a_tenant_id()
MIB = 1 << 20


def peak_memory(process: FunctionsProcess) -> int:
    """Return the most memory that the process ever had, in bytes."""
    assert process.process is not None
    status = Path(f"/proc/{process.process.pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


async def test_a_shard_that_appears_is_written_without_a_restart(new_shard: NewShard, tmp_path: Path) -> None:
    served = tmp_path / "served"
    served.mkdir()
    async with new_shard() as first, new_shard() as second:
        shutil.copytree(first.seeded.folder / first.shard_id, served / first.shard_id)
        async with functions_process(first.seeded.nats, served, "writer", AUDIT_BACKUP="none") as process:
            for shard in (first, second):
                await shard.instance().publish(TENANT)
            await first.committed()
            shutil.copytree(second.seeded.folder / second.shard_id, served / second.shard_id)
            await second.committed()
            assert json.loads((await process.request("GET", "/readyz")).body) == {
                "status": "ok",
                "shards": {first.shard_id: "ok", second.shard_id: "ok"},
            }
            shutil.rmtree(served / first.shard_id)
            await asyncio.sleep(3)
            metrics = (await process.request("GET", "/metrics")).body.decode()
            assert f'audit_writer_lag_seconds{{shard="{first.shard_id}"}}' not in metrics
            assert f'audit_writer_lag_seconds{{shard="{second.shard_id}"}}' in metrics


async def test_a_shard_that_cannot_be_written_stops_no_other(new_shard: NewShard) -> None:
    async with new_shard() as broken, new_shard() as sound:
        folder = broken.seeded.folder
        (folder / broken.shard_id / "writer.dsn").write_text("postgresql://nobody:wrong@127.0.0.1:1/nothing")
        async with functions_process(broken.seeded.nats, folder, "writer", AUDIT_BACKUP="none") as process:
            await broken.instance().publish(TENANT)
            await sound.instance().publish(TENANT)
            await sound.committed()
            states = json.loads((await process.request("GET", "/readyz")).body)["shards"]
            assert (states[sound.shard_id], states[broken.shard_id] != "ok") == ("ok", True)
            (folder / broken.shard_id / "writer.dsn").write_text(broken.stored.dsn("writer"))
            await broken.committed()
            assert "wrong" not in process.log()


async def test_it_shows_what_it_counts_and_nothing_else(shard: StreamedShard) -> None:
    await shard.instance().publish(TENANT, an_event(), an_event())
    async with functions_process(
        shard.seeded.nats, shard.seeded.folder, "writer", AUDIT_BACKUP="none"
    ) as process:
        await shard.committed()
        metrics = (await process.request("GET", "/metrics")).body.decode()
        assert f'audit_writer_rows_total{{shard="{shard.shard_id}"}} 2.0' in metrics
        assert (await process.request("GET", "/healthz")).status == 200
        assert (await process.request("GET", "/api/v1/audit/logs")).status == 404
        assert (await process.request("POST", "/healthz")).status == 405


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
async def test_it_ends_by_a_signal_in_the_middle_of_its_work(
    shard: StreamedShard, how: signal.Signals
) -> None:
    ingest = shard.instance()
    for _ in range(20):
        await ingest.publish(TENANT, *(an_event() for _ in range(500)))
    async with functions_process(
        shard.seeded.nats, shard.seeded.folder, "writer", AUDIT_BACKUP="none"
    ) as process:
        await asyncio.sleep(0.1)
        assert await asyncio.to_thread(process.stop, how, wait_seconds=15) == 0
    async with shard.writer():
        await shard.committed()
    assert [row["sequence"] for row in await shard.events()] == list(range(10_000))


def test_it_does_not_start_before_it_is_said_what_trimming_waits_for(tmp_path: Path) -> None:
    environment = {**os.environ, "AUDIT_FUNCTIONS": "writer", "AUDIT_SHARDS": str(tmp_path)}
    environment.pop("AUDIT_BACKUP", None)
    done = subprocess.run(
        [sys.executable, "-m", "audit_functions"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (
        1,
        "audit_functions: AUDIT_BACKUP must say what trimming waits for: archive or none\n",
    )


@pytest.mark.slow
async def test_its_memory_stays_bounded_while_it_drains_a_backlog(shard: StreamedShard) -> None:
    ingest = shard.instance()
    published = 0
    while published < 150 * MIB:
        frame = ingest.frame(TENANT, [an_event() for _ in range(6_000)])
        published += len(frame)
        await shard.publish(frame)
    async with functions_process(
        shard.seeded.nats, shard.seeded.folder, "writer", AUDIT_BACKUP="none"
    ) as process:
        await shard.committed(seconds=120)
        peak = peak_memory(process)
    assert peak <= 250 * MIB


async def test_a_process_that_was_stopped_for_a_while_goes_on_where_it_was(shard: StreamedShard) -> None:
    ingest = shard.instance()
    async with functions_process(
        shard.seeded.nats, shard.seeded.folder, "writer", AUDIT_BACKUP="none"
    ) as process:
        await ingest.publish(TENANT)
        await shard.committed()
        assert process.process is not None
        process.process.send_signal(signal.SIGSTOP)
        for _ in range(5):
            await ingest.publish(TENANT)
            await asyncio.sleep(1)
        process.process.send_signal(signal.SIGCONT)
        await shard.committed()
        assert "audit_writer_errors_total{" not in (await process.request("GET", "/metrics")).body.decode()
