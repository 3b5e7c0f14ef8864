"""What a run of the benchmarks found, as it is printed and written."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure. `spread` is highest minus lowest of the repetitions, in the same unit; `goal` as text."""

    name: str
    value: float
    unit: str
    spread: float = 0.0
    goal: str = ""
    note: str = ""


class Results:
    """Collects figures and prints each as it comes."""

    def __init__(self) -> None:
        self.figures: list[Figure] = []

    def add(
        self, name: str, value: float, unit: str, *, spread: float = 0.0, goal: str = "", note: str = ""
    ) -> None:
        """Take a figure over and print it."""
        figure = Figure(name=name, value=value, unit=unit, spread=spread, goal=goal, note=note)
        self.figures.append(figure)
        print(f"  {name:<44} {value:>12,.3f} {unit:<10} ±{spread / 2:,.3f}  {goal:<22} {note}", flush=True)

    def write(self, path: Path) -> None:
        """Write build/bench.json."""
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [asdict(figure) for figure in self.figures]
        path.write_text(json.dumps(rows, indent=1) + "\n")

    def markdown(self) -> str:
        """Return the figures as a table."""
        head = "| figure | value | unit | spread | goal | note |\n|---|---:|---|---:|---|---|\n"
        return head + "".join(
            f"| `{row.name}` | {row.value:,.3f} | {row.unit} | {row.spread:,.3f} | {row.goal} | {row.note} |\n"
            for row in self.figures
        )
