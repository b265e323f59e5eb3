"""The connection to RabbitMQ and the one thread that may touch it."""

import logging
import math
import random
import threading
import time
from collections.abc import Callable
from functools import partial
from itertools import cycle

from pika import SelectConnection, URLParameters  # type: ignore[import-untyped] # no py.typed
from pika.adapters.select_connection import IOLoop  # type: ignore[import-untyped]

from dss_broker.rabbit.refusal import refusal
from dss_observability import metrics

log = logging.getLogger(__name__)

FIRST_RETRY_S = 0.2
LONGEST_RETRY_S = 2.0
"""So much later than RabbitMQ itself a program is back, at worst."""

HEARTBEAT_S = 30
"""A peer that is silent for twice as long is given up.  torch may hold the GIL for seconds."""

SAY_AGAIN_S = 60.0
"""Longest time between two lines of the log that say that RabbitMQ refuses us, in seconds."""

CLOSING_TIMEOUT_S = 3.0

Action = Callable[[], None]


class Backoff:
    """Waiting times that double from FIRST_RETRY_S to LONGEST_RETRY_S, each shortened at random by up to half."""

    def __init__(self) -> None:
        self._failures = 0

    def next_s(self) -> float:
        longest = min(LONGEST_RETRY_S, FIRST_RETRY_S * (1 << self._failures))
        self._failures = min(self._failures + 1, 16)
        return longest * random.uniform(0.5, 1)  # noqa: S311 - spreads reconnections, no secret

    def reset(self) -> None:
        self._failures = 0


class Link:
    """Connects, and connects again for ever until closed.

    ``refusal`` says why RabbitMQ does not let us in; "" if it does, or is away.  ``on_up`` gets each new connection; ``on_down`` is told that it is gone, ``on_close`` that there
    will be no other.  They, and everything given to ``call``, run on the link's own thread, where
    nothing may block.
    """

    def __init__(
        self,
        url: str,
        name: str,
        *,
        on_up: Callable[[SelectConnection], None],
        on_down: Action,
        on_close: Action,
    ) -> None:
        self._parameters = cycle(parameters_of(url, name))
        self._on_up, self._on_down, self._on_close = on_up, on_down, on_close
        self._loop = IOLoop()
        self._connection: SelectConnection | None = None
        self._opened_at = 0.0
        self._told_down = False
        self.refusal = ""
        self._refused_s = -math.inf
        self._backoff = Backoff()
        self._closed = False
        self._closing = threading.Lock()
        self._thread = threading.Thread(target=self._run, name=f"amqp {name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def call(self, action: Action) -> bool:
        """Run ``action`` on the link's thread, in the order of the calls.  False: closed, it never will."""
        with self._closing:
            if not self._closed:
                self._loop.add_callback_threadsafe(partial(_guarded, action))
            return not self._closed

    def call_later(self, delay_s: float, action: Action) -> None:
        """Only on the link's thread."""
        self._loop.call_later(delay_s, partial(_guarded, action))

    def close(self) -> None:
        """Run what was called before, say goodbye to the broker, end the thread."""
        with self._closing:
            already_closed, self._closed = self._closed, True
            if not already_closed:
                self._loop.add_callback_threadsafe(self._say_goodbye)
        if threading.current_thread() is not self._thread:
            self._thread.join(CLOSING_TIMEOUT_S + 2)

    def _run(self) -> None:
        self._loop.add_callback_threadsafe(self._connect)
        while not self._runs_to_its_end():
            pass
        self._loop.close()

    def _runs_to_its_end(self) -> bool:
        try:
            self._loop.start()
        except Exception as error:
            log.exception("connection thread failed, connecting again")
            self._recover(error)
            return False
        return True

    def _connect(self) -> None:
        if self._closed:
            return
        self._connection = SelectConnection(
            next(self._parameters),  # another node, if there are several
            on_open_callback=self._opened,
            on_open_error_callback=self._not_opened,
            on_close_callback=self._lost,
            custom_ioloop=self._loop,
        )

    def _opened(self, connection: SelectConnection) -> None:
        if self._closed:
            connection.close()
            return
        log.info("connected to RabbitMQ", extra={"node": _node_of(connection)})
        self._told_down, self.refusal = False, ""
        self._opened_at = time.monotonic()
        self._on_up(connection)

    def _not_opened(self, connection: SelectConnection, error: BaseException) -> None:
        self.refusal = refusal(error, connection.params)
        if self.refusal and time.monotonic() - self._refused_s > SAY_AGAIN_S:
            self._refused_s = time.monotonic()
            log.error("RabbitMQ refuses us, trying on", extra={"reason": self.refusal})
        self._again(error)

    def _lost(self, _: SelectConnection, error: BaseException) -> None:
        if not self._closed:
            metrics.BROKER_LOST.inc()
        if time.monotonic() - self._opened_at > LONGEST_RETRY_S:
            self._backoff.reset()
        self._on_down()
        self._again(error)

    def _again(self, error: BaseException) -> None:
        self._connection = None
        if self._closed:
            self._loop.stop()
            return
        delay_s = self._backoff.next_s()
        facts = {"reason": repr(error), "retry_s": round(delay_s, 2)}
        # Once for each outage: whoever waits for hours need not say so every two seconds.
        log.log(
            logging.DEBUG if self._told_down or self.refusal else logging.WARNING,
            "no connection to RabbitMQ, trying on",
            extra=facts,
        )
        self._told_down = True
        self._loop.call_later(delay_s, self._connect)

    def _recover(self, error: BaseException) -> None:
        """After a fault of our own: a connection in an unknown state is worth nothing."""
        if self._connection is None or self._connection.is_closed:
            self._on_down()
            self._again(error)
        elif self._connection.is_open:
            self._connection.close()

    def _say_goodbye(self) -> None:
        _guarded(self._on_close)
        self._loop.call_later(CLOSING_TIMEOUT_S, self._loop.stop)
        if self._connection is None:
            self._loop.stop()
        elif self._connection.is_open:
            self._connection.close()
        # otherwise it is being opened, which pika 1.4 cannot break off: it closes when that has ended


def parameters_of(url: str, name: str) -> list[URLParameters]:
    """Of each node of a cluster; ``url`` names them with commas between."""
    return [_parameters(node.strip(), name) for node in url.split(",") if node.strip()]


def _parameters(url: str, name: str) -> URLParameters:
    parameters = URLParameters(url)
    parameters.heartbeat = HEARTBEAT_S
    parameters.connection_attempts = 1  # the link has its own back-off
    parameters.socket_timeout = 5
    parameters.stack_timeout = 10
    parameters.client_properties = {"connection_name": name}
    return parameters


def _node_of(connection: SelectConnection) -> str:
    return f"{connection.params.host}:{connection.params.port}"


def _guarded(action: Action) -> None:
    """One failing action must not take the thread, and so every other message, with it."""
    try:
        action()
    except Exception:
        log.exception("action on the connection failed")
