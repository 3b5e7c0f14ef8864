"""What to do with a batch that PostgreSQL refuses whatever is tried: find the rows, keep their leaves, keep their bytes.

The kind and number of a leaf never depend on the database, so a refused event stays the leaf it is. Its row loses what
can be refused, and the bytes go to the dead letters.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from audit_functions.writer.rows import Row, body, dead_letter, without_body
from audit_functions.writer.settle import Batch
from audit_functions.writer.state import Freeze, Reason

MAX_REFUSED: Final = 100
"""Of one batch. More is no poison but a database that is not what it should be."""

Refused = Callable[[Sequence[Row]], Awaitable[str | None]]
"""Tries rows; returns the SQLSTATE with which they are refused, or None."""


async def repaired(batch: Batch, refused: Refused) -> Batch:
    """Return the batch with each refused event's row stripped. Raises Freeze when that does not help."""
    found = await _find(batch.rows, range(len(batch.rows)), refused)
    if not found:
        return batch
    rows, letters = list(batch.rows), list(batch.dead_letters)
    for index, code in found.items():
        letters.append(dead_letter(rows[index], f"SQLSTATE {code}", body(rows[index])))
        rows[index] = without_body(rows[index])
    stripped = await refused([rows[index] for index in found])
    if stripped is not None:
        raise Freeze(Reason.STORE_CONTRADICTS, sqlstate=stripped, sequence=batch.after.stream_sequence)
    counts = dataclasses.replace(batch.counts, dead_letters=len(letters))
    return dataclasses.replace(batch, rows=rows, dead_letters=letters, counts=counts)


async def _find(rows: list[Row], among: range, refused: Refused) -> dict[int, str]:
    """Return the refused rows' indexes with their SQLSTATE, by halves."""
    found: dict[int, str] = {}
    open_ranges = [among]
    while open_ranges:
        part = open_ranges.pop()
        code = await refused(rows[part.start : part.stop]) if part else None
        if code is None:
            continue
        if len(part) == 1:
            found[part.start] = code
            if len(found) > MAX_REFUSED:
                raise Freeze(Reason.STORE_CONTRADICTS, sqlstate=code, refused=len(found))
            continue
        middle = part.start + len(part) // 2
        open_ranges += [range(middle, part.stop), range(part.start, middle)]
    return found
