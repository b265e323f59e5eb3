"""A message on its way to RabbitMQ, and how its sending ends."""

import time
from concurrent.futures import Future
from dataclasses import dataclass, field

from pika import BasicProperties  # no py.typed
from pika.exceptions import ChannelClosedByBroker

from dss_broker.envelope import Envelope
from dss_broker.errors import BrokerClosed, Unroutable
from dss_observability import metrics

PERSISTENT = 2

ONE_CONFIRM_TIMEOUT_S = 10.0
"""Seconds without the confirm of one message, while RabbitMQ confirms others, after which the channel is replaced; they
double for this message each time, up to the publisher's LONGEST_CONFIRM_TIMEOUT_S.
"""


@dataclass(kw_only=True, eq=False)
class Publication:
    """An envelope to be published to ``exchange``, and the state of its publishing.

    The future ``confirmed`` is done when RabbitMQ has stored the message; it raises Unroutable if the message is
    ``mandatory`` and was ``returned`` because it reaches no queue, MessageRefused if RabbitMQ refuses it, BrokerClosed
    if the broker is closed before.  ``suspect``: RabbitMQ may have refused it (see Publisher).
    """

    exchange: str
    routing_key: str
    envelope: Envelope
    mandatory: bool
    confirmed: "Future[None]" = field(default_factory=Future)
    returned: bool = False
    suspect: bool = False
    began_s: float = field(default_factory=time.monotonic)
    sent_s: float = 0.0
    confirm_timeout_s: float = ONE_CONFIRM_TIMEOUT_S

    def is_overdue(self, now_s: float) -> bool:
        return now_s - self.sent_s > self.confirm_timeout_s


def resolve(publication: Publication) -> None:
    count_outcome(publication, "unroutable" if publication.returned else "confirmed")
    metrics.CONFIRM_SECONDS.observe(time.monotonic() - publication.began_s)
    if publication.returned:
        error = Unroutable(f"No queue wants {publication.routing_key!r}")
        publication.confirmed.set_exception(error)
    else:
        publication.confirmed.set_result(None)


def is_about(publication: Publication, reason: ChannelClosedByBroker) -> bool:
    """True if RabbitMQ closed the channel because of ``publication``; False for another reason, such as the declaration
    of the reply queue.
    """
    text = str(reason.reply_text)
    return "message size" in text or f"exchange '{publication.exchange}'" in text


def count_outcome(publication: Publication, outcome: str) -> None:
    metrics.MESSAGES_PUBLISHED.labels(publication.envelope.type_name, outcome).inc()


def properties_of(envelope: Envelope) -> BasicProperties:
    return BasicProperties(
        type=envelope.type_name,
        content_type="application/json",
        delivery_mode=PERSISTENT,
        message_id=envelope.message_id,
        correlation_id=envelope.correlation_id,
        reply_to=envelope.reply_to,
        headers=dict(envelope.headers),
    )


def closed_before_sending() -> BrokerClosed:
    return BrokerClosed("The broker was closed before RabbitMQ had the message")
