"""One program of ours as a process that outlives the terminal."""

import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from dss_stack import processes

_STOP_TIMEOUT_S = 45
"""Dispatchers and workers finish what is in hand, for up to 30 s."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """``module`` with ``arguments``, in a working ``folder`` of its own, by which it is found again.

    ``ready`` is asked whether it can do its work; ``address`` is where people find it, or "".  It
    serves its metrics at ``metrics`` (host:port), whatever the environment says about that.
    """

    name: str
    module: str
    arguments: tuple[str, ...]
    folder: Path
    log: Path
    ready: Callable[[psutil.Process], bool]
    metrics: str
    address: str = ""
    start_timeout_s: float = 60

    @property
    def process(self) -> psutil.Process | None:
        return next(iter(processes.working_in(self.folder, self.module)), None)

    def launch(self, environment: Mapping[str, str]) -> psutil.Process:
        """Start it unless it runs already; does not wait for it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        return self.process or processes.launch(
            [sys.executable, "-m", self.module, *self.arguments],
            folder=self.folder,
            log=self.log,
            environment={**environment, "DSS_METRICS_BIND": self.metrics},
        )

    def wait(self, process: psutil.Process) -> None:
        """Return when it can do its work.  Raises StartFailed."""
        processes.wait_until_ready(
            self.name,
            lambda: self.ready(process),
            process=process,
            log=self.log,
            timeout_s=self.start_timeout_s,
        )

    def stop(self) -> None:
        """Return when it has ended, having finished what was in its hands if that did not take long."""
        if (process := self.process) is not None:
            processes.end(process, signal=signal.SIGTERM, timeout_s=_STOP_TIMEOUT_S)


def uptime_s(process: psutil.Process) -> float:
    return time.time() - process.create_time()
