"""A long span cut where partitions meet, so that a page is looked for in a few partitions at a time.

Planning and locking cost per partition of the span, whether a row is found there or not: over a year of daily ones,
more than reading the page. Most pages are full within the first window.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from audit_core.query import NO_SEQUENCE, PAST_ALL_SEQUENCES, Order, Span

FIRST_PARTITIONS: Final = 4
"""Of the newest ones, two are made ahead and empty."""
MAX_PARTITIONS: Final = 32


def windows(where: Span, order: Order, partition_bounds: Sequence[int]) -> Iterator[Span]:
    """Yield spans that follow each other in `order` and together are `where`.

    `partition_bounds` are the lower bounds of partitions in µs, ascending. A missing one makes a window longer, no more.
    """
    cuts = [bound for bound in partition_bounds if where.lower < bound <= where.upper]
    if order is Order.DESCENDING:
        cuts.reverse()
    rest, size, start = where, FIRST_PARTITIONS, 0
    while start + size <= len(cuts):
        cut = cuts[start + size - 1]
        start, size = start + size, min(size * 2, MAX_PARTITIONS)
        if order is Order.DESCENDING:
            yield Span(lower=cut, upper=rest.upper, sequence=rest.sequence)
            rest = Span(lower=rest.lower, upper=cut - 1, sequence=PAST_ALL_SEQUENCES)
        else:
            yield Span(lower=rest.lower, upper=cut - 1, sequence=rest.sequence)
            rest = Span(lower=cut, upper=rest.upper, sequence=NO_SEQUENCE)
    yield rest
