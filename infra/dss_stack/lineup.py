"""The programs of the local stack and how they are started: a portal, a dispatcher for each service, an inference
worker.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from dss_stack import health
from dss_stack.ports import LOOPBACK
from dss_stack.program import Program
from dss_stack.wiring import Wiring

SERVICE = "lung-segmentation"
"""The service to which ``make up`` sends the sample CT."""

SERVICES = (SERVICE, "nodule-detection")
"""The services of the stack.  Each has the same name as the bundle that it runs."""


PORTS = (
    "portal",
    "portal-metrics",
    "inference-metrics",
    *(f"dispatch-{service}-metrics" for service in SERVICES),
)
"""Names of the ports that are chosen for the programs; each name begins with that of its program."""


@dataclass(frozen=True, kw_only=True)
class Lineup:
    """The programs that one local stack runs: a portal, the dispatchers and an inference worker."""

    portal: Program
    dispatchers: tuple[Program, ...]
    inference: Program

    @property
    def programs(self) -> tuple[Program, ...]:
        """All programs, in the order in which they must be stopped: a program is stopped before those that it needs."""
        return *self.dispatchers, self.inference, self.portal

    @property
    def targets(self) -> dict[str, list[str]]:
        """Addresses (host:port) that Prometheus scrapes, by kind of program."""
        return {
            "portal": [self.portal.metrics],
            "dispatch": [dispatcher.metrics for dispatcher in self.dispatchers],
            "inference": [self.inference.metrics],
        }


def lineup(state: Path, wiring: Wiring, ports: Mapping[str, int]) -> Lineup:
    """The programs of the stack in the folder ``state``, configured by ``wiring``, on ``ports``, by the names in PORTS."""

    def program(
        name: str,
        *arguments: str,
        queues: tuple[str, ...],
        module: str = "",
        address: str = "",
        url: str = "",
    ) -> Program:
        def ready(process: psutil.Process) -> bool:
            answers = not url or health.answers(url)
            return answers and all(_consumes(process, queue, wiring) for queue in queues)

        return Program(
            name=name,
            module=module or f"dss_{name}",
            arguments=arguments,
            folder=state / "run" / name,
            log=state / "log" / f"{name}.log",
            ready=ready,
            metrics=f"{LOOPBACK}:{ports[f'{name}-metrics']}",
            address=address,
        )

    return Lineup(
        portal=program(
            "portal",
            "serve",
            queues=("dss.portal.events",),
            address=wiring.public_url,
            url=f"http://{wiring.bind}/readyz",
        ),
        dispatchers=tuple(
            program(
                f"dispatch-{service}",
                "serve",
                service,
                queues=(f"dss.dispatch.{service}",),
                module="dss_dispatch",
            )
            for service in SERVICES
        ),
        inference=program(
            "inference", "serve", queues=tuple(f"dss.inference.{s}" for s in SERVICES)
        ),
    )


def _consumes(process: psutil.Process, queue: str, wiring: Wiring) -> bool:
    """True if ``queue`` has a consumer.  A broker that is not the stack's own cannot be asked; then True if ``process``
    is connected to it.
    """
    if wiring.console_url is None:
        return health.connected_to(process, wiring.amqp_url)
    user, password = wiring.console_user or "", wiring.console_password or ""
    return health.has_consumer(wiring.console_url, user, password, queue)
