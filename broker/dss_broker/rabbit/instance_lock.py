"""The right of one process to its name: RabbitMQ lets one connection at a time have an exclusive queue."""

import logging
import time
from collections.abc import Callable
from functools import partial

from pika import SelectConnection  # type: ignore[import-untyped] # no py.typed
from pika.channel import Channel  # type: ignore[import-untyped]
from pika.exceptions import ChannelClosedByBroker  # type: ignore[import-untyped]

from dss_broker.rabbit.declare import CLASSIC
from dss_broker.rabbit.link import HEARTBEAT_S, Link
from dss_broker.topology import LONGEST_INSTANCE, word

log = logging.getLogger(__name__)

RESOURCE_LOCKED = 405
AGAIN_S = 2.0
SAY_AGAIN_S = 60.0
GHOST_S = 3.0 * HEARTBEAT_S
"""RabbitMQ has noticed by then that a lost connection is dead."""


class Name:
    """Every method runs on the link's thread, but ``problem`` may be read on any.

    A process that had its name before keeps working while its own dead connection still has it.
    """

    def __init__(self, link: Link, program: str, instance: str) -> None:
        self.problem = ""
        self._link, self._program, self._instance = link, program, instance
        self._queue = f"dss.{program}.name.{word(instance, LONGEST_INSTANCE)}"
        self._connection: SelectConnection | None = None
        self._go_on: Callable[[], None] = lambda: None
        self._is_granted = self._was_ours = False
        self._refused_s: float | None = None
        self._said_s = 0.0

    def take(self, connection: SelectConnection, go_on: Callable[[], None]) -> None:
        """``go_on`` as soon as nobody else has the name; at once, if that is known of ``connection``."""
        if connection is not self._connection:
            self._connection, self._is_granted, self._refused_s = connection, False, None
            self._go_on = go_on
            self._ask(connection)
        elif self._is_granted:
            go_on()

    def _ask(self, connection: SelectConnection) -> None:
        is_current = self._connection is connection
        if is_current and connection.is_open:
            connection.channel(on_open_callback=self._opened)

    def _opened(self, channel: Channel) -> None:
        channel.add_on_close_callback(self._closed)
        declared = partial(self._declared, channel)
        channel.queue_declare(self._queue, exclusive=True, arguments=CLASSIC, callback=declared)

    def _declared(self, channel: Channel, _: object) -> None:
        """The queue is there as long as the connection."""
        channel.close()
        if self.problem:
            log.info("the name is free now", extra={"instance": self._instance})
        self.problem, self._was_ours = "", True
        self._grant()

    def _closed(self, channel: Channel, reason: BaseException) -> None:
        if not isinstance(reason, ChannelClosedByBroker):
            return
        if reason.reply_code != RESOURCE_LOCKED:  # older rights know of no such queue
            self._grant()
            return
        now_s = time.monotonic()
        self._refused_s = now_s if self._refused_s is None else self._refused_s
        is_ghost = self._was_ours and now_s - self._refused_s < GHOST_S
        if not is_ghost:
            self._refuse(now_s)
        if self._was_ours:
            self._grant()
        self._link.call_later(AGAIN_S, partial(self._ask, channel.connection))

    def _grant(self) -> None:
        if not self._is_granted:
            self._is_granted = True
            self._go_on()

    def _refuse(self, now_s: float) -> None:
        self.problem = (
            f"Another {self._program} program with the name '{self._instance}' is at work; give each one a "
            "DSS_INSTANCE of its own, or none. (A program whose machine was lost counts for a minute more.)"
        )
        if now_s - self._said_s > SAY_AGAIN_S or not self._said_s:
            self._said_s = now_s
            log.error("name taken, waiting", extra={"reason": self.problem})
