"""What users can do with a ticket: create it, submit, retry and delete it; and the checks whether they may.  Files are
stored by ``received_files``.

More than 300 lines: one short function for each action, beside the checks that the actions share.
"""

from http import HTTPStatus

from tortoise.transactions import in_transaction

from dss_broker.messages import TicketReady, TicketWithdrawn
from dss_observability import tracing
from dss_portal.accounts import store as accounts
from dss_portal.accounts.person import Person
from dss_portal.attachments import store as attachments
from dss_portal.datastore import Datastore
from dss_portal.models import Attachment, Status, Ticket, TicketLog
from dss_portal.outbox import store as outbox
from dss_portal.refusals import Refused
from dss_portal.services import store as services
from dss_portal.tickets import (
    creation,
    quota,
    removal,
    segmentation_facts,
    store,
)
from dss_portal.tickets.creation_keys import CreationKey
from dss_portal.tickets.lifecycle import (
    FINISHED,
    Deleted,
    IllegalAction,
    Requeued,
    Retried,
    Submitted,
)

QUEUED = "Ticket received and queued for processing"
"""The text of the log line about the submission; existing clients know its wording."""


_STATES = {
    Status.INIT: "is not submitted yet",
    Status.READY: "waits already",
    Status.CLAIMED: "is being worked on",
    Status.SUCCESS: "has succeeded",
    Status.FAILED: "has failed",
    Status.TIMEOUT: "has timed out",
    Status.DELETED: "is deleted",
}


def not_found(ticket_id: int, user: Person) -> Refused:
    """The refusal of an action on a ticket that does not exist or belongs to another user.  Programs get the same text
    for a ticket in the wrong state.
    """
    return Refused(
        f"Ticket {ticket_id} not found for user {user.id}",
        for_people=f"Ticket {ticket_id} does not exist, or it belongs to another user.",
        page_status=HTTPStatus.NOT_FOUND,
    )


def not_open(ticket: Ticket | None, ticket_id: int, user: Person) -> Refused:
    """The refusal of files, or of a submission, for a ticket that does not exist, belongs to another user, or is in a
    state that forbids it.  The text for people names the state if the user owns the ticket or is a sysadmin.
    """
    refusal = not_found(ticket_id, user)
    if ticket is None or not (user.sysadmin or ticket.user_id == user.id):
        return refusal
    text = (
        f"Ticket {ticket_id} {_STATES[ticket.status]}; it takes files only before it is submitted."
    )
    return Refused(refusal.text, for_people=text)


def _not_retriable(ticket: Ticket, user: Person) -> Refused:
    """The refusal of a retry that the ticket's state does not allow.  ``user`` may see the ticket, so the text for
    people names the state.
    """
    rule = "it" if user.sysadmin else "only a ticket that failed or timed out"
    can = "cannot" if user.sysadmin else "can"
    return Refused(
        not_found(ticket.id, user).text,
        for_people=f"Ticket {ticket.id} {_STATES[ticket.status]}; {rule} {can} be retried.",
    )


async def readable(ticket_id: int, user: Person) -> Ticket:
    """The ticket, if ``user`` owns it or is a sysadmin.  Raises Refused if not, or if there is no such ticket."""
    ticket = await Ticket.get_or_none(id=ticket_id) if ticket_id < 2**31 else None
    if ticket is None or not (user.sysadmin or ticket.user_id == user.id):
        raise not_found(ticket_id, user)
    return ticket


async def readable_attachments(log_id: int, user: Person) -> list[Attachment]:
    """The attachments of a log line; empty if it has none.  Raises Refused unless the line is in the log of a ticket
    that ``user`` owns; sysadmins have no other right here.
    """
    found = TicketLog.filter(id=log_id).select_related("ticket")
    line = await found.first() if log_id < 2**63 else None
    if line is None or line.ticket.user_id != user.id:
        raise Refused(f"Log entry {log_id} is not readable by user {user.id}")
    return (await attachments.of_lines([log_id])).get(log_id, [])


async def create(
    user: Person,
    githash: str | None,
    name: str | None,
    quiet_s: float,
    key: CreationKey | None = None,
) -> int:
    """Create a ticket for the service with the hash ``githash`` or, without a hash, for the highest version of the
    service ``name``; return the ticket's number.  Raises Refused if no such service takes tickets, if the user is
    disabled, or if the user may not open one more ticket.

    If the user has created a ticket with ``key`` before, its number is returned, whatever became of it and of its
    service; Refused is raised if that request had another form.

    In this module, ``quiet_s`` is the time in seconds after which a ticket that is not submitted and receives no upload
    no longer counts towards its user's quota.
    """
    since = quota.quiet_since(quiet_s)
    if key is not None:
        return await _create_keyed(user, githash, name, quiet_s, key)
    if githash is not None and (number := await creation.create_by_hash(user.id, githash, since)):
        return number
    service = await services.for_new_ticket(githash, name)
    if number := await creation.create_at_once(user.id, service, since):
        return number
    async with in_transaction():
        await accounts.require_enabled(user.id)
        await quota.check_tickets(user.id, quiet_s)
        return await creation.create(user.id, service)


async def _create_keyed(
    user: Person, githash: str | None, name: str | None, quiet_s: float, key: CreationKey
) -> int:
    since = quota.quiet_since(quiet_s)
    if githash is not None and (
        number := await creation.create_keyed_by_hash(user.id, githash, since, key)
    ):
        return number
    try:
        service = await services.for_new_ticket(githash, name)
    except Refused:
        if number := await creation.create_keyed(user.id, None, since, key):
            return number
        raise
    if number := await creation.create_keyed(user.id, service, since, key):
        return number
    async with in_transaction():
        await accounts.require_enabled(user.id)
        await quota.check_tickets(user.id, quiet_s)
        number = await creation.create_keyed(user.id, service, since, key)
    if number is None:
        raise Refused("The ticket was not created; please try again.", HTTPStatus.CONFLICT)
    return number


def require_open(ticket: Ticket | None, ticket_id: int, user: Person) -> None:
    """Raises Refused unless the ticket exists and accepts files of the user in its present state.  The caller has
    checked who owns the ticket.
    """
    if ticket is None or ticket.status not in accepting_states(user):
        raise not_open(ticket, ticket_id, user)


def accepting_states(user: Person) -> frozenset[Status]:
    """The states in which a ticket accepts files of the user: ``init``, for a sysadmin also ``ready``."""
    return frozenset({Status.INIT, Status.READY} if user.sysadmin else {Status.INIT})


async def lock_and_submit(ticket_id: int, user: Person, quiet_s: float) -> None:
    """Lock the ticket and queue it.  State, history, log and announcement are committed together.  Raises Refused if
    the user is disabled, or if the ticket is not the user's, is not in ``init``, or would exceed the quota; a sysadmin
    may queue any ticket that is neither successful nor deleted.

    ``submitting.submit`` calls it if its own two statements do not suffice.
    """
    async with in_transaction():
        ticket = await _own(ticket_id, user)
        ticket.service = await ticket.service  # loads it once
        if quota.is_quiet(ticket, quiet_s):  # from now on it counts towards the quota again
            await quota.check_tickets(ticket.user_id, quiet_s, but=ticket.id)
        try:
            await store.advance(ticket, Requeued() if user.sysadmin else Submitted())
        except IllegalAction as error:
            raise not_open(ticket, ticket_id, user) from error
        await store.add_log(ticket_id, "info", QUEUED)
        await store.begin_waiting(ticket)
        await announce(ticket)


async def retry(datastore: Datastore, ticket_id: int, user: Person, quiet_s: float) -> None:
    """Queue a failed or timed-out ticket again, from the first attempt, and remove its results; a sysadmin may restart
    any ticket that is neither successful nor deleted, without a check of the quota.  Raises Refused if the state or the
    quota forbids it, if the ticket is not the user's, or if the user is disabled.
    """
    async with in_transaction():
        ticket = await _own(ticket_id, user)
        if (
            ticket.status in FINISHED and not user.sysadmin
        ):  # from now on it counts towards the quota again
            await quota.check_tickets(ticket.user_id, quiet_s)
        try:
            await store.advance(ticket, Requeued() if user.sysadmin else Retried())
        except IllegalAction as error:
            raise _not_retriable(ticket, user) from error
        left = await _begin_anew(ticket, "Retrying ticket")
    await datastore.remove_files(ticket_id, "results", left)


async def requeue(datastore: Datastore, ticket_id: int) -> None:
    """Queue a failed or timed-out ticket again, from the first attempt, and remove its results, for an operator who has
    repaired the cause of its failure; no quota is checked.  Raises Refused if there is no such ticket, or if it is in
    another state.
    """
    async with in_transaction():
        ticket = await store.locked(ticket_id)
        if ticket is None:
            raise Refused(f"There is no ticket {ticket_id}; the message can only be discarded.")
        try:
            await store.advance(ticket, Retried())
        except IllegalAction as error:
            raise Refused(
                f"Ticket {ticket_id} is in state {ticket.status}, so its message is of no use any "
                "more and can only be discarded."
            ) from error
        left = await _begin_anew(ticket, "The operator has put the ticket back; retrying it")
    await datastore.remove_files(ticket_id, "results", left)


async def _begin_anew(ticket: Ticket, line: str) -> list[str]:
    """Delete the database rows about the results, labels, verdict and progress of earlier attempts, write ``line`` into
    the log, and announce the ticket, whose state is ``ready`` again.

    Returns the places of the results and of the links to them.  The caller removes these after the commit, because the
    transaction may be rolled back.
    """
    results = await store.files(ticket.id, "results")
    left = [*(file.place for file in results), *(file.name for file in results)]
    await store.clear_progress(ticket.id)
    await store.forget_files(ticket.id, "results")
    await segmentation_facts.delete(ticket)
    await store.add_log(ticket.id, "info", line)
    await store.begin_waiting(ticket)
    await announce(ticket)
    return left


async def delete(datastore: Datastore, ticket_id: int, user: Person) -> None:
    """Delete the ticket and its files, and tell the holder of its claim to stop.  Idempotent.  Raises Refused unless
    ``user`` owns the ticket or is a sysadmin.
    """
    await readable(ticket_id, user)
    await withdraw(datastore, ticket_id)


async def withdraw(datastore: Datastore, ticket_id: int) -> None:
    """Delete the ticket and its files, and tell the holder of its claim to stop, without a check of rights.
    Idempotent, also for a ticket that does not exist.
    """
    async with in_transaction():
        ticket = await store.locked(ticket_id)
        if ticket is None:
            return
        await forget(ticket)
    await removal.remove_files(datastore, ticket_id)


async def forget(ticket: Ticket) -> None:
    """Delete a locked ticket except for its files on disk, which the caller removes after the commit: set its state to
    ``deleted``, delete its rows of files and labels and its title, and tell the holder of its claim to stop.
    """
    await store.advance(ticket, Deleted())
    await store.forget_files(ticket.id)
    await segmentation_facts.delete(ticket)
    ticket.title = ""
    await ticket.save(update_fields=["title"])
    service = await ticket.service
    await outbox.put(TicketWithdrawn(ticket_id=ticket.id, service=service.name))


async def announce(ticket: Ticket) -> None:
    """Announce to the service's dispatchers that the ticket waits, by a TicketReady in the outbox.  Call it within a
    transaction.
    """
    service = await ticket.service
    ready = TicketReady(
        ticket_id=ticket.id,
        service=service.name,
        service_hash=service.githash,
        attempt=ticket.attempt,
    )
    with tracing.in_span_of(ticket.traceparent or tracing.current_traceparent.get()):
        await outbox.put(ready)
    ticket.announced_at = store.now()
    ticket.announcements += 1
    await ticket.save(update_fields=["announced_at", "announcements"])


async def _own(ticket_id: int, user: Person) -> Ticket:
    await accounts.require_enabled(user.id)
    ticket = await store.locked(ticket_id) if ticket_id < 2**31 else None
    if ticket is None or not (user.sysadmin or ticket.user_id == user.id):
        raise not_found(ticket_id, user)
    return ticket
