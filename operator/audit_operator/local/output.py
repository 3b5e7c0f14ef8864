"""What a person sees while the stack runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TextIO

_TENTHS: Final = 0.05
_BAR: Final = 30


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

    @contextmanager
    def progress(self, what: str, total: int) -> Iterator[Callable[[int], None]]:
        """Show how far something is, a bar on a terminal and a line when it is done; call what is given to advance."""
        started, done = time.monotonic(), 0

        def line() -> str:
            filled = "#" * (_BAR * done // max(total, 1))
            rate = done / max(time.monotonic() - started, 1e-6)
            return f"{what} [{filled:<{_BAR}}] {done:,}/{total:,}  {rate:,.0f}/s"

        def advance(count: int) -> None:
            nonlocal done
            done += count
            if self.stream.isatty():
                self.stream.write(f"\r{line()}")
                self.stream.flush()

        yield advance
        self.say(f"\r{line()}" if self.stream.isatty() else line())

    def say(self, *lines: str) -> None:
        """Write whole lines."""
        for line in lines:
            self.stream.write(f"{line}\n")
        self.stream.flush()


def on_stdout() -> Output:
    """Return the output of this process."""
    return Output(sys.stdout)
