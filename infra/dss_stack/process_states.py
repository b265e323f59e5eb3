"""The state of each server and program of the local stack."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil

from dss_stack import health
from dss_stack.program import Program


class Server(Protocol):
    """A server that the stack starts and stops: RabbitMQ, PostgreSQL or Prometheus."""

    log: Path

    @property
    def process(self) -> psutil.Process | None: ...
    def ready(self) -> bool: ...
    def stop(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class ProcessState:
    """The state of one process of the stack.  ``process`` is None if it does not run.

    ``address`` is its address for users, ``metrics`` that for Prometheus; "" for none.  ``missing`` is the sentence
    with which a running process says why it is not ready; "" if it is ready.
    """

    name: str
    process: psutil.Process | None
    healthy: bool
    address: str
    metrics: str = ""
    missing: str = ""


def state_of(program: Program) -> ProcessState:
    process = program.process
    healthy = process is not None and program.ready(process)
    unhealthy = process is not None and not healthy
    return ProcessState(
        name=program.name,
        process=process,
        healthy=healthy,
        address=program.address,
        metrics=program.metrics,
        missing=health.reason_not_ready(program.metrics) if unhealthy else "",
    )
