"""Reads the changes that were committed to the database since the last read.

Triggers insert a row into the table ``change`` for each change, with the number of its transaction.  PostgreSQL gives
these numbers before the commit, so a reader reads again from the oldest transaction that was open at its last read: a
change may be read late, but none is missed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from operator import attrgetter
from typing import Any, Protocol, TypeAlias


class Subject(StrEnum):
    """The kind of row that a change is about."""

    STATE = "state"
    """A ticket is new, or its status, owner or claim has changed."""
    TICKET = "ticket"
    """A ticket's log, progress or files have changed."""
    USER = "user"
    """An account has changed or was disabled, or one of its sessions or tokens has changed or ended."""
    SERVICE = "service"
    """A service is new, or what the list of services shows of it has changed."""
    TIER = "tier"


@dataclass(frozen=True, kw_only=True)
class Change:
    """A change to the ticket, user or service with the number ``number``; 0 stands for all tiers.  ``owner`` is the
    number of the user to whom the ticket belongs; None for other subjects.

    ``version`` grows with each transaction, in the order of their first writes; it is 0 for a change reported by
    ``Feed.publish``.
    """

    subject: Subject
    number: int
    owner: int | None
    version: int


class ListeningConnection(Protocol):
    async def fetch(self, statement: str, *values: object) -> list[Any]: ...


# $1: transaction number at which to begin; None for no changes.  There is always a row, with the number for the next read.
_SINCE = """
SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS next, found.*
FROM (SELECT 1) AS one LEFT JOIN (
    SELECT change.subject, change.number, change.xid::text AS version, ticket.user_id AS owner
    FROM change LEFT JOIN ticket
        ON change.subject IN ('state', 'ticket') AND ticket.id = change.number
    WHERE change.xid >= $1::text::xid8) AS found ON true
"""

_FORGET = "DELETE FROM change WHERE at < now() - interval '5 minutes'"


_Row: TypeAlias = tuple[str, int, str, int | None]
"""A row of ``_SINCE`` without ``next``: the arguments of ``_change``."""


class ChangeReader:
    """Reads each committed change once.  The changes of one read are in the order of ``version``.

    While a transaction is open, all that was committed since it began is read again each time, and a program that tells
    many tickets something makes thousands of rows.  So rows are compared as they are, and only new ones become objects.
    """

    def __init__(self) -> None:
        self._next: str | None = None
        self._told: set[_Row] = set()

    async def read(self, connection: ListeningConnection) -> Sequence[Change]:
        """The changes that were committed since the last call; none at the first call."""
        rows = await connection.fetch(_SINCE, self._next)
        found: set[_Row] = {tuple(row)[1:] for row in rows if row["subject"] is not None}
        new = [_change(*row) for row in found - self._told]
        self._next, self._told = rows[0]["next"], found
        return sorted(new, key=attrgetter("version"))


async def forget(connection: ListeningConnection) -> None:
    """Delete rows that are older than 5 minutes.  By then every portal has read them."""
    await connection.fetch(_FORGET)


def _change(subject: str, number: int, version: str, owner: int | None) -> Change:
    return Change(subject=Subject(subject), number=number, owner=owner, version=int(version))
