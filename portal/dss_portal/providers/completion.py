"""Ends the claim of a provider over HTTP.  Before a ticket succeeds, its results are checked."""

from collections.abc import Sequence
from dataclasses import dataclass

from tortoise.transactions import in_transaction

from dss_broker.messages import CheckResults, ResultsAccepted
from dss_datastore import layout
from dss_portal.attachments import store as attachments
from dss_portal.components import Components
from dss_portal.database import clock
from dss_portal.datastore import Datastore, Stamps
from dss_portal.estimates import runs
from dss_portal.models import Claim, Status, Ticket, TicketLog, User
from dss_portal.providers import store
from dss_portal.refusals import Refused
from dss_portal.settings import Settings
from dss_portal.tickets import claims, report, result_checks, segmentation_facts
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
    """End the user's claim as failed.  Idempotent.  Raises Refused if the user does not hold the claim."""
    if await _has_ended(await store.claimed_once(ticket_id, user), user, Status.FAILED):
        return
    async with in_transaction():
        ticket, held = await store.held_and_locked(ticket_id, user)
        await tickets.advance(ticket, Failed(claim_id=held.id))


async def succeed(parts: Components, ticket_id: int, user: User) -> None:
    """Check the results and end the ticket.  Idempotent, also for simultaneous calls.  Raises Refused.

    The verdict applies only to the claim and the files that were checked.  Without a verdict the ticket stays
    claimed, and its lease is renewed.
    """
    ticket = await store.claimed_once(ticket_id, user)
    if await _has_ended(ticket, user, Status.SUCCESS):
        return
    held = await store.claim_held(ticket, user)
    await claims.renew(held.id)
    judged = await _check_results(parts, held) if parts.settings.check_results else None
    async with in_transaction():
        latest = await tickets.locked(ticket_id)
        if latest is not None and await _has_ended(latest, user, Status.SUCCESS, held.id):
            return  # another request has ended the ticket meanwhile
        ticket, current = await store.held_and_locked(ticket_id, user)
        if current.id != held.id:
            raise Refused(LOST)
        if judged is not None and await _results(parts.datastore, ticket_id) != judged.stamps:
            raise Refused(CHANGED)
        if judged is not None:
            await _store_presentation(parts.datastore, ticket, held, judged.accepted)
            await _warn(ticket.id, judged.accepted.remarks)
        await report.attach(parts.datastore, ticket)
        await runs.keep(ticket, "", (clock.now() - held.granted_at).total_seconds())
        await tickets.advance(ticket, Succeeded(claim_id=held.id))


@dataclass(frozen=True, kw_only=True)
class _CheckedResults:
    """The result files that were checked, and the checker's answer."""

    stamps: Stamps
    accepted: ResultsAccepted


async def _check_results(parts: Components, held: Claim) -> _CheckedResults:
    """Let a dispatcher check the results; no database connection is held meanwhile.  Raises Refused if they are not
    accepted.
    """
    stamps = await _results(parts.datastore, held.ticket_id)
    try:
        question = _question(held, stamps, parts.settings)
        accepted = await result_checks.require_accepted(parts.broker, question)
    finally:
        await claims.renew(held.id)
    return _CheckedResults(stamps=stamps, accepted=accepted)


async def _store_presentation(
    datastore: Datastore, ticket: Ticket, held: Claim, accepted: ResultsAccepted
) -> None:
    """Store the labels and pictures from the checker's answer.  This happens in the transaction that ends the claim,
    so that it happens once.
    """
    await segmentation_facts.keep(ticket, accepted.labels)
    for file in accepted.attachments:
        await attachments.take_over(datastore, ticket.id, held.id, file)
    if accepted.attachments:
        await tickets.add_log(ticket.id, "info", PICTURE)


async def _warn(ticket_id: int, remarks: Sequence[str]) -> None:
    """Add ``remarks`` to the ticket's log, except those that the provider has written itself."""
    lines = await TicketLog.filter(ticket_id=ticket_id, message__in=list(remarks)).only("message")
    told = {line.message for line in lines}
    for remark in remarks:
        if remark not in told:
            await tickets.add_log(ticket_id, "warning", remark)


async def _results(datastore: Datastore, ticket_id: int) -> Stamps:
    """Stamps of the result files.  Raises Refused if there are none."""
    names = [file.name for file in await tickets.files(ticket_id, "results")]
    if not names:
        raise Refused(NOTHING)
    return await datastore.stamps(ticket_id, "results", names)


def _question(held: Claim, stamps: Stamps, settings: Settings) -> CheckResults:
    return CheckResults(
        ticket_id=held.ticket_id,
        claim_id=held.id,
        results_dir=str(layout.area_dir(held.ticket_id, "results")),
        input_dir=str(layout.area_dir(held.ticket_id, "input")),
        names=tuple(stamps),
        patience_s=settings.check_results_s,
    )


async def _has_ended(
    ticket: Ticket, user: User, status: Status, claim_id: str | None = None
) -> bool:
    """True if the ticket ended with ``status`` by a claim of the user; with ``claim_id``, by that claim."""
    if ticket.status is not status or claim_id not in {None, ticket.claim_id}:
        return False
    return await Claim.exists(id=ticket.claim_id, user_id=user.id)
