"""Stores messages in the outbox, a table, in the transaction of the change that they report.  After the commit, the
relay publishes them.
"""

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tortoise.connection import get_connection
from tortoise.queryset import QuerySet

from dss_broker.codec import encode
from dss_broker.messages import Message
from dss_observability.tracing import current_traceparent
from dss_portal.database.commits import after_commit
from dss_portal.models import OutboxMessage
from dss_portal.subjects import ticket_of

_INSERT = "INSERT INTO outbox (message_id, type_name, body, traceparent, created_at, ticket_id)"
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
    after_commit(_wake_relays)


class StoringStatement:
    """An SQL statement that stores messages in the outbox together with the change that they report."""

    def __init__(self, sql: str) -> None:
        """``sql`` has the placeholder ``{insert}`` before a SELECT of message_id, type_name, body, traceparent,
        created_at and ticket_id.
        """
        self._sql = sql.replace("{insert}", _INSERT)

    async def execute(self, values: Sequence[object]) -> list[dict[str, Any]]:
        """Execute the statement in the caller's transaction and return its rows.  The commit wakes the relay."""
        rows: list[dict[str, Any]] = await get_connection("default").execute_query_dict(
            self._sql, list(values)
        )
        after_commit(_wake_relays)
        return rows


async def make_due(messages: QuerySet[OutboxMessage]) -> None:
    """Make messages that were set aside due again.  Their attempts are counted from 0.  The commit wakes the relay."""
    await messages.update(set_aside_at=None, not_before=None, reason=None, tries=0)
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
