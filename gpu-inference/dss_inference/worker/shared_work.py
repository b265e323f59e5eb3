"""Requests in hand that ask for the same work: one computes it, the others wait and hear how it goes on.

They come when a ticket moves to another dispatcher while its inference runs.  What the first has found
is then the answer to all, see ``outcomes``.
"""

import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from dss_broker.messages import RunInference
from dss_inference.bundle import Progress
from dss_inference.errors import Cancelled

GLANCE_S = 0.5
"""How often the waiting looks whether it is cancelled."""


@dataclass(kw_only=True, eq=False)
class Turn:
    """One request's place in the line of those that ask for the same; the first of them computes."""

    tell: Progress
    line: list["Turn"]
    alone_since_s: float = field(default_factory=time.monotonic)

    def tell_all(self, fraction: float, stage: str) -> None:
        """Progress, to everybody in the line."""
        for turn in tuple(self.line):
            turn.tell(fraction, stage)

    @property
    def alone_s(self) -> float:
        """For so long nobody else has wanted this work; 0 if somebody does."""
        return 0.0 if len(self.line) > 1 else time.monotonic() - self.alone_since_s


class Joint:
    """May be used by any thread."""

    def __init__(self) -> None:
        self._lines: dict[Hashable, list[Turn]] = {}
        self._changed = threading.Condition()

    @contextmanager
    def turn(
        self, request: RunInference, tell: Progress, cancelled: Callable[[], bool]
    ) -> Iterator[Turn]:
        """While the block runs, nobody else computes the same.  Raises Cancelled while waiting for that."""
        turn = self._join(_work(request), tell)
        try:
            self._wait(turn, cancelled)
            yield turn
        finally:
            self._leave(_work(request), turn)

    def _join(self, work: Hashable, tell: Progress) -> Turn:
        with self._changed:
            line = self._lines.setdefault(work, [])
            turn = Turn(tell=tell, line=line)
            line.append(turn)
            return turn

    def _wait(self, turn: Turn, cancelled: Callable[[], bool]) -> None:
        with self._changed:
            while turn.line[0] is not turn:
                self._changed.wait(GLANCE_S)
                if cancelled():
                    raise Cancelled

    def _leave(self, work: Hashable, turn: Turn) -> None:
        with self._changed:
            turn.line.remove(turn)
            if turn.line:
                turn.line[0].alone_since_s = time.monotonic()
            else:
                del self._lines[work]
            self._changed.notify_all()


def _work(request: RunInference) -> Hashable:
    """What is to be computed, whoever asks."""
    parameters = tuple(sorted(request.parameters.items()))
    return (request.ticket_id, request.bundle, request.image_path, parameters)
