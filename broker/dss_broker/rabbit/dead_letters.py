"""A ``dead_letters.DeadLetterSession`` on RabbitMQ.

The queue ``dss.dead`` is the only store.  A session holds the letters without acknowledging them; when its connection
ends, for whatever reason, RabbitMQ requeues those that were neither requeued nor discarded by the operator.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from pika import BlockingConnection  # no py.typed
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import (
    AMQPConnectionError,
    ChannelClosedByBroker,
    NackError,
    UnroutableError,
)

from dss_broker.dead_letters import MAX_LETTERS, DeadLetter, content_id, dead_letter
from dss_broker.envelope import for_requeueing
from dss_broker.errors import BrokerAway, BrokerRefuses, DeadLettersBusy, MessageRefused, Unroutable
from dss_broker.rabbit.declare import CLASSIC, declare_dead
from dss_broker.rabbit.link import parameters_of
from dss_broker.rabbit.publication import properties_of
from dss_broker.rabbit.refusal import refusal, too_old
from dss_broker.rabbit.unacked import envelope_of
from dss_broker.topology import DEAD_QUEUE

READER = f"{DEAD_QUEUE}.reader"
"""Name of an exclusive queue by which a session excludes others: each of two would see only a part of the letters."""

BUSY_S = 10.0
RESOURCE_LOCKED = 405
CHECKED_PIKA = "1.4.4"
"""The version of pika that was checked: its blocking connection shows the server's properties in ``_impl`` only."""


@contextmanager
def open_session(url: str) -> Iterator["RabbitDeadLetterSession"]:
    """A context with the dead letters, which no other session can hold meanwhile.

    Raises DeadLettersBusy if another session still holds them after BUSY_S; BrokerAway if RabbitMQ does not answer,
    also if the connection is lost in the context; BrokerRefuses if RabbitMQ refuses the connection or is too old.
    """
    try:
        with BlockingConnection(parameters_of(url, "dead letters")) as connection:
            _require_new_enough(connection)
            _become_reader(connection)
            channel = connection.channel()
            declare_dead(channel)
            yield RabbitDeadLetterSession(connection, channel)
    except AMQPConnectionError as error:
        if refused := refusal(error, parameters_of(url, "")[0]):
            raise BrokerRefuses(refused) from error
        raise BrokerAway("RabbitMQ does not answer.") from error


def _require_new_enough(connection: BlockingConnection) -> None:
    properties = connection._impl.server_properties  # noqa: SLF001 - see CHECKED_PIKA
    if sentence := too_old(properties):
        raise BrokerRefuses(sentence)


def _become_reader(connection: BlockingConnection) -> None:
    deadline = time.monotonic() + BUSY_S
    while not _is_reader(connection):
        if time.monotonic() > deadline:
            raise DeadLettersBusy("Another session holds the dead letters.")
        connection.sleep(0.1)


def _is_reader(connection: BlockingConnection) -> bool:
    try:
        connection.channel().queue_declare(READER, exclusive=True, arguments=CLASSIC)
    except ChannelClosedByBroker as error:
        if error.reply_code != RESOURCE_LOCKED:
            raise
        return False
    return True


class RabbitDeadLetterSession:
    """Implements ``dead_letters.DeadLetterSession`` with the queue ``dss.dead``."""

    def __init__(self, connection: BlockingConnection, channel: BlockingChannel) -> None:
        """Get the letters on ``channel``, which holds them.

        They are requeued on another channel, because RabbitMQ closes the channel to refuse a message.
        """
        self._connection, self._channel = connection, channel
        self._sending: BlockingChannel | None = None
        self._tags: dict[int, int] = {}
        self.letters = list(self._taken())

    def requeue(self, letter: DeadLetter) -> None:
        envelope = for_requeueing(letter.envelope)
        try:
            self._open().basic_publish(
                "", letter.queue, envelope.body, properties_of(envelope), mandatory=True
            )
        except UnroutableError as error:
            raise Unroutable(f"There is no queue {letter.queue!r}") from error
        except (NackError, ChannelClosedByBroker) as error:
            raise MessageRefused(f"RabbitMQ does not take it: {error}", may_change=True) from error
        except AMQPConnectionError as error:
            raise BrokerAway("RabbitMQ does not answer.") from error
        self.discard(letter)  # after the confirm: at least once

    def discard(self, letter: DeadLetter) -> None:
        self._channel.basic_ack(self._tags.pop(id(letter)))

    def _open(self) -> BlockingChannel:
        if self._sending is None or not self._sending.is_open:
            self._sending = self._connection.channel()
            self._sending.confirm_delivery()
        return self._sending

    def _taken(self) -> Iterator[DeadLetter]:
        for _ in range(MAX_LETTERS):
            method, properties, body = self._channel.basic_get(DEAD_QUEUE)
            if method is None:
                return
            properties.message_id = properties.message_id or content_id(body)
            letter = dead_letter(envelope_of(properties, body))
            self._tags[id(letter)] = method.delivery_tag
            yield letter
