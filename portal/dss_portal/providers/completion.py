"""Ends the claim of a provider over HTTP, as failed or as successful.  Before a ticket succeeds, its results are
checked by another program.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tortoise.transactions import in_transaction

from dss_broker.messages import CheckResults, ResultsAccepted
from dss_datastore import layout
from dss_portal.attachments import store as attachments
from dss_portal.components import Components
from dss_portal.database import clock
from dss_portal.datastore import Datastore
from dss_portal.datastore.stored import Stamps
from dss_portal.estimates import runs
from dss_portal.models import Attachment, Claim, Status, Ticket, TicketFile, TicketLog, User
from dss_portal.providers import store
from dss_portal.refusals import Refused
from dss_portal.settings import Settings
from dss_portal.tickets import (
    claims,
    cleanup,
    input_files,
    report,
    result_checks,
    segmentation_facts,
)
from dss_portal.tickets import store as tickets
from dss_portal.tickets.lifecycle import Failed, Succeeded

NOTHING = (
    "The ticket has no results. Send exactly one workspace (.itksnap) with its images, and set the "
    "status again, or set it to failed."
)
CHANGED = "The results were changed while they were checked; set the status again."
PICTURE = "The picture shows three planes with the outlines of the labels."
LOST = "The claim has ended while its results were checked."


async def fail(ticket_id: int, user: User) -> None:
    """End the user's claim, and with it the ticket, as failed.  Idempotent.  Raises Refused if the user does not hold
    the ticket's claim.
    """
    if await _has_ended(await store.require_ever_claimed(ticket_id, user), user, Status.FAILED):
        return
    async with in_transaction():
        ticket, claim = await store.lock_held_ticket(ticket_id, user)
        await tickets.advance(ticket, Failed(claim_id=claim.id))


async def succeed(parts: Components, ticket_id: int, user: User) -> None:
    """Check the results that the provider has uploaded, unless the setting ``check_results`` is off, and end the ticket
    as successful.  Idempotent, also for simultaneous calls.

    Raises Refused if the user does not hold the claim, if there are no results to check, if they are not accepted or
    have changed since the check began, or if no verdict came; the ticket then stays claimed, and its lease is renewed.
    """
    ticket = await store.require_ever_claimed(ticket_id, user)
    if await _has_ended(ticket, user, Status.SUCCESS):
        return
    claim = await store.held_claim(ticket, user)
    await claims.renew(claim.id)
    try:
        await _end_with_results(parts, claim, user)
    except Refused:
        if not await _has_ended(await Ticket.get(id=ticket_id), user, Status.SUCCESS, claim.id):
            raise  # else another request has ended the ticket, and removed the uploads


async def _end_with_results(parts: Components, claim: Claim, user: User) -> None:
    ticket_id = claim.ticket_id
    async with _frozen(parts, ticket_id) as frozen:
        accepted = await _check(parts, claim, frozen) if parts.settings.check_results else None
        async with in_transaction():
            latest = await tickets.locked(ticket_id)
            if latest is not None and await _has_ended(latest, user, Status.SUCCESS, claim.id):
                return
            ticket, current = await store.lock_held_ticket(ticket_id, user)
            if current.id != claim.id:
                raise Refused(LOST)
            await _take(parts.datastore, ticket_id, frozen)
            if accepted is not None:
                await _store_presentation(parts.datastore, ticket, claim, accepted)
                await _warn(ticket.id, accepted.remarks)
            await report.attach(parts.datastore, ticket)
            await runs.store_run(ticket, "", (clock.now() - claim.granted_at).total_seconds())
            await tickets.advance(ticket, Succeeded(claim_id=claim.id))
    await cleanup.clean_up(parts.datastore, ticket_id)


@dataclass(frozen=True, kw_only=True)
class _Frozen:
    """Copies of the uploaded results in ``folder``, which later uploads do not change.  ``files`` and ``stamps``
    describe the uploads at the time of the copy; any later change of an upload changes its stamp.
    """

    folder: str
    files: Sequence[TicketFile]
    stamps: Stamps


@asynccontextmanager
async def _frozen(parts: Components, ticket_id: int) -> AsyncIterator[_Frozen]:
    """A context with copies of the uploaded results, which are checked and then become the results.  Raises Refused if
    an upload is replaced or missing at the time of the copy, or if nothing was uploaded although results are checked.

    The copies are removed if the caller raises Refused.  After another error they stay: the commit that makes them the
    results may have succeeded although its answer was lost.  Once the ticket has ended, ``cleanup`` removes copies that
    are not its results.
    """
    uploaded = await tickets.files(ticket_id, "results")
    if not uploaded and parts.settings.check_results:
        raise Refused(NOTHING)
    stamps = await _stamps(parts.datastore, uploaded)
    sizes = {place: size_bytes for place, (_, size_bytes, _) in stamps.items()}
    try:
        folder = await parts.datastore.freeze(ticket_id, "results", sizes)
    except FileNotFoundError as error:  # an upload has replaced one
        raise Refused(CHANGED) from error
    try:
        yield _Frozen(folder=folder, files=uploaded, stamps=stamps)
    except Refused:
        copies = [f"{folder}/{file.name}" for file in uploaded]
        await parts.datastore.remove_files(ticket_id, "results", copies)
        raise


async def _take(datastore: Datastore, ticket_id: int, frozen: _Frozen) -> None:
    """Register the copies in ``frozen`` as the results of the ticket, which the caller has locked.  Raises Refused if the
    uploads have changed since they were copied.
    """
    uploaded = await tickets.files(ticket_id, "results")
    if await _stamps(datastore, uploaded) != frozen.stamps:
        raise Refused(CHANGED)
    for file in frozen.files:
        size_bytes = frozen.stamps[file.place][1]
        await tickets.register_file(ticket_id, "results", file.name, size_bytes, frozen.folder)


async def _check(parts: Components, claim: Claim, frozen: _Frozen) -> ResultsAccepted:
    """Let a dispatcher check the copies of the results, and return its verdict.  Raises Refused if they are not
    accepted.  It is called outside of a transaction, because it may take long; the lease is renewed at the end.
    """
    try:
        question = await _question(claim, frozen, parts.settings)
        return await result_checks.require_accepted(parts.broker, question)
    finally:
        await claims.renew(claim.id)


async def _store_presentation(
    datastore: Datastore, ticket: Ticket, claim: Claim, accepted: ResultsAccepted
) -> None:
    """Store the labels and pictures of the checker's verdict.  Call it in the transaction that ends the claim, so that
    they are stored exactly once.
    """
    await segmentation_facts.store(ticket, accepted.labels)
    for file in accepted.attachments:
        await attachments.take_over(datastore, ticket.id, claim.id, file)
    if accepted.attachments:
        await tickets.add_log(ticket.id, "info", PICTURE)


async def _warn(ticket_id: int, remarks: Sequence[str]) -> None:
    """Add the checker's ``remarks`` to the ticket's log as warnings, except those that are already in it because the
    provider has written them.
    """
    lines = await TicketLog.filter(ticket_id=ticket_id, message__in=list(remarks)).only("message")
    messages = {line.message for line in lines}
    for remark in remarks:
        if remark not in messages:
            await tickets.add_log(ticket_id, "warning", remark)


async def _stamps(datastore: Datastore, files: Sequence[TicketFile]) -> Stamps:
    """The stamps (inode, size, modification time) of result files, by the files' places."""
    if not files:
        return {}
    return await datastore.stamps(files[0].ticket_id, "results", [file.place for file in files])


async def _question(claim: Claim, frozen: _Frozen, settings: Settings) -> CheckResults:
    folder = await input_files.folder_of(claim.ticket_id)
    return CheckResults(
        ticket_id=claim.ticket_id,
        claim_id=claim.id,
        results_dir=str(layout.attempt_dir(claim.ticket_id, frozen.folder)),
        input_dir=str(layout.input_dir(claim.ticket_id, folder)),
        names=tuple(file.name for file in frozen.files),
        patience_s=settings.check_results_s,
        has_attachments=await Attachment.exists(ticket_id=claim.ticket_id),
    )


async def _has_ended(
    ticket: Ticket, user: User, status: Status, claim_id: str | None = None
) -> bool:
    """True if the ticket has ended with ``status`` by a claim of the user; with ``claim_id``, by the claim with that
    id.
    """
    if ticket.status is not status or claim_id not in {None, ticket.claim_id}:
        return False
    return await Claim.exists(id=ticket.claim_id, user_id=user.id)
