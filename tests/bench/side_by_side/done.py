"""What a benchmark has measured so far, kept in a file so that it can go on after an interruption."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from bench.side_by_side.loads import Measured
from bench.side_by_side.sides import PROMISES
from bench.side_by_side.table import Results, commit


@dataclass(frozen=True, kw_only=True)
class Step:
    """One measurement of one side."""

    tickets: int
    repetition: int
    row: str
    side: str


@dataclass(kw_only=True)
class Done:
    """The results by the number of tickets, and the steps that gave them."""

    by_tickets: dict[int, Results]
    steps: set[Step]

    @classmethod
    def read(cls, path: Path) -> Self:
        """What the file says; nothing if there is no file, or one of another commit."""
        found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        if found.get("commit") != commit():
            return cls(by_tickets={}, steps=set())
        by_tickets = {
            int(tickets): {
                row: {side: [Measured(**one) for one in measured] for side, measured in by.items()}
                for row, by in results.items()
            }
            for tickets, results in found["tickets"].items()
        }
        return cls(by_tickets=by_tickets, steps={Step(**step) for step in found["steps"]})

    def add(self, step: Step, measured: list[tuple[str, Measured]]) -> None:
        """Add the labels and values that a step gave."""
        results = self.by_tickets.setdefault(step.tickets, {})
        for label, one in measured:
            results.setdefault(label, {}).setdefault(step.side, []).append(one)
        self.steps.add(step)

    def write(self, path: Path) -> None:
        """Write the file, completely or not at all."""
        tickets = {
            count: {
                row: {side: [asdict(one) for one in measured] for side, measured in by.items()}
                for row, by in results.items()
            }
            for count, results in self.by_tickets.items()
        }
        steps = [asdict(step) for step in self.steps]
        found = {"commit": commit(), "promises": PROMISES, "tickets": tickets, "steps": steps}
        text = json.dumps(found, indent=1)
        temporary = path.with_suffix(".part")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
