"""The id of a request: the caller's when it has a harmless form, else one of ours. In, out, and in every log line."""

from __future__ import annotations

import itertools
import os
import re
from typing import Final

HEADER: Final = b"x-request-id"
_FORM: Final = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")
_PROCESS: Final = os.urandom(6).hex().encode()
_numbers: Final = itertools.count(1)


def request_id_of(sent: bytes | None) -> bytes:
    """Return the id of a request whose header `x-request-id` holds `sent`."""
    if sent is not None and _FORM.fullmatch(sent) is not None:
        return sent
    return b"%s-%x" % (_PROCESS, next(_numbers))
