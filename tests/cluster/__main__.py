"""`python -m tests.cluster FOLDER`: keep a cluster running in a folder until told to stop, or nobody wants it any more.

The folder is how others speak with this process: `ready` appears in it when the cluster is there and `failed` when it
cannot be; the API server is away for as long as `away` is in it, and everything ends when `stop` is.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from types import FrameType

from tests.cluster.build import CannotBuild
from tests.cluster.control_plane import ControlPlane, NotStarted

LOOK_SECONDS = 0.1


def main() -> int:
    """Run; return the status to exit with."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--webhook", type=Path, help="a kubeconfig that audit events are posted by, blocking")
    parser.add_argument("--for-process", type=int, help="end when this process has ended")
    told = parser.parse_args()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, _stop)
    plane = ControlPlane(told.folder.absolute(), webhook=told.webhook)
    try:
        plane.start()
        (told.folder / "ready").write_text(plane.url)
        sys.stdout.write(f"export KUBECONFIG={plane.kubeconfig}\n")
        sys.stdout.flush()
        _keep(plane, told.for_process)
    except (CannotBuild, NotStarted) as error:
        _fail(told.folder, str(error))
        return 1
    except Exception:
        _fail(told.folder, traceback.format_exc())  # whoever waits for the cluster learns of nothing else
        raise
    finally:
        plane.stop()
    return 0


def _fail(folder: Path, why: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "failed").write_text(why)
    sys.stderr.write(f"cluster: {why}\n")


def _keep(plane: ControlPlane, process: int | None) -> None:
    away = False
    while not (plane.folder / "stop").exists() and (process is None or _lives(process)):
        wanted = (plane.folder / "away").exists()
        if wanted and not away:
            plane.stop_apiserver()
        elif away and not wanted:
            plane.start_apiserver()
        if wanted != away:
            away = wanted
            (plane.folder / "is").write_text("away" if away else "there")
        plane.tend()
        time.sleep(LOOK_SECONDS)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def _stop(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
