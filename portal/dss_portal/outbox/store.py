"""Stores messages in the outbox, a table, in the transaction of the change that they report.  After the commit, the
relay publishes them.
"""

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
"""The beginning of SQL statements that store a message together with the change that it reports.  Call
``wake_relay_after_commit`` after such a statement.
"""
_listeners: set[Callable[[], None]] = set()
"""The functions that wake the relays of this process."""


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
    wake_relay_after_commit()


def wake_relay_after_commit() -> None:
    """Wake the relay after the caller's commit.  Call it after a statement that makes a message of the outbox due."""
    after_commit(_wake_relays)


@contextmanager
def woken_by_commits(listener: Callable[[], None]) -> Iterator[None]:
    """A context in which ``listener`` is called after each commit of this process that makes a message due.

    Commits of other processes, such as a command's, do not call it: the relay's regular poll finds their messages.
    """
    _listeners.add(listener)
    try:
        yield
    finally:
        _listeners.discard(listener)


def _wake_relays() -> None:
    for listener in tuple(_listeners):
        listener()
