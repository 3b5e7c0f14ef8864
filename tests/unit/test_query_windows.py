"""The windows of a span follow each other in its order, and together are the span."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from audit_core.query import NO_SEQUENCE, PAST_ALL_SEQUENCES, Filters, Order, Position, Search, Span, span
from audit_core.query_windows import FIRST_PARTITIONS, MAX_PARTITIONS, windows

DAY = 86_400_000_000
DAYS = [day * DAY for day in range(400)]


def test_the_first_page_starts_at_the_end_that_the_order_names() -> None:
    filters = Filters(received_from=100, received_to=200)
    newest = span(Search(filters=filters), None)
    assert newest == Span(lower=100, upper=199, sequence=PAST_ALL_SEQUENCES)
    oldest = span(Search(filters=filters, order=Order.ASCENDING), None)
    assert oldest == Span(lower=100, upper=199, sequence=NO_SEQUENCE)


def test_the_next_page_starts_behind_the_last_event() -> None:
    filters = Filters(received_from=100, received_to=200)
    last = Position(received_at=150, sequence=7)
    assert span(Search(filters=filters), last) == Span(lower=100, upper=150, sequence=7)
    assert span(Search(filters=filters, order=Order.ASCENDING), last) == Span(
        lower=150, upper=199, sequence=7
    )


def test_a_short_span_is_one_window() -> None:
    where = Span(lower=3 * DAY + 1, upper=7 * DAY - 1, sequence=9)
    for order in Order:
        assert list(windows(where, order, DAYS)) == [where]


def test_a_long_one_is_looked_through_from_its_start_in_ever_longer_windows() -> None:
    where = Span(lower=0, upper=400 * DAY, sequence=9)
    newest_first = [_days(window) for window in windows(where, Order.DESCENDING, DAYS)]
    assert newest_first[:4] == [(396, 400), (388, 396), (372, 388), (340, 372)]
    assert newest_first[-1] == (0, newest_first[-2][0])
    oldest_first = [_days(window) for window in windows(where, Order.ASCENDING, DAYS)]
    assert oldest_first[:4] == [(0, 4), (4, 12), (12, 28), (28, 60)]
    assert {upper - lower for lower, upper in oldest_first[3:-1]} == {MAX_PARTITIONS}
    assert {upper - lower for lower, upper in newest_first[3:-1]} == {MAX_PARTITIONS}


def _days(window: Span) -> tuple[int, int]:
    return window.lower // DAY, -(-window.upper // DAY)


@given(
    st.lists(st.integers(-50, 550), unique=True).map(sorted),
    st.integers(0, 500),
    st.integers(0, 500),
    st.sampled_from(Order),
)
def test_windows_leave_nothing_out_and_overlap_nowhere(
    bounds: Sequence[int], one: int, other: int, order: Order
) -> None:
    where = Span(lower=min(one, other), upper=max(one, other), sequence=5)
    found = list(windows(where, order, bounds))
    covered = [at for window in found for at in _instants(window, order)]
    assert covered == list(_instants(where, order))
    beyond = PAST_ALL_SEQUENCES if order is Order.DESCENDING else NO_SEQUENCE
    assert [window.sequence for window in found] == [5] + [beyond] * (len(found) - 1)
    for number, window in enumerate(found):
        inside = [bound for bound in bounds if window.lower < bound <= window.upper]
        assert len(inside) <= min(FIRST_PARTITIONS * 2**number, MAX_PARTITIONS)


def _instants(window: Span, order: Order) -> range:
    if order is Order.ASCENDING:
        return range(window.lower, window.upper + 1)
    return range(window.upper, window.lower - 1, -1)
