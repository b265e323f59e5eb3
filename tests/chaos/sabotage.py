"""``python -m chaos.sabotage HOW``: a portal with one of its defences taken out, to show that a run notices."""

import asyncio
import sys
from collections.abc import Callable
from typing import Any

from dss_broker.broker import Delivery, Handler
from dss_portal import __main__ as program
from dss_portal import consuming
from dss_portal.consuming import AsyncHandler
from dss_portal.models import OutboxMessage, Status
from dss_portal.outbox.relay import Relay
from dss_portal.tickets import lifecycle, listener
from dss_portal.tickets.lifecycle import TicketState


def no_fencing() -> None:
    """Each program that has ever held a claim may write, and is not told that it is over."""

    def anybody(ticket: TicketState, claim_id: str) -> bool:
        return ticket.claim_id is not None and ticket.status is not Status.DELETED

    lifecycle.is_current = anybody
    lifecycle.claim_to_withdraw = lambda *_: None
    listener.is_current = anybody  # type: ignore[attr-defined]  # the fault that the test must find


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
    """Events that wait to be published are lost with the program, as if they lay in its memory alone."""
    run = Relay.run

    async def forgetful(self: Relay) -> None:
        await OutboxMessage.all().delete()
        await run(self)

    Relay.run = forgetful  # type: ignore[method-assign]  # the fault that the test must find


HOW: dict[str, Callable[[], None]] = {
    "no-fencing": no_fencing,
    "ack-before-commit": ack_before_commit,
    "no-outbox": no_outbox,
}

WEAKNESSES: dict[str, dict[str, Any]] = {
    "no-fencing": {
        "kinds": ("freeze a dispatcher",),
        "tickets": 200,
        "open_each": 6,
        "faults": 4,
        "recovers_fully": False,
        "ends_at": ("result", "history"),
    },
    "ack-before-commit": {
        "kinds": ("kill all portals",),
        "lease_s": 600.0,
        "recovers_fully": False,
        "ends_with_faults": True,
    },
    "no-outbox": {
        "kinds": ("kill portals while RabbitMQ is away",),
        "tickets": 400,
        "open_each": 20,
        "pace_s": 8.0,
        "withdrawn": False,
        "recovers_fully": False,
        "ends_with_faults": True,
        "faults": 1,
    },
}
"""How a run must be for the defence to matter: its faults, without what would mend the harm later.

Only a ticket that is submitted while RabbitMQ is away needs the outbox: users must still be sending then.  None is
withdrawn, since a dispatcher takes another ticket for the announcement of one that was.
"""


if __name__ == "__main__":
    HOW[sys.argv[1]]()
    sys.argv[1:] = ["serve"]
    program.main()
