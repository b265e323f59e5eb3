"""What counts as a death: only what a message did to the program that handled it.

Orderly stops and lost connections give it back for nothing; each queue of the product keeps to that.
"""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from dss_broker import messages as m
from dss_broker import topology
from dss_broker.broker import Delivery
from dss_broker.dead_letters import DeadLetter
from dss_broker.rabbit import link as rabbit_link
from dss_broker.topology import Subscription
from support.brokers import Node, RabbitBench, fresh_vhost
from support.waiting import wait_until
from support.wire import Wire

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]

SOON_S = 30.0
DEATHS = topology.DEATH_LIMIT + 1
LUNG = topology.dispatch("lung")
RUN = m.RunInference(
    ticket_id=1, claim_id="c", bundle="lung", image_path="i", output_dir="o", parameters={}
)


def ticket(number: int = 1) -> m.TicketReady:
    return m.TicketReady(ticket_id=number, service="lung", service_hash="h")


def beat(number: int = 1) -> m.ClaimHeartbeat:
    return m.ClaimHeartbeat(ticket_id=1, claim_id="c", pause_s=number)


QUEUES: dict[str, tuple[Subscription, m.Message]] = {
    "inference": (topology.inference("lung"), RUN),
    "dispatch": (LUNG, ticket()),
    "claims": (
        topology.PORTAL_CLAIMS,
        m.ClaimTicket(ticket_id=1, service="lung", provider="p", instance="i", delivery_id="d"),
    ),
    "events": (topology.PORTAL_EVENTS, beat()),
}
every_queue = pytest.mark.parametrize("queue", QUEUES)

MORTAL = """
import os, signal, sys, threading
from dss_broker import messages as m
from dss_broker import topology
from dss_broker.rabbit import RabbitBroker
url, queue, prefetch = sys.argv[1], sys.argv[2], int(sys.argv[3])
kinds = {
    "dss.inference.lung": topology.inference("lung", prefetch),
    "dss.dispatch.lung": topology.dispatch("lung", prefetch),
    "dss.portal.claims": topology.PORTAL_CLAIMS,
    "dss.portal.events": topology.PORTAL_EVENTS,
    "dss.portal.parked": topology.PORTAL_PARKED,
}
both = threading.Event()
def handle(delivery):
    print(delivery.message_id, flush=True)
    if delivery.message_id == "killer":
        both.wait(0.5)  # so that what is in hand beside it has begun
        os.kill(os.getpid(), signal.SIGKILL)
    both.set()
    threading.Event().wait(1 if prefetch > 1 else 0)
broker = RabbitBroker(url, "mortal", str(os.getpid()))
broker.consume(kinds[queue], handle)
threading.Event().wait(60)
"""
"""Dies of the message "killer", in the middle of what is in hand beside it."""


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program connects again at once."""
    monkeypatch.setattr(rabbit_link, "LONGEST_RETRY_S", rabbit_link.FIRST_RETRY_S)


@pytest.fixture
def url(rabbit: Node) -> Iterator[str]:
    with fresh_vhost(rabbit) as url:
        yield url


@pytest.fixture
def bench(url: str) -> Iterator[RabbitBench]:
    bench = RabbitBench(url)
    yield bench
    bench.close()


class Long:
    """Handlers of one message in several programs, which end when they are let."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []
        self._let = threading.Event()

    def of(self, program: str) -> Callable[[Delivery], None]:
        def handle(_: Delivery) -> None:
            self.begun.append(program)
            assert self._let.wait(120)
            self.ended.append(program)

        return handle

    def let_end(self) -> None:
        self._let.set()


def letters(bench: RabbitBench) -> list[DeadLetter]:
    with bench.program("operator").dead_letters() as tray:
        return list(tray.letters)


def in_queue(bench: RabbitBench, queue: str, *messages: m.Message) -> None:
    """Published with nobody there; the first is the "killer", the others are "beside" it."""
    subscription, _ = QUEUES.get(queue, (topology.PORTAL_PARKED, None))
    away = bench.program("away")
    away.consume(subscription, lambda _: None)
    assert away.stop_consuming(SOON_S)
    away.close()
    sender = bench.program("sender")
    for number, message in enumerate(messages):
        sender.publish(message, message_id=f"beside {number}" if number else "killer").result(
            SOON_S
        )


def die(url: str, subscription: Subscription, prefetch: int = 1) -> list[str]:
    """One program, until its death; the messages that it began with."""
    command = [sys.executable, "-c", MORTAL, url, subscription.queue, str(prefetch)]
    died = subprocess.run(command, check=False, timeout=60, capture_output=True, encoding="utf-8")
    assert died.returncode == -9, died.stderr
    return died.stdout.splitlines()


@every_queue
def test_ten_connections_lost_by_the_one_program_that_has_it_cost_nothing(
    url: str, bench: RabbitBench, queue: str
) -> None:
    subscription, message = QUEUES[queue]
    wire, work = Wire(url), Long()
    near = RabbitBench(wire.url)
    program = near.program("one")
    program.consume(subscription, work.of("one"))
    program.publish(message, message_id="long").result(SOON_S)
    wait_until(lambda: work.begun)

    for _ in range(10):
        wire.cut()
        wait_until(lambda: not program.connected)
        wire.mend()
        wait_until(lambda: program.connected)
    work.let_end()

    assert program.stop_consuming(SOON_S)
    assert (work.begun, work.ended, letters(bench)) == (["one"], ["one"], [])
    near.close()
    wire.close()


def test_ten_connections_lost_by_whichever_program_has_it_cost_nothing(
    url: str, bench: RabbitBench
) -> None:
    """Six of them: each time another gets it, until all have; and they compute on."""
    work, wires = Long(), [Wire(url) for _ in range(6)]
    benches = [RabbitBench(wire.url) for wire in wires]
    programs = [near.program("worker") for near in benches]
    programs[0].consume(LUNG, work.of("0"))
    programs[0].publish(ticket(), message_id="long").result(SOON_S)
    wait_until(lambda: work.begun == ["0"])
    for number, program in enumerate(programs[1:], 1):
        program.consume(LUNG, work.of(str(number)))

    for number in range(10):
        holder = number % len(programs)
        wires[holder].cut()
        wait_until(lambda held=holder: not programs[held].connected)  # type: ignore[misc]
        if number < len(programs) - 1:
            wait_until(lambda count=number + 2: len(work.begun) == count)  # type: ignore[misc]
        wires[holder].mend()
        wait_until(lambda held=holder: programs[held].connected)  # type: ignore[misc]
    work.let_end()

    wait_until(lambda: len(work.ended) == len(work.begun))
    assert len(set(work.begun)) == len(work.begun)
    assert letters(bench) == []
    for near, wire in zip(benches, wires, strict=True):
        near.close()
        wire.close()


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


def test_orderly_stops_and_lost_connections_between_the_deaths_change_nothing(
    url: str, bench: RabbitBench
) -> None:
    in_queue(bench, "dispatch", ticket())

    for _ in range(DEATHS):
        assert die(url, LUNG) == ["killer"]
        if letters(bench):
            break
        work = Long()
        calm = bench.program("calm")
        calm.consume(LUNG, work.of("calm"))
        wait_until(lambda work=work: work.begun or letters(bench))  # type: ignore[misc]
        calm.stop_consuming(0)
        calm.close()
        work.let_end()

    wait_until(lambda: letters(bench))


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
