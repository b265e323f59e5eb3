"""A message that kills its programs is given up after five deaths, and no other is blamed."""

import threading

import pytest

from dss_broker import messages as m
from dss_broker import topology
from dss_broker.broker import Delivery
from support import brokers, mortals
from support.brokers import RabbitBench
from support.mortals import (
    DEATHS,
    LUNG,
    QUEUES,
    RUN,
    SOON_S,
    beat,
    die,
    every_queue,
    in_queue,
    letters,
    ticket,
)
from support.waiting import wait_until

pytestmark = [pytest.mark.stack]

no_patience = mortals.no_patience
url = brokers.url
bench = brokers.bench


@every_queue
def test_what_kills_every_program_is_given_up_after_five_deaths(
    url: str, bench: RabbitBench, queue: str
) -> None:
    subscription, message = QUEUES[queue]
    in_queue(bench, queue, message)
    got: list[str] = []

    for _ in range(DEATHS):
        assert die(url, subscription) == ["killer"]
    bench.program("sixth").consume(subscription, lambda delivery: got.append(delivery.message_id))

    wait_until(lambda: letters(bench))
    (letter,) = letters(bench)
    assert (letter.id, letter.queue) == ("killer", subscription.queue)
    assert letter.reason == "At least 4 programs died while they handled it."
    assert got == []


def test_what_waits_for_its_turn_in_a_program_that_dies_is_not_blamed(
    url: str, bench: RabbitBench
) -> None:
    """Events of one ticket: the portal has taken them all, and has begun with the first only."""
    in_queue(bench, "events", *(beat(number) for number in range(1, 6)))
    got: list[m.Message] = []

    for _ in range(DEATHS):
        assert die(url, topology.PORTAL_EVENTS) == ["killer"]
    bench.program("sixth").consume(topology.PORTAL_EVENTS, lambda d: got.append(d.message))

    wait_until(lambda: len(got) == 4)
    assert got == [beat(number) for number in range(2, 6)]
    assert [letter.id for letter in letters(bench)] == ["killer"]


def test_what_is_in_hand_beside_a_killer_is_done(url: str, bench: RabbitBench) -> None:
    two = topology.inference("lung", 2)
    in_queue(bench, "inference", RUN, RUN)
    began, got = [die(url, two, prefetch=2)], list[str]()

    while len(began) < DEATHS:
        began.append(die(url, two, prefetch=2))
    bench.program("sixth").consume(two, lambda delivery: got.append(delivery.message_id))

    wait_until(lambda: letters(bench))
    assert [letter.id for letter in letters(bench)] == ["killer"]
    assert sorted(began[0]) == ["beside 1", "killer"]
    assert "beside 1" in [*(name for names in began[1:] for name in names), *got]


def test_messages_that_have_cost_a_program_before_are_handled_one_at_a_time(
    bench: RabbitBench,
) -> None:
    """By a program that takes several: otherwise they would be blamed for each other's deaths."""
    busy, most, done = set[str](), list[int](), list[str]()

    def handle(delivery: Delivery) -> None:
        if delivery.deliveries <= 2:
            raise SystemExit  # the second of these leaves a mark
        busy.add(delivery.message_id)
        most.append(len(busy))
        threading.Event().wait(0.3)
        busy.remove(delivery.message_id)
        done.append(delivery.message_id)

    program = bench.program("one")
    program.consume(topology.dispatch("lung", prefetch=2), handle)
    for number in (1, 2):
        program.publish(ticket(number), message_id=f"t{number}").result(SOON_S)

    wait_until(lambda: len(done) == 2)
    assert most == [1, 1]


def test_a_reader_of_parked_messages_is_killed_five_times_at_most(
    url: str, bench: RabbitBench
) -> None:
    def fail(_: Delivery) -> None:
        raise RuntimeError("no such layer")

    in_queue(bench, "parked")
    breaks = bench.program("breaks")
    breaks.consume(LUNG, fail)
    breaks.publish(ticket(), message_id="killer").result(SOON_S)
    wait_until(lambda: letters(bench))

    for _ in range(DEATHS):
        assert die(url, topology.PORTAL_PARKED) == ["killer"]

    got: list[str] = []
    told = bench.program("told")
    told.consume(topology.PORTAL_PARKED, lambda delivery: got.append(delivery.message_id))
    breaks.publish(ticket(2), message_id="next").result(SOON_S)
    wait_until(lambda: got == ["next"])
