"""Supervises background tasks of a program: when an error ends a task, it is logged and the task is started again."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

log = logging.getLogger(__name__)

FIRST_DELAY_S = 1.0
LONGEST_DELAY_S = 30.0
STABLE_S = 10.0
"""Seconds that a task must run after a restart to count as healthy."""
LOG_INTERVAL_S = 60.0
"""Shortest time between two log lines about the same error of a task, in seconds."""


@dataclass(kw_only=True)
class Health:
    """State of one task.  ``cause`` is the last error that ended it; "" if there was none."""

    name: str
    cause: str = ""
    _failures: int = 0
    _runs: bool = False
    _began_s: float = field(default_factory=time.monotonic)
    _logged_cause: str = ""
    _logged_s: float = 0.0

    def started(self) -> None:
        self._runs, self._began_s = True, time.monotonic()

    def ended(self) -> None:
        """To be called when the task has returned without an error."""
        self.cause = ""

    def failed(self, error: BaseException) -> float:
        """To be called when ``error`` has ended the task: logs it (a repeated error at most every LOG_INTERVAL_S) and
        returns the seconds to wait before a restart, which double with each failure up to LONGEST_DELAY_S.
        """
        if self._is_healthy():
            self._failures = 0
        self._runs = False
        self.cause = f"{type(error).__name__}: {error}".rstrip(": ")
        delay_s = min(LONGEST_DELAY_S, FIRST_DELAY_S * (1 << min(self._failures, 16)))
        self._failures += 1
        self._log(error, delay_s)
        return delay_s

    def problem(self) -> str:
        """A sentence for ``/readyz`` that the task has failed; "" while it is healthy."""
        if not self.cause or self._is_healthy():
            return ""
        kind = self.cause.partition(":")[0]  # the rest may contain details that are not public
        return f"The task '{self.name}' ended with {kind} and is begun again; its log says why."

    def _is_healthy(self) -> bool:
        return self._runs and time.monotonic() - self._began_s > STABLE_S

    def _log(self, error: BaseException, delay_s: float) -> None:
        now_s = time.monotonic()
        facts = {"task": self.name, "reason": self.cause, "again_s": delay_s}
        if self.cause != self._logged_cause:
            log.error("task ended unforeseen, beginning it again", extra=facts, exc_info=error)
        elif now_s - self._logged_s < LOG_INTERVAL_S:
            return
        else:
            log.error("task still ends unforeseen", extra=facts)
        self._logged_cause, self._logged_s = self.cause, now_s


class Supervisor:
    """Runs threads, and restarts a thread that ends with an error, until ``stop`` is set."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._kept: list[Health] = []

    def start(self, name: str, work: Callable[[], object]) -> threading.Thread:
        """Run ``work`` in a daemon thread named ``name``, and return the thread.

        If ``work`` raises, it is called again after a delay, unless ``stop`` is set; if it returns, the thread ends.
        It must return soon after ``stop`` is set.
        """
        health = Health(name=name)
        self._kept.append(health)
        thread = threading.Thread(target=self._run, args=(health, work), name=name, daemon=True)
        thread.start()
        return thread

    def problems(self) -> list[str]:
        """A sentence for each task that is not healthy."""
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
