"""Shards come, change and go with their files, and the failure of one is its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from audit_core.projection import ConfigView
from audit_core.tenant import ShardId
from audit_functions.web import shards
from audit_functions.web.shard_files import ShardFiles
from audit_functions.web.shards import ShardFolder
from audit_functions.web.vital import Vital

FIRST, SECOND = ShardId("a" * 16), ShardId("b" * 16)


@dataclass
class Shard:
    shard_id: ShardId
    content: str = ""
    view: ConfigView = field(default_factory=ConfigView)
    able: bool = True
    broken: asyncio.Event = field(default_factory=asyncio.Event)

    def config_age_seconds(self) -> float:
        return 0.0

    def problem(self) -> str | None:
        return None


class Opener:
    """Opens shards, and remembers what happened to them."""

    def __init__(self) -> None:
        self.happened: list[str] = []
        self.refused = 0
        self.able = True
        self.opened: list[Shard] = []

    @asynccontextmanager
    async def __call__(self, shard_id: ShardId, files: ShardFiles) -> AsyncIterator[Shard]:
        assert (files.shard_id, (files / "ingest.creds").is_file()) == (shard_id, True)
        if self.refused:
            self.refused -= 1
            raise OSError("not now")
        shard = Shard(shard_id, (files / "ingest.creds").read_text(), able=self.able)
        self.opened.append(shard)
        self.happened.append(f"{shard_id[0]} opened")
        async with asyncio.TaskGroup() as tasks:
            failing = tasks.create_task(_fails_when(shard.broken))
            try:
                yield shard
            finally:
                await asyncio.sleep(0.05)  # what is under way ends in its own time
                self.happened.append(f"{shard_id[0]} drained")
                failing.cancel()


async def _fails_when(broken: asyncio.Event) -> None:
    await broken.wait()
    raise ConnectionError("gone for good")


async def eventually(claim: Callable[[], bool], *, seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not claim():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.01)


def lay_out(folder: Path, shard_id: str, *files: str) -> None:
    (folder / shard_id).mkdir(exist_ok=True)
    for name in files:
        (folder / shard_id / name).touch()


def mount(folder: Path, generation: str, content: str) -> None:
    """Put a file there as the kubelet does: all of a Secret's keys change at once."""
    hidden = folder / f"..{generation}"
    hidden.mkdir()
    (hidden / f"{FIRST}.ingest.creds").write_text(content)
    (folder / "..data_tmp").symlink_to(hidden.name)
    (folder / "..data_tmp").rename(folder / "..data")
    link = folder / f"{FIRST}.ingest.creds"
    if not link.is_symlink():
        link.symlink_to(f"..data/{link.name}")


@pytest.fixture
async def opener() -> Opener:
    return Opener()


@pytest.fixture
async def served(opener: Opener, tmp_path: Path) -> AsyncIterator[ShardFolder[Shard]]:
    folder = ShardFolder(
        tmp_path, ("ingest.creds",), opener, able=lambda shard: shard.able, overlap_seconds=0.3
    )
    running = asyncio.create_task(folder.run())
    yield folder
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert folder.serving == {}


async def test_a_shard_is_served_as_soon_as_its_files_are_there(
    served: ShardFolder[Shard], tmp_path: Path
) -> None:
    lay_out(tmp_path, FIRST)
    lay_out(tmp_path, "not-a-shard", "ingest.creds")
    lay_out(tmp_path, SECOND, "ingest.creds")
    await eventually(lambda: served.serving.keys() == {SECOND})
    assert served.known == {SECOND}


async def test_the_keys_of_a_mounted_secret_are_served_as_a_folder_is(
    served: ShardFolder[Shard], tmp_path: Path
) -> None:
    hidden = tmp_path / "..2026"  # the form in which the kubelet swaps all files at once
    hidden.mkdir()
    (hidden / f"{FIRST}.ingest.creds").touch()
    (tmp_path / "..data").symlink_to(hidden.name)
    (tmp_path / f"{FIRST}.ingest.creds").symlink_to(f"..data/{FIRST}.ingest.creds")
    (tmp_path / f"{SECOND}.query.creds").touch()
    await eventually(lambda: served.serving.keys() == {FIRST})
    assert served.known == {FIRST}


async def test_before_the_folder_was_looked_at_any_key_may_be_of_a_shard_in_it(
    opener: Opener, tmp_path: Path
) -> None:
    folder = ShardFolder(tmp_path, ("ingest.creds",), opener)
    before = folder.awaited()
    running = asyncio.create_task(folder.run())
    await asyncio.sleep(0.01)
    assert (before, folder.awaited()) == (1, 0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_shard_whose_folder_goes_is_drained(
    served: ShardFolder[Shard], opener: Opener, tmp_path: Path
) -> None:
    lay_out(tmp_path, FIRST, "ingest.creds")
    await eventually(lambda: FIRST in served.serving)
    (tmp_path / FIRST / "ingest.creds").unlink()
    await eventually(lambda: served.known == frozenset())
    await eventually(lambda: opener.happened == ["a opened", "a drained"])


async def test_a_shard_that_fails_is_opened_again_and_the_other_goes_on(
    served: ShardFolder[Shard], opener: Opener, tmp_path: Path
) -> None:
    lay_out(tmp_path, FIRST, "ingest.creds")
    lay_out(tmp_path, SECOND, "ingest.creds")
    await eventually(lambda: len(served.serving) == 2)
    first, second = served.serving[FIRST], served.serving[SECOND]
    first.broken.set()
    await eventually(lambda: served.serving.get(FIRST) not in (first, None))
    assert served.serving[SECOND] is second
    assert "b drained" not in opener.happened


async def test_a_shard_that_does_not_open_is_tried_again(
    served: ShardFolder[Shard], opener: Opener, tmp_path: Path
) -> None:
    opener.refused = 2
    lay_out(tmp_path, FIRST, "ingest.creds")
    await eventually(lambda: served.awaited() == 1)
    await eventually(lambda: FIRST in served.serving)


async def test_draining_closes_every_shard_and_opens_none(
    served: ShardFolder[Shard], opener: Opener, tmp_path: Path
) -> None:
    lay_out(tmp_path, FIRST, "ingest.creds")
    lay_out(tmp_path, SECOND, "ingest.creds")
    await eventually(lambda: len(served.serving) == 2)
    await served.drain()
    assert served.serving == {}
    assert sorted(opener.happened[2:]) == ["a drained", "b drained"]
    await asyncio.sleep(shards.SCAN_EVERY_SECONDS + 0.2)
    assert len(opener.happened) == 4


async def test_a_shard_whose_files_changed_is_replaced_and_the_former_ends_later(
    served: ShardFolder[Shard], opener: Opener, tmp_path: Path
) -> None:
    mount(tmp_path, "2026", "first")
    await eventually(lambda: FIRST in served.serving)
    former = served.serving[FIRST]
    mount(tmp_path, "2027", "second")
    await eventually(lambda: served.serving[FIRST] is not former)
    assert (former.content, served.serving[FIRST].content) == ("first", "second")
    assert opener.happened == ["a opened", "a opened"]
    await eventually(lambda: len(opener.happened) == 3)
    await eventually(lambda: opener.happened == ["a opened", "a opened", "a drained"])
    assert served.serving[FIRST] is opener.opened[1]
    assert (served.known, served.awaited()) == (frozenset({FIRST}), 0)


async def test_files_that_are_written_anew_with_the_same_content_replace_nothing(
    served: ShardFolder[Shard], opener: Opener, tmp_path: Path
) -> None:
    mount(tmp_path, "2026", "first")
    await eventually(lambda: FIRST in served.serving)
    mount(tmp_path, "2027", "first")
    await asyncio.sleep(shards.SCAN_EVERY_SECONDS + 0.2)
    assert opener.happened == ["a opened"]


async def test_while_the_new_files_do_not_open_the_shard_the_former_serves(
    served: ShardFolder[Shard], opener: Opener, tmp_path: Path
) -> None:
    mount(tmp_path, "2026", "first")
    await eventually(lambda: FIRST in served.serving)
    former = served.serving[FIRST]
    opener.refused = 2
    mount(tmp_path, "2027", "second")
    await eventually(lambda: opener.refused == 0)
    assert (served.serving[FIRST], served.awaited()) == (former, 0)
    await eventually(lambda: served.serving[FIRST].content == "second")


async def test_a_shard_that_is_not_able_yet_takes_nobodys_place(
    served: ShardFolder[Shard], opener: Opener, tmp_path: Path
) -> None:
    mount(tmp_path, "2026", "first")
    await eventually(lambda: FIRST in served.serving)
    opener.able = False
    mount(tmp_path, "2027", "second")
    await eventually(lambda: len(opener.opened) == 2)
    await asyncio.sleep(0.2)
    assert served.serving[FIRST].content == "first"
    opener.opened[1].able = True
    await eventually(lambda: served.serving[FIRST].content == "second")


async def test_of_files_that_change_twice_only_the_last_are_served(
    served: ShardFolder[Shard], opener: Opener, tmp_path: Path
) -> None:
    mount(tmp_path, "2026", "first")
    await eventually(lambda: FIRST in served.serving)
    opener.able = False
    mount(tmp_path, "2027", "second")
    await eventually(lambda: len(opener.opened) == 2)
    opener.able = True
    mount(tmp_path, "2028", "third")
    await eventually(lambda: served.serving[FIRST].content == "third")
    await eventually(lambda: opener.happened.count("a drained") == 2)
    assert served.serving[FIRST] is opener.opened[2]


async def test_a_former_shard_that_fails_leaves_its_place_to_the_new_one_that_is_not_able(
    served: ShardFolder[Shard], opener: Opener, tmp_path: Path
) -> None:
    mount(tmp_path, "2026", "first")
    await eventually(lambda: FIRST in served.serving)
    opener.able = False
    mount(tmp_path, "2027", "second")
    await eventually(lambda: len(opener.opened) == 2)
    opener.opened[0].broken.set()
    await eventually(lambda: FIRST in served.serving and served.serving[FIRST].content == "second")
    await eventually(lambda: opener.happened == ["a opened", "a opened", "a drained"])


async def test_a_vital_task_that_ends_ends_the_process() -> None:
    ended: list[str] = []

    async def fails() -> None:
        raise ValueError("a fault")

    failed: list[str | None] = []
    async with Vital(lambda: ended.append("ended")) as vital:
        vital.start("steady", never())
        await asyncio.sleep(0.01)
        failed.append(vital.failed)
        vital.start("faulty", fails())
        await asyncio.sleep(0.01)
        failed.append(vital.failed)
    assert failed == [None, "faulty"]
    assert ended == ["ended"]


async def never() -> None:
    await asyncio.Event().wait()


async def test_a_vital_task_may_end_with_the_process() -> None:
    ended: list[str] = []
    async with Vital(lambda: ended.append("ended")) as vital:
        vital.start("steady", never())
    assert ended == []
