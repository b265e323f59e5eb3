"""Declares RabbitMQ's exchanges, queues and bindings, with arguments that are valid on RabbitMQ 3.10 to 4.x.

No function waits for a response: to refuse a declaration, RabbitMQ closes the channel.
"""

from collections.abc import Callable, Sequence

from pika.channel import Channel  # no py.typed

from dss_broker.topology import (
    DEAD_EXCHANGE,
    DEAD_QUEUE,
    DEATH_EXCHANGE,
    DELIVERY_LIMIT,
    EXCHANGE,
    REPLY_EXCHANGE,
    REPLY_QUEUE_EXPIRY_S,
    Sharing,
    Subscription,
    retry_exchange,
)

QUORUM = {"x-queue-type": "quorum"}
CLASSIC = {"x-queue-type": "classic"}
"""Arguments of a classic queue.  They name the type, because an operator of RabbitMQ 4 may have made quorum the default
type, and a quorum queue cannot be exclusive.
"""

NEVER_LOST = {"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}
"""Arguments for at-least-once dead-lettering, which RabbitMQ offers only together with reject-publish."""

DEAD_LETTER_DELIVERY_LIMIT = 1_000_000
"""Delivery limit of the dead-letter queue.  Each time that an operator lists the messages they are requeued, and with
RabbitMQ 4's default limit they would be dropped after 20 times.
"""


LONGEST_WORK_S = 7 * 24 * 3600
"""Longest time until a message is acknowledged, in seconds; then RabbitMQ requeues it.  RabbitMQ before 3.11.15 ignores
this and uses ``consumer_timeout`` of its configuration, 30 minutes by default."""

MARKS_EXPIRY_S = 8 * 24 * 3600
"""Seconds after which RabbitMQ deletes an unused queue of marks, such as one left after a crash.  It is longer than
LONGEST_WORK_S, so that no mark expires while its message is handled.
"""


def declare_shared(channel: Channel, retry_delays_s: Sequence[float]) -> None:
    """Declare the exchanges that every program publishes to, the dead-letter queue and the retry queues."""
    _declare_exchange(channel, EXCHANGE)
    _declare_exchange(channel, REPLY_EXCHANGE)
    declare_dead(channel)
    for delay_s in sorted(set(retry_delays_s)):
        _declare_retry(channel, delay_s)


def declare_dead(channel: Channel) -> None:
    """Declare the exchange and the queue of parked messages."""
    _declare_exchange(channel, DEAD_EXCHANGE)
    _declare_durable(channel, DEAD_QUEUE, QUORUM | {"x-delivery-limit": DEAD_LETTER_DELIVERY_LIMIT})
    channel.queue_bind(DEAD_QUEUE, DEAD_EXCHANGE)


def declare_deaths(channel: Channel, done: Callable[[object], None]) -> None:
    """Declare the exchange of marks (``rabbit.marks``); ``done`` is called when it exists."""
    channel.exchange_declare(DEATH_EXCHANGE, "topic", durable=True, callback=done)


def declare_marks(channel: Channel, queue: str, counted: Callable[[int], None]) -> None:
    """Declare and bind a queue of marks; then ``counted`` is called with the number of marks in it.

    It is a classic queue, because that is declared quickly, and the queue is needed only for a short time.
    """
    found: list[int] = []
    channel.queue_declare(
        queue,
        durable=True,
        arguments=CLASSIC | {"x-expires": MARKS_EXPIRY_S * 1000},
        callback=lambda frame: found.append(frame.method.message_count),
    )
    channel.queue_bind(queue, DEATH_EXCHANGE, queue, callback=lambda _: counted(found[0]))


def declare_subscription(channel: Channel, subscription: Subscription, queue: str) -> None:
    """Declare and bind ``queue``: ``subscription.queue`` or, for EVERYONE, a queue of this process."""
    _declare_exchange(channel, subscription.exchange)
    if subscription.sharing is Sharing.EVERYONE:
        channel.queue_declare(queue, exclusive=True, auto_delete=True, arguments=CLASSIC)
    else:
        _declare_exchange(channel, DEAD_EXCHANGE)
        _declare_durable(channel, queue, _arguments(subscription))
    declare_bindings(channel, subscription, queue)


def declare_bindings(channel: Channel, subscription: Subscription, queue: str) -> None:
    """Declare the exchange of the subscription, and bind the existing queue ``queue`` to it."""
    _declare_exchange(channel, subscription.exchange)
    for key in subscription.keys:
        channel.queue_bind(queue, subscription.exchange, key)


def declare_replies(channel: Channel, queue: str) -> None:
    """Declare and bind a reply queue.  It survives a lost connection, and expires after REPLY_QUEUE_EXPIRY_S without a
    consumer.

    It is a classic queue: a quorum queue may stay without a leader when RabbitMQ 3.10 is killed within seconds of its
    declaration, and a reply queue is declared at each start of a program.
    """
    _declare_durable(channel, queue, CLASSIC | {"x-expires": REPLY_QUEUE_EXPIRY_S * 1000})
    channel.queue_bind(queue, REPLY_EXCHANGE, queue)


def _arguments(subscription: Subscription) -> dict[str, object]:
    arguments: dict[str, object] = QUORUM | {
        "x-delivery-limit": DELIVERY_LIMIT,
        "x-consumer-timeout": LONGEST_WORK_S * 1000,
    }
    if subscription.exchange != DEAD_EXCHANGE:  # a parked message must not be parked again
        arguments |= {"x-dead-letter-exchange": DEAD_EXCHANGE} | NEVER_LOST
    if subscription.sharing is Sharing.ORDERED:
        arguments["x-single-active-consumer"] = True
    return arguments


def _declare_retry(channel: Channel, delay_s: float) -> None:
    """Declare the exchange and the queue for retries after ``delay_s``.

    The queue has no consumers: after the delay RabbitMQ moves a message to the queue that its routing key names.
    """
    name = retry_exchange(delay_s)
    expiry: dict[str, object] = {
        "x-message-ttl": round(delay_s * 1000),
        "x-dead-letter-exchange": "",
    }
    _declare_exchange(channel, name)
    _declare_durable(channel, name, QUORUM | expiry | NEVER_LOST)
    channel.queue_bind(name, name)


def _declare_exchange(channel: Channel, name: str) -> None:
    kind = "topic" if name in {EXCHANGE, REPLY_EXCHANGE} else "fanout"
    channel.exchange_declare(name, kind, durable=True)


def _declare_durable(channel: Channel, queue: str, arguments: dict[str, object]) -> None:
    channel.queue_declare(queue, durable=True, arguments=arguments)
