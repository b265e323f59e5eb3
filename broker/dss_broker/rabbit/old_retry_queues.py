"""Moves messages out of the retry queues of programs before 2026-11-29 (``dss.retry.5s``, named in seconds), then
deletes these queues.

Only one portal does this at a time, because RabbitMQ does not count a message that another one has received and not
acknowledged.
"""

import logging
import threading
from functools import partial

from pika import BlockingConnection  # no py.typed
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import AMQPError, ChannelClosedByBroker

from dss_broker.rabbit.declare import CLASSIC, declare_shared
from dss_broker.rabbit.link import parameters_of
from dss_broker.rabbit.refusal import ACCESS_REFUSED
from dss_broker.topology import RETRY_DELAYS_S, retry_exchange
from dss_process.supervision import Supervisor

log = logging.getLogger(__name__)

OLD_DELAYS_S = (1, 5, 30, 120)
LOCK = "dss.portal.old_retries"
"""Name of the exclusive queue of the portal that empties the old queues; it keeps other portals from doing so."""

QUIET_S = 5.0
"""Longest time, in seconds, that RabbitMQ takes to move an expired message, which the old queue no longer counts."""

TRY_AGAIN_S = 30.0
NOT_FOUND = 404
RESOURCE_LOCKED = 405


def start_emptying(url: str, stop: threading.Event) -> tuple[Supervisor, threading.Thread]:
    """Start a supervised thread that empties and deletes the old queues, and return its supervisor and the thread.

    The thread tries every TRY_AGAIN_S until no old queue is left or ``stop`` is set, and gives up if the user lacks a
    right.  Each reason why it cannot connect is logged once as a warning.
    """
    supervisor = Supervisor(stop)
    return supervisor, supervisor.start("old retry queues", partial(_empty_all, url, stop))


def _empty_all(url: str, stop: threading.Event) -> None:
    node, known_reasons = 0, set[str]()
    while not stop.is_set():
        nodes = parameters_of(url, "portal old retry queues")
        try:
            with BlockingConnection(nodes[node % len(nodes)]) as connection:
                if _empty(connection):
                    return
        except ChannelClosedByBroker as error:
            if error.reply_code == ACCESS_REFUSED:
                log.warning("old retry queues stay", extra={"reason": error.reply_text})
                return
        except (AMQPError, OSError) as error:
            reason = repr(error)
            level = logging.DEBUG if reason in known_reasons else logging.WARNING
            known_reasons.add(reason)
            log.log(level, "no connection to empty old retry queues", extra={"reason": reason})
        node += 1
        stop.wait(TRY_AGAIN_S)


def _empty(connection: BlockingConnection) -> bool:
    """Empty and delete the old queues that exist.  True if none is left; False, without a change, if another portal is
    doing this.
    """
    found = [delay_s for delay_s in OLD_DELAYS_S if _is_there(connection, _old_name(delay_s))]
    if not found:
        return True
    if not _lock(connection):
        return False
    declare_shared(connection.channel(), RETRY_DELAYS_S)
    for delay_s in found:
        connection.channel().queue_unbind(_old_name(delay_s), exchange=_old_name(delay_s))
    moved = sum(_move(connection, delay_s) for delay_s in found)
    connection.sleep(QUIET_S)
    moved += sum(_move(connection, delay_s) for delay_s in found)
    for delay_s in found:
        connection.channel().queue_delete(_old_name(delay_s))
        connection.channel().exchange_delete(_old_name(delay_s))
    log.info("old retry queues deleted", extra={"delays_s": found, "moved": moved})
    return True


def _old_name(delay_s: int) -> str:
    return f"dss.retry.{delay_s}s"


def _is_there(connection: BlockingConnection, queue: str) -> bool:
    try:
        connection.channel().queue_declare(queue, passive=True)
    except ChannelClosedByBroker as error:
        if error.reply_code != NOT_FOUND:
            raise
        return False
    return True


def _lock(connection: BlockingConnection) -> bool:
    try:
        connection.channel().queue_declare(LOCK, exclusive=True, arguments=CLASSIC)
    except ChannelClosedByBroker as error:
        if error.reply_code != RESOURCE_LOCKED:
            raise
        return False
    return True


def _move(connection: BlockingConnection, delay_s: int) -> int:
    """Move each message of the old queue with the delay ``delay_s`` to the new one, and return their number.

    A message is acknowledged only after RabbitMQ has confirmed its copy; after a crash in between, both queues have it.
    """
    channel: BlockingChannel = connection.channel()
    channel.confirm_delivery()
    count = 0
    while True:
        method, properties, body = channel.basic_get(_old_name(delay_s))
        if method is None:
            channel.close()
            return count
        properties.headers = _without_counts(properties.headers or {})
        channel.basic_publish(
            retry_exchange(delay_s), method.routing_key, body, properties, mandatory=True
        )
        channel.basic_ack(method.delivery_tag)
        count += 1


def _without_counts(headers: dict[str, object]) -> dict[str, object]:
    """``headers`` without RabbitMQ's own headers, which describe the message's time in the old queue."""
    return {name: value for name, value in headers.items() if not name.startswith("x-")}
