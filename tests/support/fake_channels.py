"""A publisher, and a channel that writes down what it is asked."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, cast

import pytest
from pika import BasicProperties, spec  # no py.typed
from pika.frame import Method

from dss_broker.envelope import Envelope
from dss_broker.rabbit.link import Link
from dss_broker.rabbit.publication import Publication
from dss_broker.rabbit.publisher import Publisher


class FakeLink:
    """Runs everything at once; keeps what is to run later."""

    def __init__(self) -> None:
        self.closed = False
        self.later: list[Callable[[], None]] = []

    def call(self, action: Callable[[], None]) -> bool:
        if not self.closed:
            action()
        return not self.closed

    def call_later(self, _: float, action: Callable[[], None]) -> None:
        self.later.append(action)


class FakeConnection:
    """A connection whose only channel is itself."""

    is_open = True

    def close(self) -> None:
        self.close_channel()

    def __init__(self) -> None:
        self.published: list[str] = []
        self.connection = self

    def channel(self, on_open_callback: Callable[[Any], None]) -> None:
        on_open_callback(self)

    def add_on_close_callback(self, callback: Callable[..., None]) -> None:
        self._closed = callback

    def add_on_return_callback(self, callback: Callable[..., None]) -> None:
        self._returned = callback

    def add_on_connection_blocked_callback(self, callback: Callable[..., None]) -> None:
        self._blocked = callback

    def add_on_connection_unblocked_callback(self, callback: Callable[..., None]) -> None:
        self._unblocked = callback

    def close_channel(self, reason: Exception | None = None) -> None:
        self._closed(self, reason or RuntimeError("closed by the broker"))

    def block(self) -> None:
        self._blocked(self, None)

    def unblock(self) -> None:
        self._unblocked(self, None)

    def confirm_delivery(self, confirmed: Callable[..., None], callback: Any) -> None:
        self._confirmed = confirmed
        callback(None)

    def basic_publish(
        self, _: str, key: str, __: bytes, properties: BasicProperties, *, mandatory: bool
    ) -> None:
        if key == "unwritable":
            raise ValueError("too long for AMQP")
        self.published.append(properties.message_id)

    def ack(self, tag: int, *, multiple: bool = False) -> None:
        self._confirmed(Method(1, spec.Basic.Ack(tag, multiple)))

    def nack(self, tag: int) -> None:
        self._confirmed(Method(1, spec.Basic.Nack(tag, False)))

    def give_back(self, message_id: str) -> None:
        method = spec.Basic.Return(312, "NO_ROUTE", "dss.tickets", "key")
        self._returned(self, method, BasicProperties(message_id=message_id), b"")


def send(
    publisher: Publisher, message_id: str, *, key: str = "key", mandatory: bool = True
) -> "Future[None]":
    envelope = Envelope(type_name="ClaimHeartbeat", body=b"{}", message_id=message_id)
    publication = Publication(
        exchange="dss.tickets", routing_key=key, envelope=envelope, mandatory=mandatory
    )
    return publisher.send(publication)


@pytest.fixture
def link() -> FakeLink:
    return FakeLink()


@pytest.fixture
def publisher(link: FakeLink) -> Publisher:
    return Publisher(cast("Link", link), lambda _: None)


@pytest.fixture
def broker(publisher: Publisher) -> FakeConnection:
    broker = FakeConnection()
    publisher.up(broker)
    return broker
