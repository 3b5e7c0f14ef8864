"""The files with which a process serves one shard, in either of two layouts.

A folder for each shard, `<shard_id>/<name>`, is what the local runtime writes; `<shard_id>.<name>` is how a mounted
Secret shows its keys, which cannot hold a slash.
"""

from __future__ import annotations

import hashlib
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

    def digest(self, names: Iterable[str]) -> bytes | None:
        """Return a hash of what stands in these files, None unless all of them are there."""
        digest = hashlib.sha256()
        for name in names:
            try:
                content = (self / name).read_bytes()
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
                return None
            except OSError as error:
                content = str(error).encode()  # opening the shard will fail of it, and say so
            digest.update(hashlib.sha256(content).digest())
        return digest.digest()


def shards_in(folder: Path, names: tuple[str, ...]) -> dict[ShardId, bytes]:
    """Return the shards that have all of these files in a folder, which may not be there, each with their digest."""
    if not folder.is_dir():
        return {}
    ids = {ShardId(name) for entry in folder.iterdir() if is_id(name := entry.name.partition(".")[0])}
    digests = {shard_id: ShardFiles(folder, shard_id).digest(names) for shard_id in ids}
    return {shard_id: digest for shard_id, digest in digests.items() if digest is not None}
