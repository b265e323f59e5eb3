"""Messages that a real RabbitMQ refuses: each alone, and no other with it."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from dss_broker import messages as m
from dss_broker import topology
from dss_broker.broker import Delivery
from dss_broker.errors import MessageRefused
from dss_broker.rabbit import RabbitBroker
from support import brokers, loopback
from support.brokers import Node
from support.waiting import wait_until

pytestmark = [pytest.mark.stack]

SOON_S = 60.0
SERVICES = ("lung", "heart")

url = brokers.url


@pytest.fixture
def heard(url: str) -> Iterator[list[int]]:
    """The tickets that dispatchers of SERVICES hear of."""
    numbers: list[int] = []

    def hear(delivery: Delivery) -> None:
        assert isinstance(delivery.message, m.TicketReady)
        numbers.append(delivery.message.ticket_id)

    with closing(RabbitBroker(url, "dispatch", "1")) as dispatcher:
        for service in SERVICES:
            dispatcher.consume(topology.dispatch(service), hear)
        yield numbers


def ready(number: int, service: str = "lung") -> m.TicketReady:
    return m.TicketReady(ticket_id=number, service=service, service_hash="h")


def test_a_message_that_a_right_is_missing_for_holds_no_other(
    rabbit: Node, url: str, heard: list[int]
) -> None:
    """RabbitMQ answers it by closing the channel on which all others are."""
    with closing(RabbitBroker(url, "portal", "1")) as portal:
        portal.publish(ready(0)).result(SOON_S)
        _allow(rabbit, url, "^ticket.ready.lung$")

        sent = [portal.publish(ready(n, SERVICES[n % 3 == 0])) for n in range(1, 9)]
        refused = [future.exception(SOON_S) for future in sent]

        assert [n for n, error in enumerate(refused, 1) if error] == [3, 6]
        assert isinstance(refused[2], MessageRefused)
        assert refused[2].may_change
        wait_until(lambda: {0, 1, 2, 4, 5, 7, 8} <= set(heard))
        _allow(rabbit, url, ".*")
        portal.publish(ready(9, "heart")).result(SOON_S)

    wait_until(lambda: 9 in heard)
    assert not {3, 6} & set(heard)


def _allow(rabbit: Node, url: str, keys: str) -> None:
    vhost = url.rpartition("/")[2]
    right = {"exchange": topology.EXCHANGE, "write": keys, "read": ".*"}
    with loopback.client(
        base_url=rabbit.console_url, auth=(rabbit.user, rabbit.password)
    ) as console:
        console.put(f"/api/topic-permissions/{vhost}/{rabbit.user}", json=right).raise_for_status()
