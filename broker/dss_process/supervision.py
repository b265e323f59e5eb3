"""Work that goes on beside a program's own: what ends it unforeseen is logged and told, and it is begun again."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

log = logging.getLogger(__name__)

FIRST_DELAY_S = 1.0
LONGEST_DELAY_S = 30.0
STABLE_S = 10.0
"""Work that has gone on for so long after it was begun again is sound."""
LOG_INTERVAL_S = 60.0
"""The same cause is logged once within this time: work that fails for hours fails every LONGEST_DELAY_S."""


@dataclass(kw_only=True)
class Health:
    """How one piece of work does.  ``cause`` is what ended it last; "" while it is sound."""

    name: str
    cause: str = ""
    _failures: int = 0
    _runs: bool = False
    _began_s: float = field(default_factory=time.monotonic)
    _said: str = ""
    _said_s: float = 0.0

    def started(self) -> None:
        self._runs, self._began_s = True, time.monotonic()

    def ended(self) -> None:
        """As it should."""
        self.cause = ""

    def failed(self, error: BaseException) -> float:
        """Logs the cause; returns the seconds to wait before the work is begun again."""
        if self._is_sound():
            self._failures = 0
        self._runs = False
        self.cause = f"{type(error).__name__}: {error}".rstrip(": ")
        delay_s = min(LONGEST_DELAY_S, FIRST_DELAY_S * (1 << min(self._failures, 16)))
        self._failures += 1
        self._say(error, delay_s)
        return delay_s

    def problem(self) -> str:
        """A sentence for ``/readyz``; "" if there is none."""
        if not self.cause or self._is_sound():
            return ""
        kind = self.cause.partition(":")[0]  # the rest may name what strangers should not read
        return f"The task '{self.name}' ended with {kind} and is begun again; its log says why."

    def _is_sound(self) -> bool:
        return self._runs and time.monotonic() - self._began_s > STABLE_S

    def _say(self, error: BaseException, delay_s: float) -> None:
        now_s = time.monotonic()
        facts = {"task": self.name, "reason": self.cause, "again_s": delay_s}
        if self.cause != self._said:
            log.error("task ended unforeseen, beginning it again", extra=facts, exc_info=error)
        elif now_s - self._said_s < LOG_INTERVAL_S:
            return
        else:
            log.error("task still ends unforeseen", extra=facts)
        self._said, self._said_s = self.cause, now_s


class Supervisor:
    """Threads that are begun again when they end by an error, until ``stop``."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._kept: list[Health] = []

    def start(self, name: str, work: Callable[[], object]) -> threading.Thread:
        """``work`` returns when it is done, or soon after ``stop``."""
        health = Health(name=name)
        self._kept.append(health)
        thread = threading.Thread(target=self._run, args=(health, work), name=name, daemon=True)
        thread.start()
        return thread

    def problems(self) -> list[str]:
        """A sentence for each piece of work that has ended by an error of late."""
        return [sentence for health in self._kept if (sentence := health.problem())]

    def _run(self, health: Health, work: Callable[[], object]) -> None:
        while True:
            health.started()
            try:
                work()
            except Exception as error:
                if self._stop.wait(health.failed(error)):
                    return
            else:
                health.ended()
                return
