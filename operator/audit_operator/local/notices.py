"""Bad news told once, and once more when it is over."""

from __future__ import annotations

from audit_operator.local.output import Output


class Notices:
    """What is wrong now, by subject."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._open: dict[str, str] = {}

    def say(self, text: str) -> None:
        """Tell something that has no end."""
        self._output.say(text)

    def wrong(self, subject: str, reason: str) -> bool:
        """Tell what is wrong with a subject, unless that was told already; return whether it was news."""
        if self._open.get(subject) == reason:
            return False
        self._open[subject] = reason
        self._output.say(f"{subject}: {reason}")
        return True

    def well(self, subject: str, text: str = "", *, is_there: bool = True) -> None:
        """Take back what was told of a subject, aloud if it is still there; `text` says what is so, told or not."""
        was_wrong = self._open.pop(subject, None) is not None
        if text or (was_wrong and is_there):
            self._output.say(f"{subject}: {text or 'well again'}")
