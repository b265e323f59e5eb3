"""The topology in RabbitMQ's terms.  Nothing here waits: a refusal closes the channel."""

from collections.abc import Callable, Sequence

from pika.channel import Channel  # type: ignore[import-untyped] # no py.typed

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
"""Said aloud, because RabbitMQ 4 lets an operator make quorum the default, which cannot be exclusive."""

NEVER_LOST = {"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}
"""Dead-lettering that survives a crash halfway.  It works only together with reject-publish."""

LOOKED_AT = 1_000_000
"""Delivery limit where people look into a queue and put back: without one, RabbitMQ 4 drops after 20 looks."""


LONGEST_WORK_S = 7 * 24 * 3600
"""RabbitMQ takes a message back that is not acknowledged for so long.  Before 3.11.15 it ignores this and uses
``consumer_timeout`` of its configuration, 30 minutes unless an operator says otherwise."""

MARKS_EXPIRY_S = 8 * 24 * 3600
"""Longer than any work, which the marks have to outlive; what a crash leaves behind goes after that."""


def declare_shared(channel: Channel, retry_delays_s: Sequence[float]) -> None:
    """What every program may publish to."""
    _declare_exchange(channel, EXCHANGE)
    _declare_exchange(channel, REPLY_EXCHANGE)
    declare_dead(channel)
    for delay_s in sorted(set(retry_delays_s)):
        _declare_retry(channel, delay_s)


def declare_dead(channel: Channel) -> None:
    """Where parked messages wait for an operator."""
    _declare_exchange(channel, DEAD_EXCHANGE)
    _declare_durable(channel, DEAD_QUEUE, QUORUM | {"x-delivery-limit": LOOKED_AT})
    channel.queue_bind(DEAD_QUEUE, DEAD_EXCHANGE)


def declare_deaths(channel: Channel, done: Callable[[object], None]) -> None:
    """Where marks are published to (``rabbit.marks``)."""
    channel.exchange_declare(DEATH_EXCHANGE, "topic", durable=True, callback=done)


def declare_marks(channel: Channel, queue: str, counted: Callable[[int], None]) -> None:
    """A queue of marks; ``counted`` gets their number once the queue is bound.

    Classic, because it is made in a moment and seldom needed for longer.
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
    """``queue`` is the subscription's own, except for EVERYONE, where each process has one."""
    _declare_exchange(channel, subscription.exchange)
    if subscription.sharing is Sharing.EVERYONE:
        channel.queue_declare(queue, exclusive=True, auto_delete=True, arguments=CLASSIC)
    else:
        _declare_exchange(channel, DEAD_EXCHANGE)
        _declare_durable(channel, queue, _arguments(subscription))
    declare_bindings(channel, subscription, queue)


def declare_bindings(channel: Channel, subscription: Subscription, queue: str) -> None:
    """``queue`` is there already."""
    _declare_exchange(channel, subscription.exchange)
    for key in subscription.keys:
        channel.queue_bind(queue, subscription.exchange, key)


def declare_replies(channel: Channel, queue: str) -> None:
    """Outlives a lost connection, and goes by itself when its program does not come back."""
    _declare_durable(channel, queue, QUORUM | {"x-expires": REPLY_QUEUE_EXPIRY_S * 1000})
    channel.queue_bind(queue, REPLY_EXCHANGE, queue)


def _arguments(subscription: Subscription) -> dict[str, object]:
    arguments: dict[str, object] = QUORUM | {
        "x-delivery-limit": DELIVERY_LIMIT,
        "x-consumer-timeout": LONGEST_WORK_S * 1000,
    }
    if (
        subscription.exchange != DEAD_EXCHANGE
    ):  # what is parked already must not go round in circles
        arguments |= {"x-dead-letter-exchange": DEAD_EXCHANGE} | NEVER_LOST
    if subscription.sharing is Sharing.ORDERED:
        arguments["x-single-active-consumer"] = True
    return arguments


def _declare_retry(channel: Channel, delay_s: float) -> None:
    """Nobody reads this queue: its messages expire, to the queue that their routing key names."""
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
