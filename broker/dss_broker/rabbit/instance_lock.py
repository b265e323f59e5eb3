"""A lock on the name of a process, so that two processes with the same name do not consume at the same time.

It is an exclusive queue, which RabbitMQ gives to one connection at a time.
"""

import logging
import time
from collections.abc import Callable
from functools import partial

from pika import SelectConnection  # no py.typed
from pika.channel import Channel
from pika.exceptions import ChannelClosedByBroker

from dss_broker.rabbit.declare import CLASSIC
from dss_broker.rabbit.link import HEARTBEAT_S, Link
from dss_broker.topology import LONGEST_INSTANCE, word

log = logging.getLogger(__name__)

RESOURCE_LOCKED = 405
RETRY_S = 2.0
LOG_INTERVAL_S = 60.0
STALE_CONNECTION_S = 3.0 * HEARTBEAT_S
"""Seconds after which RabbitMQ has closed a lost connection, because it has got no heartbeats from it."""


class InstanceLock:
    """The lock of one process.  Every method runs on the link's thread; ``problem`` may be read on any thread.

    ``problem`` is a sentence for operators while another process holds the lock, otherwise "".  A process that has held
    the lock once goes on after a reconnection without waiting for the lock, which its lost connection may still hold.
    """

    def __init__(self, link: Link, program: str, instance: str) -> None:
        self.problem = ""
        self._link, self._program, self._instance = link, program, instance
        self._queue = f"dss.{program}.name.{word(instance, LONGEST_INSTANCE)}"
        self._connection: SelectConnection | None = None
        self._on_acquired: Callable[[], None] = lambda: None
        self._is_granted = self._was_acquired = False
        self._refused_s: float | None = None
        self._logged_s = 0.0

    def acquire(self, connection: SelectConnection, on_acquired: Callable[[], None]) -> None:
        """Call ``on_acquired`` when ``connection`` holds the lock; at once if it does already.

        Does not wait for the lock if this process has held it before, or if the user may not declare the queue.
        """
        if connection is not self._connection:
            self._connection, self._is_granted, self._refused_s = connection, False, None
            self._on_acquired = on_acquired
            self._try_to_acquire(connection)
        elif self._is_granted:
            on_acquired()

    def _try_to_acquire(self, connection: SelectConnection) -> None:
        is_current = self._connection is connection
        if is_current and connection.is_open:
            connection.channel(on_open_callback=self._opened)

    def _opened(self, channel: Channel) -> None:
        channel.add_on_close_callback(self._closed)
        declared = partial(self._declared, channel)
        channel.queue_declare(self._queue, exclusive=True, arguments=CLASSIC, callback=declared)

    def _declared(self, channel: Channel, _: object) -> None:
        """The exclusive queue is declared, so the lock is held until the connection closes."""
        channel.close()
        if self.problem:
            log.info("the name is free now", extra={"instance": self._instance})
        self.problem, self._was_acquired = "", True
        self._grant()

    def _closed(self, channel: Channel, reason: BaseException) -> None:
        if not isinstance(reason, ChannelClosedByBroker):
            return
        if reason.reply_code != RESOURCE_LOCKED:  # older rights know of no such queue
            self._grant()
            return
        now_s = time.monotonic()
        self._refused_s = now_s if self._refused_s is None else self._refused_s
        is_own_stale_connection = (
            self._was_acquired and now_s - self._refused_s < STALE_CONNECTION_S
        )
        if not is_own_stale_connection:
            self._refuse(now_s)
        if self._was_acquired:
            self._grant()
        self._link.call_later(RETRY_S, partial(self._try_to_acquire, channel.connection))

    def _grant(self) -> None:
        if not self._is_granted:
            self._is_granted = True
            self._on_acquired()

    def _refuse(self, now_s: float) -> None:
        problem = (
            f"Another {self._program} program with the name '{self._instance}' is at work; give each one a "
            "DSS_INSTANCE of its own, or none. (A program whose machine was lost counts for a minute more.)"
        )
        if now_s - self._logged_s > LOG_INTERVAL_S or not self._logged_s:
            self._logged_s = now_s
            log.error("name taken, waiting", extra={"reason": problem})
        self.problem = problem  # last: when /readyz shows it, the log has its line
