"""Titles that owners give to their tickets.  A title may name a patient, so only the owner sees it, and no log, mail or
metric contains it.
"""

import asyncio
from contextlib import suppress

from tortoise.transactions import in_transaction

from dss_portal.accounts.person import Person
from dss_portal.datastore import Datastore
from dss_portal.datastore.stored import workspace_in
from dss_portal.models import Status, Ticket, User
from dss_portal.tickets import store, submission
from dss_workspace.errors import WorkspaceInvalid
from dss_workspace.layers import layers

MOST_CHARACTERS = 120


async def take_from_workspace(datastore: Datastore, ticket_id: int, user: Person) -> None:
    """Set the title of a ticket that is about to be submitted to the nickname of the main layer in its workspace.

    Does nothing if the ticket is not the user's, is not in ``init``, has a title already, or does not have exactly one
    workspace that can be read; the service later reports what is wrong with the workspace.
    """
    own = Ticket.filter(user_id=user.id, status=Status.INIT, title="")
    ticket = await own.get_or_none(id=ticket_id) if ticket_id < 2**31 else None
    places = [] if ticket is None else [f.place for f in await store.files(ticket_id, "input")]
    workspaces = [place for place in places if place.casefold().endswith(".itksnap")]
    if ticket is None or len(workspaces) != 1:
        return
    file = await datastore.file(ticket_id, "input", workspaces[0])
    with suppress(WorkspaceInvalid, FileNotFoundError):
        main, *_ = await asyncio.to_thread(lambda: layers(workspace_in(file)))
        await set_title(ticket, main.nickname)


def printable(text: str) -> str:
    """``text`` in one line and without unprintable characters, such as those that reverse the direction of writing."""
    return "".join(letter for letter in " ".join(text.split()) if letter.isprintable())


async def set_title(ticket: Ticket, title: str) -> None:
    """Set and save the ticket's title: one line of printable characters, at most MOST_CHARACTERS; the rest is cut off."""
    ticket.title = printable(title)[:MOST_CHARACTERS]
    await ticket.save(update_fields=["title"])


async def rename(ticket_id: int, user: User, title: str) -> None:
    """Set the ticket's title; "" removes it.  Raises Refused if ``user`` does not own the ticket, or if it is deleted."""
    async with in_transaction():
        ticket = await store.locked(ticket_id) if ticket_id < 2**31 else None
        if ticket is None or ticket.user_id != user.id or ticket.status is Status.DELETED:
            raise submission.not_found(ticket_id, user)
        await set_title(ticket, title)
