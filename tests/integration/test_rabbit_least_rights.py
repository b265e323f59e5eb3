"""With least rights a ticket goes its whole way, and deaths are counted."""

import logging
from dataclasses import replace
from threading import Event
from urllib.parse import quote

import pytest

from dss_broker import messages as m
from dss_broker import topology
from dss_broker.broker import Delivery
from dss_broker.rabbit import RabbitBroker
from dss_stack.rabbitmq import RabbitNode
from support import loopback, rights
from support.brokers import fresh_vhost
from support.rights import SOON_S, Brokers, Urls, load_rights
from support.waiting import wait_until

pytestmark = pytest.mark.stack
READY = m.TicketReady(ticket_id=7, service="lung", service_hash="h")
RUN = m.RunInference(
    ticket_id=7, claim_id="c", bundle="lung", image_path="i", output_dir="o", parameters={}
)
CLAIM = m.ClaimTicket(ticket_id=7, service="lung", provider="dss", instance="1", delivery_id="d")
CHECK = m.CheckResults(
    ticket_id=7, claim_id="c", results_dir="r", input_dir="i", names=("a",), patience_s=SOON_S
)
COUNTED = topology.Subscription(queue="dss.portal.counted", keys=("claim.requested.counted",))

urls = rights.urls
brokers = rights.brokers


def test_a_ticket_goes_its_whole_way_with_least_rights(brokers: Brokers) -> None:
    portal, dispatch, inference = (brokers[p] for p in ("portal", "dispatch", "inference"))
    withdrawn, alive, replies = Event(), Event(), []

    def work(_: Delivery) -> None:
        for request in (CLAIM, RUN):
            conversation = dispatch.request(request)
            replies.append(type(conversation.next(SOON_S)))
            conversation.close()
        dispatch.publish(m.ClaimFailed(ticket_id=7, claim_id="c", reason="no")).result(SOON_S)

    dispatch.consume(topology.withdrawn("dispatch"), lambda _: withdrawn.set())
    dispatch.consume(topology.workers("dispatch", "lung"), lambda _: alive.set())
    dispatch.consume(topology.dispatch("lung"), work)
    announced = m.ServiceAnnounced(service="lung", provider="p", instance="1", descriptor={})
    dispatch.publish(announced).result(SOON_S)
    here = m.WorkerAnnounced(bundle="lung", instance="1", device="cpu")
    inference.publish(here).result(SOON_S)

    portal.publish(READY).result(SOON_S)
    portal.publish(m.LeaseOverdue(ticket_id=7, claim_id="c")).result(SOON_S)
    portal.publish(m.TicketWithdrawn(ticket_id=7, service="lung")).result(SOON_S)

    assert withdrawn.wait(SOON_S)
    assert alive.wait(SOON_S)
    assert dispatch.stop_consuming(SOON_S)
    assert replies == [m.ClaimGranted, m.InferenceFailed]
    with portal.dead_letters() as session:
        assert not list(session.letters)


def test_results_are_checked_with_least_rights(urls: Urls, brokers: Brokers) -> None:
    def accept(delivery: Delivery) -> None:
        delivery.reply(m.ResultsAccepted(ticket_id=7, claim_id="c"))

    checker = RabbitBroker(urls["dss-dispatch"], "dispatch", "2")
    checker.consume(topology.RESULT_CHECKS, accept)
    conversation = brokers["portal"].request(CHECK)

    assert conversation.next(SOON_S) == m.ResultsAccepted(ticket_id=7, claim_id="c")
    conversation.close()
    checker.close()


@pytest.mark.parametrize(
    "case",
    [
        ("portal", COUNTED, replace(CLAIM, service="counted")),
        ("dispatch", topology.RESULT_CHECKS, CHECK),
        ("dispatch", topology.dispatch("counted"), replace(READY, service="counted")),
        ("inference", topology.inference("counted"), replace(RUN, bundle="counted")),
    ],
)
@pytest.mark.usefixtures("brokers")
def test_deaths_are_counted_with_least_rights(
    rabbit: RabbitNode,
    urls: Urls,
    caplog: pytest.LogCaptureFixture,
    case: tuple[str, topology.Subscription, m.Message],
) -> None:
    program, subscription, message = case
    deaths: list[int] = []
    own = RabbitBroker(urls[f"dss-{program}"], program, "2")
    everything = f"{rabbit.amqp_url.rpartition('/')[0]}/{urls[f'dss-{program}'].rpartition('/')[2]}"
    sender = RabbitBroker(everything, "dispatch", "sender")
    try:

        def die(delivery: Delivery) -> None:
            deaths.append(delivery.deliveries)
            raise SystemExit

        own.consume(subscription, die)
        sender.request(message)

        wait_until(lambda: "message given up" in caplog.text)
        assert len(deaths) == topology.DEATH_LIMIT + 1
        assert "without a count" not in caplog.text
    finally:
        own.close()
        sender.close()


def test_a_user_without_the_right_to_count_deaths_works_on_and_says_so(
    rabbit: RabbitNode, caplog: pytest.LogCaptureFixture
) -> None:
    """As after an upgrade, until the operator has loaded the rights anew."""
    begun: list[int] = []
    with fresh_vhost(rabbit) as everything:
        vhost = everything.rpartition("/")[2]
        old = {"configure": r"^dss\.(?!deaths).*", "write": ".*", "read": ".*"}
        address = f"{rabbit.console_url}/api/permissions/{vhost}/{quote(rabbit.user)}"
        auth = (rabbit.user, rabbit.password)
        loopback.put(address, json=old, auth=auth).raise_for_status()

        def interrupted_twice(delivery: Delivery) -> None:
            begun.append(delivery.deliveries)
            if len(begun) < 3:
                raise SystemExit

        broker = RabbitBroker(everything, "dispatch", "1")
        try:
            broker.consume(topology.dispatch("lung"), interrupted_twice)
            broker.publish(READY).result(SOON_S)

            wait_until(lambda: len(begun) == 3)
            assert broker.stop_consuming(SOON_S)
            assert "deaths of programs cannot be counted" in caplog.text
            assert "handled without a count of deaths" in caplog.text
        finally:
            broker.close()


def test_a_program_that_starts_before_the_first_portal_waits_with_one_warning(
    rabbit: RabbitNode, caplog: pytest.LogCaptureFixture
) -> None:
    with fresh_vhost(rabbit) as admin, caplog.at_level(logging.DEBUG, "dss_broker"):
        urls = load_rights(rabbit, admin)
        dispatch = RabbitBroker(urls["dss-dispatch"], "dispatch", "1")
        told = "RabbitMQ refuses this program, trying again"
        try:
            wait_until(lambda: [r.msg for r in caplog.records].count(told) >= 4)
            refusals = [record for record in caplog.records if record.msg == told]
            pauses_s = [vars(record)["retry_s"] for record in refusals]
            assert pauses_s == sorted(pauses_s)
            assert [record.levelno for record in refusals[:2]] == [logging.WARNING, logging.DEBUG]
            assert "A portal creates them when it starts" in dispatch.problem

            portal = RabbitBroker(urls["dss-portal"], "portal", "1")
            wait_until(lambda: dispatch.connected)
            portal.close()

            ours = [record for record in caplog.records if record.name.startswith("dss_")]
            assert [r for r in ours if r.levelno > logging.INFO] == refusals[:1]
            assert not dispatch.problem
        finally:
            dispatch.close()
