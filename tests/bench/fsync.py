"""What the disk promises: latency of a 4 KiB append followed by fsync, the floor under every durable answer."""

from __future__ import annotations

import os
import time
from pathlib import Path


def fsync_quantiles(folder: Path, *, appends: int = 500) -> tuple[float, float]:
    """Return p50 and p99 in seconds."""
    path = folder / "fsync-probe"
    block = os.urandom(4096)
    taken = []
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        for _ in range(appends):
            started = time.perf_counter()
            os.write(descriptor, block)
            os.fsync(descriptor)
            taken.append(time.perf_counter() - started)
    finally:
        os.close(descriptor)
        path.unlink()
    taken.sort()
    return taken[appends // 2], taken[appends * 99 // 100]
