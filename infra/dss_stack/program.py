"""Starts and stops one program of this project as a process that continues after its terminal is closed."""

import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from dss_stack import processes

_STOP_TIMEOUT_S = 45
"""Longest wait in seconds for a program to end; longer than the 30 s that dispatchers and workers have to finish their
current work.
"""


@dataclass(frozen=True, kw_only=True)
class Program:
    """A program of the stack.  It runs the Python module ``module`` with ``arguments`` in the working folder
    ``folder``, by which its process is found again.

    ``ready`` returns True when the program can do its work; ``address`` is its address for users, or "".  It serves its
    metrics at ``metrics`` (host:port), which overrides the environment.
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
        """Start the program unless it already runs, and return its process.  Does not wait until it is ready."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        return self.process or processes.launch(
            [sys.executable, "-m", self.module, *self.arguments],
            folder=self.folder,
            log=self.log,
            environment={**environment, "DSS_METRICS_BIND": self.metrics},
        )

    def wait(self, process: psutil.Process) -> None:
        """Wait until the program is ready.  Raises StartFailed if it ends before that, or is not ready after
        ``start_timeout_s``.
        """
        processes.wait_until_ready(
            self.name,
            lambda: self.ready(process),
            process=process,
            log=self.log,
            timeout_s=self.start_timeout_s,
        )

    def stop(self) -> None:
        """Send SIGTERM and wait until the process has ended; kill it after _STOP_TIMEOUT_S."""
        if (process := self.process) is not None:
            processes.end(process, signal=signal.SIGTERM, timeout_s=_STOP_TIMEOUT_S)


def uptime_s(process: psutil.Process) -> float:
    """Seconds since the process was started."""
    return time.time() - process.create_time()
