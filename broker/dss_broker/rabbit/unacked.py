"""Which messages one subscription has in hand, through any number of connections."""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias
from uuid import uuid4

from pika import BasicProperties  # type: ignore[import-untyped] # no py.typed
from pika.channel import Channel  # type: ignore[import-untyped]

from dss_broker.envelope import Envelope, ids

REMEMBERED = 1000
"""Handled messages whose acknowledgement may have been lost with the connection: AMQP confirms none."""

Key: TypeAlias = tuple[str, int]
"""Message id and attempt: one piece of work, however often it is delivered."""


@dataclass(kw_only=True, eq=False)
class Hand:
    """A message in hand.  Of its ``deliveries`` (channel, tag) only those of the open channel count.

    The rest is for ``rabbit.deaths``: the message's id, also if its sender gave none (``name``); is the handler ``begun``, were deaths ``counted``, is there a mark of
    ours (``marked``), does it have the program's turn (``has_turn``), is the message out of hand (``settled``).
    """

    envelope: Envelope
    redelivered: bool
    deliveries: list[tuple[Channel, int]] = field(default_factory=list)
    name: str
    begun: bool = False
    counted: bool = False
    marked: bool = False
    has_turn: bool = False
    settled: bool = False

    @property
    def is_suspect(self) -> bool:
        """Somebody had it before and has not done it, for whatever reason."""
        return self.redelivered or self.envelope.is_suspect

    @cached_property
    def ticket(self) -> int | str | None:
        """The ticket that the message is about, if any."""
        return ids(self.envelope).get("ticket")

    @property
    def key(self) -> Key:
        return (self.envelope.message_id, self.envelope.attempt)

    def acknowledge(self) -> None:
        for channel, tag in self._valid():
            channel.basic_ack(tag)

    def reject(self) -> None:
        """After a failure: since RabbitMQ 4.3 a reject counts towards the delivery limit, a nack does not."""
        for channel, tag in self._valid():
            channel.basic_reject(tag, requeue=True)

    def hand_back(self) -> None:
        """Nothing was wrong with it."""
        for channel, tag in self._valid():
            channel.basic_nack(tag, requeue=True)

    def _valid(self) -> list[tuple[Channel, int]]:
        return [(channel, tag) for channel, tag in self.deliveries if channel.is_open]


class Hands:
    """A message that comes again while it is in hand is *adopted*: its hand gets the new delivery."""

    def __init__(self) -> None:
        self._in_hand: dict[Key, Hand] = {}
        self._done: OrderedDict[Key, None] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._in_hand)

    def __iter__(self) -> Iterator[Hand]:
        return iter(list(self._in_hand.values()))

    def adopt(self, hand: Hand) -> Hand | None:
        """The one that has the message in hand already, if any; it answers for the new delivery too."""
        known = self._in_hand.get(hand.key)
        if known is not None:
            known.deliveries += hand.deliveries
        return known

    def was_done(self, hand: Hand) -> bool:
        """True if it was handled here and only the acknowledgement was lost."""
        return hand.redelivered and hand.key in self._done

    def add(self, hand: Hand) -> None:
        self._done.pop(hand.key, None)  # an operator has sent it back after it was parked here
        self._in_hand[hand.key] = hand

    def drop(self, hand: Hand) -> None:
        hand.settled = True
        if self._in_hand.get(hand.key) is hand:
            del self._in_hand[hand.key]

    def remember(self, hand: Hand) -> None:
        """It is done."""
        self._done[hand.key] = None
        while len(self._done) > REMEMBERED:
            self._done.popitem(last=False)


def envelope_of(properties: BasicProperties, body: bytes) -> Envelope:
    return Envelope(
        type_name=properties.type,
        body=body,
        message_id=properties.message_id or uuid4().hex,
        correlation_id=properties.correlation_id,
        reply_to=properties.reply_to,
        headers=properties.headers or {},
    )
