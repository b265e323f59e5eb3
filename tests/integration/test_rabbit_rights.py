"""The users of ``dss_broker.rights`` on a real RabbitMQ: what they need works, the rest is refused."""

import json
import subprocess
import sys
from collections.abc import Callable

import pika  # no py.typed
import pytest
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import ChannelClosedByBroker

from dss_broker import topology
from dss_broker.rights import definitions
from dss_stack.rabbitmq import RabbitNode
from support import loopback, rights
from support.rights import PASSWORDS, Urls

pytestmark = pytest.mark.stack

ACCESS_REFUSED = 403

urls = rights.urls
brokers = rights.brokers


def publishes(exchange: str, key: str) -> Callable[[BlockingChannel], object]:
    return lambda channel: channel.basic_publish(exchange, key, b"{}")


def reads(queue: str) -> Callable[[BlockingChannel], object]:
    return lambda channel: channel.basic_get(queue)


def listens(key: str) -> Callable[[BlockingChannel], object]:
    def bind(channel: BlockingChannel) -> None:
        queue = "dss.inference.withdrawn.spy"
        channel.queue_declare(queue, exclusive=True)
        channel.queue_bind(queue, topology.EXCHANGE, key)

    return bind


TICKETS, REPLIES = topology.EXCHANGE, topology.REPLY_EXCHANGE
DEATHS = topology.DEATH_EXCHANGE


@pytest.mark.parametrize(
    ("user", "act"),
    [
        pytest.param("dss-dispatch", reads("dss.portal.events"), id="dispatch reads events"),
        pytest.param("dss-dispatch", reads("dss.portal.claims"), id="dispatch reads claims"),
        pytest.param(
            "dss-dispatch", publishes(TICKETS, "ticket.ready.lung"), id="dispatch submits"
        ),
        pytest.param("dss-dispatch", publishes("", "dss.inference.lung"), id="dispatch goes past"),
        pytest.param(
            "dss-dispatch",
            publishes(TICKETS, "claim.event.LeaseOverdue"),
            id="dispatch ends claims",
        ),
        pytest.param(
            "dss-dispatch",
            publishes(REPLIES, "dss.replies.dispatch.1"),
            id="dispatch grants itself",
        ),
        pytest.param(
            "dss-inference", publishes(TICKETS, "claim.event.ClaimSucceeded"), id="worker succeeds"
        ),
        pytest.param("dss-inference", publishes(TICKETS, "ticket.ready.x"), id="worker submits"),
        pytest.param("dss-inference", publishes("", "dss.portal.events"), id="worker goes past"),
        pytest.param("dss-inference", reads("dss.dispatch.lung"), id="worker reads tickets"),
        pytest.param("dss-inference", listens("claim.event.*"), id="worker overhears events"),
        pytest.param("dss-inference", listens("#"), id="worker overhears everything"),
        pytest.param("dss-dispatch", publishes(TICKETS, "results.check"), id="dispatch asks"),
        pytest.param("dss-inference", listens("results.check"), id="worker overhears checks"),
        pytest.param(
            "dss-inference", publishes(REPLIES, "dss.replies.portal.1"), id="worker judges"
        ),
        pytest.param(
            "dss-dispatch",
            publishes(DEATHS, "dss.deaths.inference.x.begun"),
            id="dispatch blames requests",
        ),
        pytest.param(
            "dss-inference",
            publishes(DEATHS, "dss.deaths.dispatch.x.begun"),
            id="worker blames tickets",
        ),
        pytest.param("dss-portal", reads("dss.inference.lung"), id="portal reads requests"),
        pytest.param("dss-portal", publishes(TICKETS, "inference.run.lung"), id="portal infers"),
        pytest.param("dss-monitor", publishes(TICKETS, "ticket.ready.lung"), id="monitor submits"),
        pytest.param("dss-monitor", publishes("", "dss.portal.events"), id="monitor goes past"),
        pytest.param("dss-monitor", reads("dss.portal.events"), id="monitor reads"),
    ],
)
@pytest.mark.usefixtures("brokers")
def test_what_is_not_its_part_is_refused(
    urls: Urls, user: str, act: Callable[[BlockingChannel], object]
) -> None:
    with pika.BlockingConnection(pika.URLParameters(urls[user])) as connection:
        channel = connection.channel()
        channel.confirm_delivery()

        with pytest.raises(ChannelClosedByBroker) as refused:
            act(channel)

    assert refused.value.reply_code == ACCESS_REFUSED


def test_the_monitor_sees_the_console_and_the_programs_do_not(
    rabbit: RabbitNode, urls: Urls
) -> None:
    def status(user: str) -> int:
        auth = (user, PASSWORDS[user])
        return loopback.get(f"{rabbit.console_url}/api/overview", auth=auth).status_code

    assert {user: status(user) for user in urls} == {
        "dss-portal": 401,
        "dss-dispatch": 401,
        "dss-inference": 401,
        "dss-monitor": 200,
    }


def test_an_operator_gets_definitions_and_addresses() -> None:
    command = [sys.executable, "-m", "dss_broker", "--vhost", "dss", "--host", "rabbit:5672"]

    done = subprocess.run(command, check=True, capture_output=True, encoding="utf-8")

    made = json.loads(done.stdout)
    secrets = {user["name"]: user["password"] for user in made["users"]}
    assert made == definitions(secrets, "dss")
    assert f"amqp://dss-portal:{secrets['dss-portal']}@rabbit:5672/dss" in done.stderr
