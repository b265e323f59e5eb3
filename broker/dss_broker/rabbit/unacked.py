"""The messages of one subscription that are delivered and not yet acknowledged, over all reconnections."""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias
from uuid import uuid4

from pika import BasicProperties  # no py.typed
from pika.channel import Channel

from dss_broker.envelope import Envelope, ids

REMEMBERED = 1000
"""Number of handled messages to remember, because their acknowledgement may have been lost: RabbitMQ does not confirm
acknowledgements.
"""

Key: TypeAlias = tuple[str, int]
"""Message id and attempt, which are equal for the deliveries of one attempt of a message."""


@dataclass(kw_only=True, eq=False)
class UnackedMessage:
    """A message with its ``deliveries`` (channel, tag), of which only those of the open channel are valid.

    ``stable_id`` is the message's id, or a hash of its body if the sender gave none.  The other fields are for
    ``rabbit.deaths``: ``started``: the handler has started; ``counted``: earlier deaths were counted; ``marked``:
    RabbitMQ has this program's mark for the message; ``holds_lock``: the message holds the program's lock for suspects;
    ``removed``: the message is no longer in UnackedMessages.
    """

    envelope: Envelope
    redelivered: bool
    deliveries: list[tuple[Channel, int]] = field(default_factory=list)
    stable_id: str
    started: bool = False
    counted: bool = False
    marked: bool = False
    holds_lock: bool = False
    removed: bool = False

    @property
    def is_suspect(self) -> bool:
        """True if an earlier consumer had the message and did not acknowledge it, for whatever reason."""
        return self.redelivered or self.envelope.is_suspect

    @cached_property
    def ticket(self) -> int | str | None:
        """The number of the ticket that the message is about; None if there is none."""
        return ids(self.envelope).get("ticket")

    @property
    def key(self) -> Key:
        return (self.envelope.message_id, self.envelope.attempt)

    def acknowledge(self) -> None:
        for channel, tag in self._valid():
            channel.basic_ack(tag)

    def reject(self) -> None:
        """Requeue after a failure.  Since RabbitMQ 4.3 a reject counts towards the delivery limit, a nack does not."""
        for channel, tag in self._valid():
            channel.basic_reject(tag, requeue=True)

    def nack(self) -> None:
        """Requeue a message that did not fail."""
        for channel, tag in self._valid():
            channel.basic_nack(tag, requeue=True)

    def _valid(self) -> list[tuple[Channel, int]]:
        return [(channel, tag) for channel, tag in self.deliveries if channel.is_open]


class UnackedMessages:
    """The unacknowledged messages of one subscription by key.  A redelivered message is in it once, with all tags."""

    def __init__(self) -> None:
        self._by_key: dict[Key, UnackedMessage] = {}
        self._acknowledged: OrderedDict[Key, None] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._by_key)

    def __iter__(self) -> Iterator[UnackedMessage]:
        return iter(list(self._by_key.values()))

    def add_redelivery(self, unacked: UnackedMessage) -> UnackedMessage | None:
        """The earlier delivery of the same message, to which this one's tags are added; None if there is none."""
        known = self._by_key.get(unacked.key)
        if known is not None:
            known.deliveries += unacked.deliveries
        return known

    def was_acknowledged(self, unacked: UnackedMessage) -> bool:
        """True if the message was redelivered, but is among the last REMEMBERED messages that this program
        acknowledged: only its acknowledgement was lost.
        """
        return unacked.redelivered and unacked.key in self._acknowledged

    def add(self, unacked: UnackedMessage) -> None:
        # An operator may have requeued a message that was parked, and so acknowledged, here.
        self._acknowledged.pop(unacked.key, None)
        self._by_key[unacked.key] = unacked

    def remove(self, unacked: UnackedMessage) -> None:
        unacked.removed = True
        if self._by_key.get(unacked.key) is unacked:
            del self._by_key[unacked.key]

    def remember_acknowledged(self, unacked: UnackedMessage) -> None:
        """Keep the keys of the last REMEMBERED messages for ``was_acknowledged``."""
        self._acknowledged[unacked.key] = None
        while len(self._acknowledged) > REMEMBERED:
            self._acknowledged.popitem(last=False)


def envelope_of(properties: BasicProperties, body: bytes) -> Envelope:
    return Envelope(
        type_name=properties.type,
        body=body,
        message_id=properties.message_id or uuid4().hex,
        correlation_id=properties.correlation_id,
        reply_to=properties.reply_to,
        headers=properties.headers or {},
    )
