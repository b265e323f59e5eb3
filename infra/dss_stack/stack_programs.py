"""The programs of the local stack and how they are started: a portal, a dispatcher for each service, an inference
worker.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from dss_stack import health
from dss_stack.addresses import Addresses
from dss_stack.ports import LOOPBACK
from dss_stack.program import Program

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
class StackPrograms:
    """The programs that one local stack runs: a portal, the dispatchers and an inference worker."""

    portal: Program
    dispatchers: tuple[Program, ...]
    inference: Program

    @property
    def in_stop_order(self) -> tuple[Program, ...]:
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


@dataclass(frozen=True, kw_only=True)
class _Builder:
    """Makes the programs of the stack in the folder ``state``; ``ports`` are by the names in PORTS."""

    state: Path
    addresses: Addresses
    ports: Mapping[str, int]

    def portal(self) -> Program:
        bind, address = self.addresses.bind, self.addresses.public_url
        queues = ("dss.portal.events",)
        ready_url = f"http://{bind}/readyz"
        return self._program(
            "portal", "dss_portal", "serve", queues=queues, address=address, ready_url=ready_url
        )

    def dispatcher(self, service: str) -> Program:
        queues = (f"dss.dispatch.{service}",)
        name = f"dispatch-{service}"
        return self._program(name, "dss_dispatch", "serve", service, queues=queues)

    def inference(self) -> Program:
        queues = tuple(f"dss.inference.{service}" for service in SERVICES)
        return self._program("inference", "dss_inference", "serve", queues=queues)

    def _program(
        self,
        name: str,
        module: str,
        *arguments: str,
        queues: tuple[str, ...],
        address: str = "",
        ready_url: str = "",
    ) -> Program:
        def ready(process: psutil.Process) -> bool:
            answers = not ready_url or health.answers(ready_url)
            return answers and all(_consumes(process, queue, self.addresses) for queue in queues)

        return Program(
            name=name,
            module=module,
            arguments=arguments,
            folder=self.state / "run" / name,
            log=self.state / "log" / f"{name}.log",
            ready=ready,
            metrics=f"{LOOPBACK}:{self.ports[f'{name}-metrics']}",
            address=address,
        )


def programs_of(state: Path, addresses: Addresses, ports: Mapping[str, int]) -> StackPrograms:
    """The programs of the stack in the folder ``state``, configured by ``addresses``, on ``ports``, by the names in PORTS."""
    builder = _Builder(state=state, addresses=addresses, ports=ports)
    return StackPrograms(
        portal=builder.portal(),
        dispatchers=tuple(builder.dispatcher(service) for service in SERVICES),
        inference=builder.inference(),
    )


def _consumes(process: psutil.Process, queue: str, addresses: Addresses) -> bool:
    """True if ``queue`` has a consumer.  A broker that is not the stack's own cannot be asked; then True if ``process``
    is connected to it.
    """
    if addresses.console_url is None:
        return health.connected_to(process, addresses.amqp_url)
    user, password = addresses.console_user or "", addresses.console_password or ""
    return health.has_consumer(addresses.console_url, user, password, queue)
