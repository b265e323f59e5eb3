"""``python tests/support/claims_and_dies.py AMQP_URL SERVICE WHEN``: a dispatcher that is killed in the middle of a claim.

WHEN is ``asked`` (its request is with the broker, no answer was waited for) or ``granted``.
"""

import os
import signal
import sys
import threading

from dss_broker.broker import Delivery
from dss_broker.messages import ClaimHeartbeat, ClaimTicket, TicketReady
from dss_broker.rabbit import RabbitBroker
from dss_broker.topology import dispatch


def main(amqp_url: str, service: str, when: str) -> None:
    broker = RabbitBroker(amqp_url, "dispatch", "doomed")

    def handle(delivery: Delivery) -> None:
        ready = delivery.message
        assert isinstance(ready, TicketReady)
        request = ClaimTicket(
            ticket_id=ready.ticket_id,
            service=ready.service,
            provider="dss",
            instance="doomed",
            delivery_id=delivery.message_id,
        )
        conversation = broker.request(request)
        if when == "granted":
            conversation.next(30)
        else:  # what comes after it in the same channel has arrived, so the request has, too
            later = ClaimHeartbeat(ticket_id=ready.ticket_id, claim_id="none")
            broker.publish(later).result(30)
        os.kill(os.getpid(), signal.SIGKILL)

    broker.consume(dispatch(service), handle)
    threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
