"""The files with which a process serves one shard, in either of two layouts.

A folder for each shard, `<shard_id>/<name>`, is what the local runtime writes; `<shard_id>.<name>` is how a mounted
Secret shows its keys, which cannot hold a slash.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from audit_core.tenant import ShardId, is_id


@dataclass(frozen=True, slots=True)
class ShardFiles:
    """The files of a shard. `files / name` is where one of them is."""

    folder: Path
    shard_id: ShardId

    def __truediv__(self, name: str) -> Path:
        """Return the path of a file, the folder of the shard first."""
        nested = self.folder / self.shard_id / name
        return nested if nested.is_file() else self.folder / f"{self.shard_id}.{name}"

    def has(self, names: Iterable[str]) -> bool:
        """Tell whether all of these are there."""
        return all((self / name).is_file() for name in names)


def shards_in(folder: Path, names: tuple[str, ...]) -> set[ShardId]:
    """Return the shards that have all of these files in a folder, which may not be there."""
    if not folder.is_dir():
        return set()
    ids = {entry.name.partition(".")[0] for entry in folder.iterdir()}
    return {ShardId(each) for each in ids if is_id(each) and ShardFiles(folder, ShardId(each)).has(names)}
