"""Stores messages in the transaction of the change that they report.  The commit wakes the relay."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dss_broker.codec import encode
from dss_broker.messages import Message
from dss_observability.tracing import current_traceparent
from dss_portal.database.commits import after_commit
from dss_portal.models import OutboxMessage
from dss_portal.subjects import ticket_of

INSERT = "INSERT INTO outbox (message_id, type_name, body, traceparent, created_at, ticket_id)"
"""For statements that store a message together with their change; ``is_due`` is called after them."""
_listeners: set[Callable[[], None]] = set()
"""The relays of this process."""


async def put(message: Message) -> None:
    """Store ``message`` in the caller's transaction.  The commit wakes the relay, which publishes it."""
    type_name, body = encode(message)
    await OutboxMessage.create(
        message_id=uuid.uuid4().hex,
        type_name=type_name,
        body=body,
        traceparent=current_traceparent.get(),
        ticket_id=ticket_of(message),
    )
    is_due()


def is_due() -> None:
    """Wake the relay after the caller's commit, because that commit makes a message of the outbox due."""
    after_commit(_tell)


@contextmanager
def woken_by_commits(listener: Callable[[], None]) -> Iterator[None]:
    """A context in which ``listener`` is called after each commit of this process that makes a message due.

    Commits of other processes, such as a command's, are found by the relay's periodic look.
    """
    _listeners.add(listener)
    try:
        yield
    finally:
        _listeners.discard(listener)


def _tell() -> None:
    for listener in tuple(_listeners):
        listener()
