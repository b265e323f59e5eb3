"""Our three programs, as the local stack runs them: one of each."""

from dataclasses import dataclass
from pathlib import Path

import psutil

from dss_stack import health
from dss_stack.program import Program
from dss_stack.wiring import Wiring

SERVICE = "lung-segmentation"
"""The service that the stack offers, and the name of the bundle behind it."""


@dataclass(frozen=True, kw_only=True)
class Lineup:
    portal: Program
    dispatch: Program
    inference: Program

    @property
    def programs(self) -> tuple[Program, ...]:
        """In the order in which they are to be stopped: none loses whom it talks with."""
        return self.dispatch, self.inference, self.portal


def lineup(state: Path, wiring: Wiring) -> Lineup:
    """The programs of the stack in ``state``, wired as ``wiring`` says."""

    def program(
        name: str, *arguments: str, queue: str, address: str = "", url: str = ""
    ) -> Program:
        def ready(process: psutil.Process) -> bool:
            return (not url or health.answers(url)) and _consumes(process, queue, wiring)

        return Program(
            name=name,
            module=f"dss_{name}",
            arguments=arguments,
            folder=state / "run" / name,
            log=state / "log" / f"{name}.log",
            ready=ready,
            address=address,
        )

    return Lineup(
        portal=program(
            "portal",
            "serve",
            queue="dss.portal.events",
            address=wiring.public_url,
            url=f"http://{wiring.bind}/readyz",
        ),
        dispatch=program("dispatch", "serve", SERVICE, queue=f"dss.dispatch.{SERVICE}"),
        inference=program("inference", "serve", queue=f"dss.inference.{SERVICE}"),
    )


def _consumes(process: psutil.Process, queue: str, wiring: Wiring) -> bool:
    """True if ``queue`` has a consumer; for a broker not ours, if ``process`` is connected to it."""
    if wiring.console_url is None:
        return health.connected_to(process, wiring.amqp_url)
    user, password = wiring.console_user or "", wiring.console_password or ""
    return health.has_consumer(wiring.console_url, user, password, queue)
