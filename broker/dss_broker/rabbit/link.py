"""The connection to RabbitMQ, and the thread that alone may use it."""

import logging
import math
import random
import threading
import time
from collections.abc import Callable
from functools import partial
from itertools import cycle

from pika import SelectConnection, URLParameters  # no py.typed
from pika.adapters.select_connection import IOLoop

from dss_broker.rabbit.refusal import refusal, too_old
from dss_observability import metrics

log = logging.getLogger(__name__)

FIRST_RETRY_S = 0.2
LONGEST_RETRY_S = 2.0
"""Longest pause between two attempts to connect, in seconds."""

HEARTBEAT_S = 30
"""Heartbeat interval in seconds: a connection without traffic for twice this time is closed.  It is long, because torch
may hold the GIL for seconds.
"""

LOG_INTERVAL_S = 60.0
"""Shortest time between two log lines that say that RabbitMQ refuses the connection, in seconds."""

CLOSING_TIMEOUT_S = 3.0

Action = Callable[[], None]


class Backoff:
    """Pauses between attempts, in seconds.  They double from FIRST_RETRY_S to ``longest_s`` (default: LONGEST_RETRY_S);
    each is shortened at random by up to half.
    """

    def __init__(self, longest_s: float | None = None) -> None:
        self._longest_s = longest_s
        self._failures = 0

    def next_s(self) -> float:
        most_s = LONGEST_RETRY_S if self._longest_s is None else self._longest_s
        longest = min(most_s, FIRST_RETRY_S * (1 << self._failures))
        self._failures = min(self._failures + 1, 16)
        return longest * random.uniform(0.5, 1)  # noqa: S311 - spreads reconnections, no secret

    def reset(self) -> None:
        self._failures = 0


class Link:
    """A connection that reconnects after each loss, without limit, until ``close``.

    ``refusal`` says why RabbitMQ refuses the connection, or that it is too old; otherwise "".  The link calls
    ``on_up`` with each new connection, ``on_down`` when a connection is lost, and ``on_close`` once, before it closes
    the last connection.  These callbacks, and the actions given to ``call``, run on the link's own thread and must not
    block.
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
        self._logged_down = False
        self.refusal = ""
        self._logged_refusal_s = -math.inf
        self._backoff = Backoff()
        self._closed = False
        self._closing = threading.Lock()
        self._thread = threading.Thread(target=self._run, name=f"amqp {name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def call(self, action: Action) -> bool:
        """Let the link's thread run ``action``, in the order of the calls, without waiting.  False, and nothing is run,
        if the link is closed.  An exception of ``action`` is logged.
        """
        with self._closing:
            if not self._closed:
                self._loop.add_callback_threadsafe(partial(_logging_errors, action))
            return not self._closed

    def call_later(self, delay_s: float, action: Action) -> None:
        """Run ``action`` on the link's thread after ``delay_s``.  This method may be called only on that thread."""
        self._loop.call_later(delay_s, partial(_logging_errors, action))

    def close(self) -> None:
        """Run the actions of earlier calls, close the connection and end the thread.  Waits for that, at most
        CLOSING_TIMEOUT_S and 2 s; not at all if the link's own thread calls it.
        """
        with self._closing:
            already_closed, self._closed = self._closed, True
            if not already_closed:
                self._loop.add_callback_threadsafe(self._close_connection)
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
        self._opened_at = time.monotonic()
        self._refused("RabbitMQ is too old, trying again", too_old(connection.server_properties))
        if self.refusal:
            connection.close()
            return
        log.info("connected to RabbitMQ", extra={"node": _node_of(connection)})
        self._logged_down = False
        self._on_up(connection)

    def _not_opened(self, connection: SelectConnection, error: BaseException) -> None:
        sentence = refusal(error, connection.params)
        self._refused("RabbitMQ refuses this program, trying again", sentence)
        self._reconnect_later(error)

    def _refused(self, event: str, sentence: str) -> None:
        """Keep ``sentence`` ("": not refused), but log it first: when /readyz shows it, the log has its line."""
        if sentence and time.monotonic() - self._logged_refusal_s > LOG_INTERVAL_S:
            self._logged_refusal_s = time.monotonic()
            log.error(event, extra={"reason": sentence})
        self.refusal = sentence

    def _lost(self, _: SelectConnection, error: BaseException) -> None:
        if not self._closed and not self.refusal:
            metrics.BROKER_LOST.inc()
        if time.monotonic() - self._opened_at > LONGEST_RETRY_S:
            self._backoff.reset()
        self._on_down()
        self._reconnect_later(error)

    def _reconnect_later(self, error: BaseException) -> None:
        self._connection = None
        if self._closed:
            self._loop.stop()
            return
        delay_s = self._backoff.next_s()
        facts = {"reason": repr(error), "retry_s": round(delay_s, 2)}
        # One line for each outage, not one for each attempt.
        log.log(
            logging.DEBUG if self._logged_down or self.refusal else logging.WARNING,
            "no connection to RabbitMQ, trying again",
            extra=facts,
        )
        self._logged_down = True
        self._loop.call_later(delay_s, self._connect)

    def _recover(self, error: BaseException) -> None:
        """After an exception in our own code: close the connection, whose state is unknown, and open another."""
        if self._connection is None or self._connection.is_closed:
            self._on_down()
            self._reconnect_later(error)
        elif self._connection.is_open:
            self._connection.close()

    def _close_connection(self) -> None:
        _logging_errors(self._on_close)
        self._loop.call_later(CLOSING_TIMEOUT_S, self._loop.stop)
        if self._connection is None:
            self._loop.stop()
        elif self._connection.is_open:
            self._connection.close()
        # otherwise it is being opened, which pika 1.4 cannot cancel: ``_opened`` closes it


def parameters_of(url: str, name: str) -> list[URLParameters]:
    """Connection parameters for each address in ``url``: the nodes of a cluster, separated by commas.

    ``name`` is shown to operators as the name of the connection.
    """
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


def _logging_errors(action: Action) -> None:
    """Run ``action``; an exception is logged and does not end the thread."""
    try:
        action()
    except Exception:
        log.exception("action on the connection failed")
