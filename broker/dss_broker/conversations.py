"""The open requests of one process, and their replies, for every implementation of ``broker.Broker``."""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future

from dss_broker.errors import BrokerClosed, ReplyTimeout
from dss_broker.messages import Message


class OpenConversation:
    """A ``broker.Conversation`` about ``request``, whose replies the owner adds with ``put``, from any thread."""

    def __init__(self, request: Message, on_close: Callable[[], None]) -> None:
        self.request = request
        self._arrived: queue.SimpleQueue[Message | BaseException] = queue.SimpleQueue()
        self._on_close = on_close

    def next(self, timeout_s: float) -> Message:
        try:
            arrived = self._arrived.get(timeout=timeout_s)
        except queue.Empty:
            raise ReplyTimeout(f"No reply came within {timeout_s:g} s") from None
        if isinstance(arrived, BaseException):
            self._arrived.put(arrived)  # for the next call
            raise arrived
        return arrived

    def close(self) -> None:
        self._on_close()
        self.put(BrokerClosed("The conversation was closed"))

    def put(self, arrived: Message | BaseException) -> None:
        """Add a reply, or the error that says why no reply will come.  May be called from any thread."""
        self._arrived.put(arrived)

    def watch(self, request: "Future[None]") -> None:
        """If ``request`` could not be published, let ``next`` raise its error."""
        request.add_done_callback(self._request_done)

    def _request_done(self, request: "Future[None]") -> None:
        if error := request.exception():
            self.put(error)


class Conversations:
    """The open conversations of one process, by request id.  Every method may be called from any thread."""

    def __init__(self) -> None:
        self._open: dict[str, OpenConversation] = {}
        self._lock = threading.Lock()

    def open(self, request_id: str, request: Message) -> OpenConversation:
        conversation = OpenConversation(request, on_close=lambda: self._forget(request_id))
        with self._lock:
            self._open[request_id] = conversation
        return conversation

    def all_open(self) -> list[tuple[str, OpenConversation]]:
        """The ids of the open requests, and their conversations."""
        with self._lock:
            return list(self._open.items())

    def deliver(self, request_id: str | None, reply: Message) -> None:
        """Add ``reply`` to its conversation.  Drop it if that conversation is closed or unknown."""
        with self._lock:
            conversation = self._open.get(request_id or "")
        if conversation is not None:
            conversation.put(reply)

    def close(self) -> None:
        """End all conversations: their ``next`` raises BrokerClosed."""
        with self._lock:
            abandoned = list(self._open.values())
            self._open.clear()
        for conversation in abandoned:
            conversation.put(BrokerClosed("The broker was closed before a reply came"))

    def _forget(self, request_id: str) -> None:
        with self._lock:
            self._open.pop(request_id, None)
