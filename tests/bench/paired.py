"""Paired measuring: A B B A, repeated; the result is the median ratio with its spread."""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

Measure = Callable[[], Awaitable[float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """`value` is the median of the repetitions' A/B; `low` and `high` the extremes; rates are medians."""

    value: float
    low: float
    high: float
    a: float
    b: float

    @property
    def spread(self) -> float:
        return self.high - self.low


async def abba(a: Measure, b: Measure, repetitions: int) -> Ratio:
    """Run A B B A `repetitions` times; each repetition gives one ratio of sums."""
    ratios, rates_a, rates_b = [], [], []
    for _ in range(repetitions):
        first_a, first_b, second_b, second_a = await a(), await b(), await b(), await a()
        ratios.append((first_a + second_a) / (first_b + second_b))
        rates_a += [first_a, second_a]
        rates_b += [first_b, second_b]
    return Ratio(
        value=statistics.median(ratios),
        low=min(ratios),
        high=max(ratios),
        a=statistics.median(rates_a),
        b=statistics.median(rates_b),
    )
