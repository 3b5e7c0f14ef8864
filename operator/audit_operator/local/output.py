"""What a person sees while the stack runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO

_TENTHS = 0.05


@dataclass(frozen=True, slots=True)
class Output:
    """Lines for a terminal or a log; every line is complete and flushed."""

    stream: TextIO

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Say what is being done, and how long it took when that is worth a word."""
        self.stream.write(f"{what} …")
        self.stream.flush()
        started = time.monotonic()
        try:
            yield
        except BaseException:
            self.say("")
            raise
        seconds = time.monotonic() - started
        self.say(f" {seconds:.1f} s" if seconds >= _TENTHS else "")

    def say(self, *lines: str) -> None:
        """Write whole lines."""
        for line in lines:
            self.stream.write(f"{line}\n")
        self.stream.flush()


def on_stdout() -> Output:
    """Return the output of this process."""
    return Output(sys.stdout)
