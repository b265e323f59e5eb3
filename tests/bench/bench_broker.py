"""How fast the broker is.  ``python tests/bench/bench_broker.py amqp://user:password@host:port/vhost``"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from uuid import uuid4

import typer

from dss_broker import messages as m
from dss_broker import topology
from dss_broker.broker import Delivery
from dss_broker.rabbit import RabbitBroker

TIMEOUT_S = 60.0


def main(url: str, messages: int = 5000, requests: int = 300) -> None:
    """Publishes, consumes and asks on the server at URL, in queues of its own, which stay there."""
    service = f"bench-{uuid4().hex[:6]}"
    with _program(url, "portal") as portal, _program(url, "dispatch") as dispatch:
        seconds = _publish(portal, dispatch, service, messages)
        typer.echo(f"publish, all in flight: {messages / seconds[0]:.0f} confirmed/s")
        typer.echo(f"publish and consume:    {messages / seconds[1]:.0f} acknowledged/s")
        typer.echo(f"publish, one by one:    {1 / _publish_singly(portal, service, 300):.0f}/s")
        typer.echo(
            f"request and reply:      {_ask(portal, dispatch, requests) * 1e3:.1f} ms, median"
        )


@contextmanager
def _program(url: str, name: str) -> Iterator[RabbitBroker]:
    broker = RabbitBroker(url, name, uuid4().hex[:6])
    yield broker
    broker.stop_consuming(TIMEOUT_S)
    broker.close()


def _ticket(service: str) -> m.TicketReady:
    return m.TicketReady(ticket_id=1, service=service, service_hash="h")


def _publish(
    portal: RabbitBroker, dispatch: RabbitBroker, service: str, messages: int
) -> tuple[float, float]:
    """Seconds until all are confirmed, and until all are handled."""
    left, done = [messages], threading.Event()

    def count(_: Delivery) -> None:
        left[0] -= 1
        if left[0] == 0:
            done.set()

    subscription = topology.dispatch(service, prefetch=1)
    dispatch.consume(subscription, count)
    begun = time.perf_counter()
    for sent in [portal.publish(_ticket(service)) for _ in range(messages)]:
        sent.result(TIMEOUT_S)
    confirmed = time.perf_counter() - begun
    done.wait(TIMEOUT_S)
    return confirmed, time.perf_counter() - begun


def _publish_singly(portal: RabbitBroker, service: str, messages: int) -> float:
    """Median seconds from a publish to its confirm."""
    return median(_seconds(lambda: portal.publish(_ticket(service)).result(TIMEOUT_S), messages))


def _ask(portal: RabbitBroker, dispatch: RabbitBroker, requests: int) -> float:
    """Median seconds from a request to its reply."""
    granted = m.ClaimGranted(ticket_id=1, claim_id="c", attempt=1, lease_s=60)

    def answer(delivery: Delivery) -> None:
        delivery.reply(granted)

    portal.consume(topology.PORTAL_CLAIMS, answer)
    claim = m.ClaimTicket(ticket_id=1, service="s", provider="p", instance="i", delivery_id="d")

    def ask() -> None:
        conversation = dispatch.request(claim)
        conversation.next(TIMEOUT_S)
        conversation.close()

    return median(_seconds(ask, requests))


def _seconds(action: Callable[[], object], times: int) -> list[float]:
    measured = []
    for _ in range(times):
        begun = time.perf_counter()
        action()
        measured.append(time.perf_counter() - begun)
    return measured


if __name__ == "__main__":
    typer.run(main)
