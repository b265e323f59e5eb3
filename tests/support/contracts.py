"""Messages and handlers with which a broker's contract is tested."""

import threading
from collections.abc import Callable

from dss_broker import messages as m
from dss_broker.broker import Delivery
from dss_broker.envelope import Envelope
from dss_broker.errors import TryAgainLater
from support.brokers import Bench
from support.waiting import wait_until

SOON_S = 60.0


def ticket(number: int = 1) -> m.TicketReady:
    return m.TicketReady(ticket_id=number, service="lung", service_hash="h")


def claim(number: int = 1) -> m.ClaimTicket:
    return m.ClaimTicket(
        ticket_id=number, service="lung", provider="p", instance="i", delivery_id="d"
    )


def heartbeat(number: int, ticket_id: int = 7) -> m.ClaimHeartbeat:
    return m.ClaimHeartbeat(ticket_id=ticket_id, claim_id="c", pause_s=number)


def granted(number: int = 1) -> m.ClaimGranted:
    return m.ClaimGranted(ticket_id=number, claim_id="c", attempt=1, lease_s=60)


class Recorder:
    """A handler that keeps what it gets; ``then`` runs afterwards, still in the handler."""

    def __init__(self, then: Callable[[Delivery], None] = lambda _: None) -> None:
        self.deliveries: list[Delivery] = []
        self._then = then

    def __call__(self, delivery: Delivery) -> None:
        self.deliveries.append(delivery)
        self._then(delivery)

    @property
    def messages(self) -> list[m.Message]:
        return [delivery.message for delivery in self.deliveries]


class Gate:
    """Holds handlers until it is opened."""

    def __init__(self) -> None:
        self._open = threading.Event()

    def __call__(self, _: Delivery) -> None:
        assert self._open.wait(SOON_S)

    def open(self) -> None:
        self._open.set()


def refuse(_: Delivery) -> None:
    raise TryAgainLater("The database is away")


def next_parked(bench: Bench) -> Envelope:
    parked: list[Envelope] = []

    def found() -> bool:
        parked.extend(bench.parked())
        return bool(parked)

    wait_until(found)
    return parked[0]
