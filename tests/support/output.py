"""Output that a test reads."""

from __future__ import annotations

import io

from audit_operator.local.output import Output


class Lines(Output):
    """Keeps every line."""

    def __init__(self) -> None:
        super().__init__(io.StringIO())

    @property
    def said(self) -> list[str]:
        """Return the lines so far."""
        assert isinstance(self.stream, io.StringIO)
        return self.stream.getvalue().splitlines()
