"""Real programs end and are killed: who looks at the site, or waits for a ticket, is told in time."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from dss_client.itksnap import ItkSnap
from dss_client.records import Detail
from dss_client.sending import send
from dss_portal.services.liveness import SENTENCES, MissingProgram
from dss_stack.postgres import PostgresCluster
from dss_stack.rabbitmq import RabbitNode
from support import loopback
from support.sites import ROOT, new_ticket, whole_stack
from support.stacks import Stack
from support.waiting import wait_until
from support.watchers import Quiet

pytestmark = [pytest.mark.stack]

LUNGS = "lung-segmentation"
DEAD_S, TOLD_S, AT_ONCE_S = 15, 60, 4
NO_WORKER = "No inference worker serves 'lung-segmentation' at present."
NODULES = "nodule-detection"
NOBODY = f"Nobody serves '{NODULES}' at present."
NODULES_PROGRAM = ("dss_dispatch", "serve", NODULES)


class Town:
    """What the site shows of its programs."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.client = loopback.client(base_url=stack.url, timeout=30)
        self.client.post("/api/login", data={"token": stack.token(ROOT, "--sysadmin")})

    def shows(self, page: str, words: str) -> bool:
        return words in self.client.get(page).text

    def ready(self, program: str = "portal") -> str:
        return loopback.get(f"http://127.0.0.1:{self.stack.health_ports[program]}/readyz").text

    def gauge(self, name: str, **labels: str) -> float | None:
        port = self.stack.health_ports["portal"]
        exposed = loopback.get(f"http://127.0.0.1:{port}/metrics").text
        series = name + "{" + ",".join(f'{k}="{v}"' for k, v in labels.items()) + "}"
        found = re.search(rf"^{re.escape(series)} (\S+)", exposed, re.MULTILINE)
        return float(found[1]) if found else None

    def told(self, ticket: int) -> list[MissingProgram]:
        """Who is missed, as the ticket's log tells it in turn."""
        answer = self.client.get(f"/api/tickets/{ticket}/log", params={"format": "json"})
        lines = [line["message"] for line in answer.json()["result"]]
        return [missed for line in lines for missed, said in SENTENCES.items() if line == said]

    def listed(self, service: str) -> str:
        """The sentence that ``dss services`` and ``dss send`` show before anything is sent."""
        with ItkSnap(self.stack.url) as user:
            user.login(self.stack.token("bob@example.com"))
            (row,) = [row for row in user.services() if row.name == service]
            return user.service_estimates()[row.githash]

    def sends(self, scan: Path) -> int:
        """A ticket with a scan, on its way to a worker."""
        with ItkSnap(self.stack.url) as user:
            user.login(self.stack.token("ann@example.com", "--tier", "poweruser"))
            sent = Submitted()
            with suppress(Submitted):
                send(user, scan, LUNGS, None, sent)
        return sent.number


class Submitted(Quiet, Exception):
    """Raised at the first look at the ticket, which is submitted then; ``number`` is its own."""

    number = 0

    def created(self, ticket: int) -> None:
        self.number = ticket

    def polled(self, detail: Detail) -> None:
        raise self


@pytest.fixture
def town(rabbit: RabbitNode, postgres: PostgresCluster, tmp_path: Path) -> Iterator[Town]:
    with whole_stack(rabbit, postgres, tmp_path) as stack:
        stack.start_one("nodules", *NODULES_PROGRAM)
        found = Town(stack)
        wait_until(lambda: NODULES in stack.announced(), 60, stack.logs)
        wait_until(lambda: found.ready() == found.ready("dispatch") == "ok", 30, stack.logs)
        with closing(found.client):
            yield found


def within(town: Town, since_s: float, seconds: float, *facts: Callable[[], bool]) -> None:
    """Every one of ``facts`` holds within ``seconds`` of ``since_s``."""
    for fact in facts:
        wait_until(fact, max(1.0, since_s + seconds - time.monotonic()), town.stack.logs)


def test_programs_that_are_killed_or_end_are_shown_so_and_owners_are_told(
    town: Town, scan: Path
) -> None:
    assert town.shows("/admin", "<b>1</b> worker at work")  # of two bundles

    town.stack.kill("inference")
    town.stack.kill("nodules")

    killed_s = time.monotonic()
    wants_nodules = new_ticket(town.client, NODULES)
    wants_lungs = town.sends(scan)
    within(
        town,
        killed_s,
        DEAD_S,
        lambda: town.shows("/services", "No inference worker serves this at present"),
        lambda: town.shows("/services", "Nobody serves this at present"),
        lambda: town.shows("/admin", "<b>0</b> workers at work"),
        lambda: town.ready() == f"ok\n{NO_WORKER}\n{NOBODY}",
        lambda: town.ready("dispatch") == f"No inference worker is at work for '{LUNGS}'.",
        lambda: town.gauge("dss_workers", bundle=LUNGS) == 0,
        lambda: town.gauge("dss_dispatchers", service=NODULES) == 0,
    )
    within(
        town,
        killed_s,
        TOLD_S,
        lambda: town.told(wants_nodules) == [MissingProgram.DISPATCHER],
        lambda: town.told(wants_lungs) == [MissingProgram.WORKER],
        lambda: town.listed(LUNGS) == SENTENCES[MissingProgram.WORKER],
        lambda: town.listed(NODULES) == SENTENCES[MissingProgram.DISPATCHER],
    )

    town.stack.start_one("nodules", *NODULES_PROGRAM)
    town.stack.start_one("inference")

    within(
        town,
        time.monotonic(),
        60,
        lambda: town.told(wants_nodules) == [MissingProgram.DISPATCHER, MissingProgram.NONE],
        lambda: town.told(wants_lungs) == [MissingProgram.WORKER, MissingProgram.NONE],
        lambda: town.ready() == town.ready("dispatch") == "ok",
    )
    town.stack.running["inference"].terminate()
    town.stack.running["nodules"].terminate()

    within(
        town,
        time.monotonic(),
        AT_ONCE_S,
        lambda: town.ready() == f"ok\n{NO_WORKER}\n{NOBODY}",
        lambda: town.ready("dispatch") == f"No inference worker is at work for '{LUNGS}'.",
        lambda: town.shows("/services", "Ended"),
        lambda: town.gauge("dss_workers", bundle=LUNGS) == 0,
    )
