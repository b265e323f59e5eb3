"""The order in which the files of the suite begin, so that its lanes end at the same time."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, TypeVar


class InFile(Protocol):
    """A test of pytest, of which only the file matters."""

    @property
    def path(self) -> Path: ...


T = TypeVar("T", bound=InFile)

TESTS = Path(__file__).parents[1]

LONGEST = (
    "chaos/test_chaos_runs.py",
    "e2e/test_watching_alerts.py",
    "integration/test_stack_complete.py",
    "e2e/test_crashes.py",
    "e2e/test_liveness.py",
    "integration/test_nodule_sweep.py",
    "integration/test_inference_memory.py",
    "e2e/test_s3_datastore.py",
    "e2e/test_documented_commands.py",
    "e2e/test_own_service.py",
    "e2e/test_batches.py",
)
"""Files that take a minute or more on two cores, the longest first; those that take less begin later, as they lie."""


def longest_first(items: Sequence[T]) -> list[T]:
    """The tests of LONGEST before all others.  Those of one file stay together and in their order."""
    turns = {TESTS / name: turn for turn, name in enumerate(LONGEST)}
    return sorted(items, key=lambda item: turns.get(item.path, len(turns)))
