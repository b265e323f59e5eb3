"""Programs that start before their servers, and servers that go away: real programs, real servers."""

import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from dss_broker import topology
from dss_broker.broker import Delivery
from dss_broker.messages import ClaimLogged, TicketReady
from dss_broker.rabbit import RabbitBroker
from dss_observability.serving import BROKER_AWAY
from dss_stack.postgres import PostgresCluster
from dss_stack.rabbitmq import RabbitNode
from support import loopback
from support.brokers import fresh_vhost
from support.databases import migrated_database
from support.sites import Site, new_ticket
from support.stacks import Stack
from support.waiting import wait_until
from support.wire import Wire

pytestmark = [pytest.mark.stack]

SERVICE = "lung-segmentation"
SOON_S = 30.0
AWAY = "The database of this service does not answer; please try again in a minute."


@dataclass
class Town:
    """Programs behind two wires that may be cut."""

    site: Site
    to_rabbit: Wire
    to_postgres: Wire
    amqp_url: str

    @property
    def stack(self) -> Stack:
        return self.site.stack

    def health(self, program: str, path: str) -> str:
        """What the operators' port says; "" while nobody listens there."""
        port = self.stack.health_ports[program]
        try:
            return loopback.get(f"http://127.0.0.1:{port}{path}", timeout=20).text
        except httpx.TransportError:
            return ""

    def answers(self, path: str) -> int:
        try:
            return loopback.get(f"{self.stack.url}{path}", timeout=20).status_code
        except httpx.TransportError:
            return 0

    def told(self, program: str) -> str:
        return (self.stack.folder / f"{program}.log").read_text(encoding="utf-8")


@pytest.fixture
def town(rabbit: RabbitNode, postgres: PostgresCluster, tmp_path: Path) -> Iterator[Town]:
    """A migrated database and a service; no program runs."""
    database_url = migrated_database(postgres.database_url, "outage")
    with fresh_vhost(rabbit) as amqp_url:
        to_rabbit, to_postgres = Wire(amqp_url), Wire(database_url)
        stack = Stack(folder=tmp_path, amqp_url=to_rabbit.url, database_url=to_postgres.url)
        (stack.datastore / "tickets").mkdir(parents=True)  # as the portal does
        town = Town(Site(stack=stack), to_rabbit, to_postgres, amqp_url)
        town.site.offer(tmp_path, "dss")
        try:
            yield town
        finally:
            to_rabbit.mend()
            to_postgres.mend()
            stack.stop()
            to_rabbit.close()
            to_postgres.close()


def test_a_portal_without_its_broker_reads_takes_uploads_and_catches_up(town: Town) -> None:
    town.to_rabbit.cut()
    town.stack.start_one("portal")
    wait_until(lambda: town.answers("/healthz") == 200, SOON_S, town.stack.logs)
    assert loopback.get(f"{town.stack.url}/readyz").text == BROKER_AWAY

    with town.site.program("ann@example.com") as ann:
        assert SERVICE in ann.get("/api/services").text
        ticket = new_ticket(ann)
        assert ann.get(f"/api/tickets/{ticket}/status").text == "ready"
        got: list[Delivery] = []
        dispatcher = RabbitBroker(town.amqp_url, "dispatch", "outage")
        dispatcher.consume(topology.dispatch(SERVICE), got.append)

        town.to_rabbit.mend()

        wait_until(lambda: bool(got), SOON_S, town.stack.logs)
        assert [_ticket(delivery) for delivery in got] == [ticket]
        dispatcher.close()
    wait_until(lambda: town.answers("/readyz") == 200, SOON_S, town.stack.logs)
    assert town.told("portal").count("no connection to RabbitMQ") == 1


def test_a_portal_without_its_database_says_so_and_recovers_by_itself(town: Town) -> None:
    town.to_postgres.cut()
    town.stack.start_one("portal")
    wait_until(lambda: town.answers("/healthz") == 200, SOON_S, town.stack.logs)

    answer = loopback.post(f"{town.stack.url}/api/login", data={"token": "x"}, timeout=20)
    assert (answer.status_code, answer.text) == (503, AWAY)
    assert "The database does not answer." in loopback.get(f"{town.stack.url}/readyz").text

    town.to_postgres.mend()
    wait_until(lambda: town.answers("/readyz") == 200, SOON_S, town.stack.logs)
    with town.site.program("ann@example.com") as ann:
        assert SERVICE in ann.get("/api/services").text

        town.to_postgres.cut()
        wait_until(lambda: ann.get("/api/services").status_code == 503, SOON_S, town.stack.logs)
        assert ann.get("/api/services").text == AWAY

        town.to_postgres.mend()
        wait_until(lambda: ann.get("/api/services").status_code == 200, SOON_S, town.stack.logs)
    assert "Traceback" not in town.told("portal")


def test_events_that_meet_a_database_outage_and_a_stop_are_not_parked(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DSS_STOP_S", "2")
    town.stack.start_one("portal")
    wait_until(lambda: town.answers("/readyz") == 200, SOON_S, town.stack.logs)
    with town.site.program("ann@example.com") as ann:
        ticket = new_ticket(ann)
    dispatcher = RabbitBroker(town.amqp_url, "dispatch", "outage")
    town.to_postgres.cut()
    event = ClaimLogged(ticket_id=ticket, claim_id="c", level="info", text="One.")
    dispatcher.publish(event).result(15)
    wait_until(lambda: "message waits" in town.told("portal"), SOON_S, town.stack.logs)

    portal = town.stack.running.pop("portal")
    portal.send_signal(signal.SIGTERM)

    assert portal.wait(60) == 0
    with dispatcher.dead_letters() as session:
        assert session.letters == []
    town.to_postgres.mend()
    town.stack.start_one("portal")
    wait_until(lambda: "event of an old claim ignored" in town.told("portal"), SOON_S)
    dispatcher.close()


@pytest.mark.parametrize("program", ["dispatch", "inference"])
def test_a_program_that_starts_before_its_broker_waits_for_it(town: Town, program: str) -> None:
    town.to_rabbit.cut()
    town.stack.start_one(program)
    wait_until(lambda: town.health(program, "/healthz") == "ok", 60, town.stack.logs)
    assert town.health(program, "/readyz") == BROKER_AWAY
    time.sleep(3)  # long enough for several tries
    assert town.told(program).count("no connection to RabbitMQ") == 1

    town.to_rabbit.mend()

    wait_until(lambda: town.health(program, "/readyz") == "ok", SOON_S, town.stack.logs)
    wait_until(lambda: "serving" in town.told(program), SOON_S, town.stack.logs)


@pytest.mark.parametrize("program", ["portal", "dispatch", "inference"])
def test_a_program_that_waits_for_its_broker_can_be_stopped(town: Town, program: str) -> None:
    town.to_rabbit.cut()
    town.stack.start_one(program)
    wait_until(lambda: town.health(program, "/healthz") == "ok", 60, town.stack.logs)

    waiting = town.stack.running.pop(program)
    waiting.send_signal(signal.SIGTERM)

    assert waiting.wait(15) == 0


def _ticket(delivery: Delivery) -> int:
    assert isinstance(delivery.message, TicketReady)
    return delivery.message.ticket_id
