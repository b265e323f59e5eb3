"""RabbitMQ refuses a program: the log and /readyz say what, and it goes on when that is mended."""

import threading
from collections.abc import Iterator
from contextlib import closing
from typing import NamedTuple
from urllib.parse import quote
from uuid import uuid4

import httpx
import pytest

from dss_broker import messages as m
from dss_broker import topology
from dss_broker.errors import BrokerRefuses
from dss_broker.rabbit import RabbitBroker
from dss_broker.rabbit import broker as rabbit_broker
from support import loopback
from support.brokers import Node, fresh_vhost
from support.waiting import wait_until

pytestmark = [pytest.mark.stack]


class Place(NamedTuple):
    """A virtual host of its own, and the console of its node."""

    admin: str
    console: httpx.Client

    @property
    def vhost(self) -> str:
        return self.admin.rpartition("/")[2]

    def url(self, user: str, password: str, vhost: str = "") -> str:
        host = self.admin.rpartition("@")[2].rpartition("/")[0]
        return f"amqp://{user}:{quote(password, safe='')}@{host}/{vhost or self.vhost}"

    def user(self, name: str, password: str) -> None:
        body = {"password": password, "tags": ""}
        self.console.put(f"/api/users/{name}", json=body).raise_for_status()

    def allow(self, name: str, *, configure: str = ".*", write: str = ".*") -> None:
        body = {"configure": configure, "write": write, "read": ".*"}
        self.console.put(f"/api/permissions/{self.vhost}/{name}", json=body).raise_for_status()


@pytest.fixture
def place(rabbit: Node) -> Iterator[Place]:
    auth = (rabbit.user, rabbit.password)
    with (
        fresh_vhost(rabbit) as admin,
        loopback.client(base_url=rabbit.console_url, auth=auth, timeout=60) as console,
    ):
        yield Place(admin, console)


@pytest.fixture
def bob(place: Place) -> str:
    name = f"bob{uuid4().hex[:6]}"
    place.user(name, "right")
    return name


def says(broker: RabbitBroker, sentence: str) -> None:
    wait_until(lambda: broker.problem.startswith(sentence))


def test_a_wrong_password(place: Place, bob: str, caplog: pytest.LogCaptureFixture) -> None:
    place.allow(bob)
    with closing(RabbitBroker(place.url(bob, "wr/ong"), "dispatch", "1")) as broker:
        sentence = f"RabbitMQ refuses the user '{bob}' or the password in DSS_AMQP_URL."

        says(broker, sentence)

        logged = [record.__dict__.get("reason") for record in caplog.records]
        assert logged.count(sentence) == 1
        assert "wr/ong" not in caplog.text
        place.user(bob, "wr/ong")  # mended at the server
        wait_until(lambda: broker.problem == "")


def test_a_virtual_host_that_is_not_there(place: Place, bob: str) -> None:
    with closing(RabbitBroker(place.url(bob, "right", "absent"), "dispatch", "1")) as broker:
        says(broker, "RabbitMQ has no virtual host 'absent', which DSS_AMQP_URL names.")


def test_a_virtual_host_that_the_user_may_not_enter(place: Place, bob: str) -> None:
    with closing(RabbitBroker(place.url(bob, "right"), "dispatch", "1")) as broker:
        says(broker, f"RabbitMQ does not let the user '{bob}' of DSS_AMQP_URL into")

        place.allow(bob)

        wait_until(lambda: broker.problem == "")


@pytest.mark.parametrize("lacking", ["configure", "write"])
def test_a_right_that_is_missing(place: Place, bob: str, lacking: str) -> None:
    place.allow(bob, **{lacking: "^$"})
    broker = RabbitBroker(place.url(bob, "right"), "dispatch", "1")
    with closing(broker):
        says(broker, f"RabbitMQ refuses the user '{bob}' of DSS_AMQP_URL a right that the program")
        assert "ACCESS_REFUSED - access to" in broker.problem

        place.allow(bob)

        wait_until(lambda: broker.problem == "")


def test_a_queue_that_a_program_may_not_read(place: Place, bob: str) -> None:
    body = {"configure": ".*", "write": ".*", "read": r"^dss\.(tickets|replies|dead.*|retry.*)$"}
    place.console.put(f"/api/permissions/{place.vhost}/{bob}", json=body).raise_for_status()
    with closing(RabbitBroker(place.url(bob, "right"), "portal", "1")) as broker:
        consuming = threading.Thread(
            target=broker.consume, args=(topology.dispatch("lung"), lambda _: None), daemon=True
        )
        consuming.start()
        says(broker, f"RabbitMQ refuses the user '{bob}' of DSS_AMQP_URL a right that the program")

        place.allow(bob)

        wait_until(lambda: broker.problem == "")
        consuming.join(10)


def test_an_operator_reads_the_same_of_dead_letters(place: Place, bob: str) -> None:
    with (
        closing(RabbitBroker(place.url(bob, "wrong"), "portal", "1")) as broker,
        pytest.raises(BrokerRefuses, match="or the password in DSS_AMQP_URL"),
        broker.dead_letters(),
    ):
        pass


def test_bindings_and_exchanges_that_were_removed_are_made_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rabbit_broker, "BIND_S", 0.3)
    heard: list[m.Message] = []
    ready = m.TicketReady(ticket_id=1, service="lung", service_hash="h")
    with (
        closing(RabbitBroker(place.admin, "dispatch", "1")) as dispatch,
        closing(RabbitBroker(place.admin, "portal", "1")) as portal,
    ):
        dispatch.consume(topology.dispatch("lung"), lambda d: heard.append(d.message))
        dispatch.consume(topology.withdrawn("dispatch"), lambda d: heard.append(d.message))
        wait_until(lambda: portal.connected)
        exchange = f"/api/exchanges/{place.vhost}/{topology.EXCHANGE}"
        place.console.delete(exchange).raise_for_status()  # and every binding with it

        wait_until(lambda: _bound(place) == {"ticket.ready.lung", "ticket.withdrawn.*"})

        portal.publish(ready).result(15)
        portal.publish(m.TicketWithdrawn(ticket_id=1, service="lung")).result(15)
        wait_until(lambda: len(heard) == 2)


def _bound(place: Place) -> set[str]:
    found = place.console.get(f"/api/exchanges/{place.vhost}/{topology.EXCHANGE}/bindings/source")
    return {row["routing_key"] for row in found.json()} if found.is_success else set()
