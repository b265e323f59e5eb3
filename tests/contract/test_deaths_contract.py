"""A message whose handlers are interrupted is given up; one that is merely handed back is not.

That is as near as a process can come to dying and telling; for real deaths see ``test_orderly_stops``.
"""

import pytest

from dss_broker import messages as m
from dss_broker import topology
from dss_broker.broker import Delivery
from dss_broker.codec import encode
from dss_broker.dead_letters import DeadLetter
from dss_broker.errors import TryAgainLater
from support.brokers import Bench
from support.waiting import wait_until

LUNG = topology.dispatch("lung")
SOON_S = 60.0
DEATHS = topology.DEATH_LIMIT + 1


def ticket(number: int = 1) -> m.TicketReady:
    return m.TicketReady(ticket_id=number, service="lung", service_hash="h")


class Deadly:
    """Interrupts the thread of ticket 1 (``first`` its first hands postpone it); does the others."""

    def __init__(self, *, postpones: int = 0) -> None:
        self.deaths = 0
        self.done: list[m.Message] = []
        self._postpones = postpones

    def __call__(self, delivery: Delivery) -> None:
        if delivery.message != ticket():
            self.done.append(delivery.message)
            return
        if delivery.attempt <= self._postpones and self.deaths == delivery.attempt:
            raise TryAgainLater("The portal is away")
        self.deaths += 1
        raise SystemExit


def letters(bench: Bench) -> list[DeadLetter]:
    with bench.program("operator").dead_letters() as session:
        return list(session.letters)


@pytest.mark.parametrize("postpones", [0, 2])
def test_a_message_that_interrupts_every_handler_is_given_up_after_five(
    bench: Bench, postpones: int
) -> None:
    """Whether or not it was postponed between two of them."""
    handler, broker = Deadly(postpones=postpones), bench.program("dispatch")
    broker.consume(LUNG, handler)

    broker.publish(ticket(), message_id="killer").result(SOON_S)
    broker.publish(ticket(2)).result(SOON_S)

    wait_until(lambda: letters(bench))
    (letter,) = letters(bench)
    assert (letter.id, letter.queue) == ("killer", LUNG.queue)
    assert letter.reason == "At least 4 programs died while they handled it."
    assert handler.deaths == DEATHS
    wait_until(lambda: handler.done == [ticket(2)])


def test_a_message_to_which_its_sender_gave_no_id_is_given_up_like_others(bench: Bench) -> None:
    handler, broker = Deadly(), bench.program("dispatch")
    broker.consume(LUNG, handler)

    bench.send_bytes("ticket.ready.lung", *encode(ticket()))

    wait_until(lambda: letters(bench))
    assert handler.deaths == DEATHS


def test_what_an_operator_sends_back_has_all_its_deaths_before_it_again(bench: Bench) -> None:
    handler, broker = Deadly(), bench.program("dispatch")
    broker.consume(LUNG, handler)
    broker.publish(ticket()).result(SOON_S)
    wait_until(lambda: letters(bench))

    with bench.program("operator").dead_letters() as session:
        session.requeue(session.letters[0])

    wait_until(lambda: handler.deaths == 2 * DEATHS)
    wait_until(lambda: letters(bench))


def test_a_reader_of_parked_messages_that_dies_of_one_goes_on_with_the_next(bench: Bench) -> None:
    handler, portal = Deadly(), bench.program("portal")
    portal.consume(topology.PORTAL_PARKED, handler)

    def fail(_: Delivery) -> None:
        raise RuntimeError("no such layer")

    portal.consume(LUNG, fail)
    for number in (1, 2):
        portal.publish(ticket(number)).result(SOON_S)

    wait_until(lambda: handler.deaths == DEATHS and handler.done == [ticket(2)])
    assert len(letters(bench)) == 2


@pytest.mark.parametrize("subscription", [LUNG, topology.PORTAL_EVENTS], ids=["work", "ordered"])
def test_a_message_that_ten_programs_hand_back_when_they_stop_is_done_by_the_next(
    bench: Bench, subscription: topology.Subscription
) -> None:
    begun: list[int] = []
    stopped = False

    def hand_back(delivery: Delivery) -> None:
        begun.append(delivery.deliveries)
        wait_until(lambda: stopped)

    first = bench.program("first")
    first.consume(subscription, lambda _: wait_until(lambda: stopped))
    message = ticket() if subscription is LUNG else m.ClaimHeartbeat(ticket_id=1, claim_id="c")
    first.publish(message, message_id="one").result(SOON_S)
    first.close()
    for number in range(10):
        program = bench.program("rolling")
        program.consume(subscription, hand_back)
        wait_until(lambda expected=number + 1: len(begun) == expected)  # type: ignore[misc]  # bound now
        assert not program.stop_consuming(0)
        program.close()

    done: list[Delivery] = []
    bench.program("last").consume(subscription, done.append)

    wait_until(lambda: done)
    stopped = True
    assert [delivery.message_id for delivery in done] == ["one"]
    assert begun == sorted(set(begun))
    assert letters(bench) == []
