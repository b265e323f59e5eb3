"""``python -m chaos.sabotage HOW``: a portal with one of its defences taken out, to show that a run notices."""

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from dss_broker.broker import Broker, Delivery, Handler
from dss_broker.messages import Message
from dss_portal import __main__ as program
from dss_portal import consuming
from dss_portal.consuming import AsyncHandler
from dss_portal.models import Status
from dss_portal.outbox import store
from dss_portal.outbox.relay import Relay
from dss_portal.tickets import lifecycle, listener
from dss_portal.tickets.lifecycle import TicketState


def no_fencing() -> None:
    """Whoever has ever held a claim may write, and is not told that it is over."""

    def anybody(ticket: TicketState, claim_id: str) -> bool:
        return ticket.claim_id is not None and ticket.status is not Status.DELETED

    lifecycle.is_current = anybody
    lifecycle.claim_to_withdraw = lambda *_: None
    listener.is_current = anybody  # type: ignore[attr-defined]


def ack_before_commit() -> None:
    """A message is acknowledged when its handling begins."""

    def forgetful(loop: asyncio.AbstractEventLoop, handler: AsyncHandler) -> Handler:
        async def handling(delivery: Delivery) -> None:
            await asyncio.sleep(1)
            await handler(delivery)

        def handle(delivery: Delivery) -> None:
            asyncio.run_coroutine_threadsafe(handling(delivery), loop)

        return handle

    consuming.on_loop = forgetful


def no_outbox() -> None:
    """Events go to the broker's client at once and are in no database."""
    brokers: list[Broker] = []
    build = Relay.__init__

    def remember(self: Relay, broker: Broker) -> None:
        brokers.append(broker)
        build(self, broker)

    async def publish(message: Message) -> None:
        sent: Future[None] = brokers[0].publish(message)
        sent.add_done_callback(lambda done: done.exception())

    Relay.__init__ = remember  # type: ignore[method-assign]
    store.put = publish


HOW: dict[str, Callable[[], None]] = {
    "no-fencing": no_fencing,
    "ack-before-commit": ack_before_commit,
    "no-outbox": no_outbox,
}

WEAKNESSES: dict[str, dict[str, Any]] = {
    "no-fencing": {
        "kinds": ("freeze a dispatcher",),
        "tickets": 400,
        "open_each": 12,
        "faults": 4,
    },
    "ack-before-commit": {"kinds": ("kill all portals",), "lease_s": 600.0},
    "no-outbox": {
        "kinds": ("kill portals while RabbitMQ is away",),
        "tickets": 300,
        "open_each": 15,
        "faults": 2,
    },
}
"""How a run must be for the defence to matter: its faults, without what would mend the harm later."""


if __name__ == "__main__":
    HOW[sys.argv[1]]()
    sys.argv[1:] = ["serve"]
    program.main()
