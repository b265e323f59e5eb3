"""Handlers of the messages that the portal consumes: requests for claims, events (of claims, programs and uploads), and
messages that were moved to the dead letters.
"""

import logging
from typing import get_args

from tortoise.transactions import in_transaction

from dss_broker.broker import Delivery
from dss_broker.messages import (
    CheckResults,
    ClaimEvent,
    ClaimFailed,
    ClaimHeartbeat,
    ClaimLogged,
    ClaimProgressed,
    ClaimReported,
    ClaimSucceeded,
    ClaimTicket,
    LeaseOverdue,
    Message,
    ReaderAnnounced,
    ReadUpload,
    ServiceAnnounced,
    TicketReady,
    UploadRead,
    UploadRefused,
    WorkerAnnounced,
)
from dss_observability import metrics
from dss_portal.attachments import store as attachments
from dss_portal.datastore import Datastore
from dss_portal.estimates import runs
from dss_portal.intake import events as intake_events
from dss_portal.intake import store as intakes
from dss_portal.models import Ticket
from dss_portal.services import store as services
from dss_portal.settings import Settings
from dss_portal.subjects import claim_of, ticket_of
from dss_portal.tickets import (
    claim_reports,
    claims,
    cleanup,
    leases,
    report,
    segmentation_facts,
    store,
)
from dss_portal.tickets.lifecycle import FINISHED, Abandoned, Failed, Succeeded, is_current

log = logging.getLogger(__name__)

LINES_LOST = "Some lines of this log, or its progress, were lost on the way; the work goes on."
PARKED_SENTENCE = "The ticket could not be processed. Please tell the operator its number."


class Listener:
    """The handlers of the portal's three queues: claims, events and dead letters.  All are idempotent, because a
    message may be delivered twice.
    """

    def __init__(self, datastore: Datastore, settings: Settings) -> None:
        self._datastore = datastore
        self._settings = settings
        for message in get_args(
            Message
        ):  # Prometheus does not count the first increase of a new series
            metrics.PARKED.labels(message.__name__)

    async def on_claim(self, delivery: Delivery) -> None:
        """Answer a dispatcher's request for a ticket.  Raises TypeError for any other message."""
        request = delivery.message
        if not isinstance(request, ClaimTicket):
            raise TypeError(f"{type(request).__name__} is no claim")
        delivery.reply(await claims.answer(request, self._settings.lease_s))

    async def on_event(self, delivery: Delivery) -> None:
        """Handle a message of the queue of events: an event of a claim, a question about its lease, the announcement of
        a dispatcher, worker or upload reader, or the outcome of reading an upload.  Raises TypeError for any other
        message.
        """
        match delivery.message:
            case ServiceAnnounced() as announced:
                await services.announce(announced)
            case WorkerAnnounced() as announced:
                await services.record_worker(announced)
            case ReaderAnnounced(instance=instance, ends=ends):
                await intakes.record_reader(instance, ends=ends)
            case UploadRead() as read:
                await intake_events.on_read(self._datastore, self._settings, read)
            case UploadRefused() as refused:
                await intake_events.on_refused(refused)
            case LeaseOverdue(ticket_id=ticket_id, claim_id=claim_id):
                await leases.lapse(ticket_id, claim_id, self._settings.max_attempts)
            case (
                ClaimProgressed()
                | ClaimLogged()
                | ClaimReported()
                | ClaimHeartbeat()
                | ClaimSucceeded()
                | ClaimFailed()
            ) as event:
                await self._on_claim_event(event, delivery.message_id)
            case other:
                raise TypeError(f"{type(other).__name__} is no event for the portal")

    async def on_parked(self, delivery: Delivery) -> None:
        """Handle a message that was moved to the dead letters: count and log it.  If it is about a ticket's current
        claim, the ticket fails, and its log says so.  Messages about an upload go to ``intake.events.on_parked``.  A
        waiting ticket is not announced again here: the reaper does it.

        A CheckResults changes no ticket.  A ClaimReported does not fail its ticket, because a portal of release 0.1.0,
        which runs beside this one during an upgrade, cannot read it; the ticket's log says that lines were lost.
        """
        message = delivery.message
        metrics.PARKED.labels(type(message).__name__).inc()
        if isinstance(message, ReadUpload | UploadRead | UploadRefused):
            await intake_events.on_parked(message)
        async with in_transaction():
            ticket, claim_id = await _concerned(message, delivery.message_id)
            facts = {"ticket": ticket.id if ticket else None, "claim": claim_id}
            log.error(
                "message parked",
                extra={"type": type(message).__name__, "reason": delivery.parked_reason, **facts},
            )
            if isinstance(message, ClaimReported):
                if ticket and is_current(store.state_of(ticket), message.claim_id):
                    await store.add_log(ticket.id, "warning", LINES_LOST, delivery.message_id)
            elif ticket and claim_id and await store.advance(ticket, Abandoned(claim_id=claim_id)):
                await store.add_log(ticket.id, "error", PARKED_SENTENCE)

    async def _on_claim_event(self, event: ClaimEvent, message_id: str) -> None:
        if not await self._take(event, message_id):
            await _ignore(event)

    async def _take(self, event: ClaimEvent, message_id: str) -> bool:
        """Apply the event to its ticket, and remove leftover files if that has ended the ticket.  False, with nothing
        changed, if the event's claim is not the ticket's current one.
        """
        if claim_reports.is_report(event):
            return await claim_reports.write(event, message_id)
        async with in_transaction():
            ticket = await store.locked(event.ticket_id)
            if ticket is None or not is_current(store.state_of(ticket), event.claim_id):
                return False
            await self._apply(ticket, event, message_id)
        if ticket.status in FINISHED:
            await cleanup.clean_up(self._datastore, ticket.id)
        return True

    async def _apply(self, ticket: Ticket, event: ClaimEvent, message_id: str) -> None:
        match event:
            case ClaimLogged():
                await self._log(ticket, event, message_id)
            case ClaimSucceeded():
                await self._succeed(ticket, event)
            case ClaimFailed():
                await store.add_log(ticket.id, "error", event.reason, message_id)
                await store.advance(ticket, Failed(claim_id=event.claim_id))
            case ClaimHeartbeat():
                await claims.renew(event.claim_id, event.pause_s)
                return
        await claims.renew(event.claim_id)

    async def _log(self, ticket: Ticket, event: ClaimLogged, message_id: str) -> None:
        """Add the event's line, with its attached files, to the log.  Idempotent for one ``message_id``.

        The files become attachments first, because a new line gets the attachments that have no line yet.
        """
        if event.attachments and not await store.has_log(message_id):
            for file in event.attachments:
                await attachments.take_over(self._datastore, ticket.id, event.claim_id, file)
        adopts = bool(event.attachments)
        await store.add_log(ticket.id, event.level, event.text, message_id, adopts=adopts)

    async def _succeed(self, ticket: Ticket, event: ClaimSucceeded) -> None:
        published = [(file.name, file.size_bytes) for file in event.files]
        folder = await self._datastore.publish_results(
            ticket.id, event.claim_id, published, event.staged_dir
        )
        await store.forget_files(ticket.id, "results")
        for name, size_bytes in published:
            await store.register_file(ticket.id, "results", name, size_bytes, folder)
        await segmentation_facts.store(ticket, event.labels, event.verdict)
        await runs.store_run(ticket, event.device, event.work_s)
        await report.attach(self._datastore, ticket)
        await store.advance(ticket, Succeeded(claim_id=event.claim_id))


async def _ignore(event: ClaimEvent) -> None:
    """Log that an event of an ended claim is ignored.  After a heartbeat, also publish the claim's withdrawal again,
    because the sender still works and so cannot have received it; not if the ticket is unknown.
    """
    facts = {"ticket": event.ticket_id, "claim": event.claim_id}
    log.info("event of an old claim ignored", extra=facts)
    ticket = await Ticket.get_or_none(id=event.ticket_id)
    if ticket is not None and isinstance(event, ClaimHeartbeat):
        async with in_transaction():
            await store.withdraw_claim(ticket, event.claim_id)


async def _concerned(message: Message, message_id: str) -> tuple[Ticket | None, str | None]:
    """The ticket that a message is about, with its row locked, and the id of the claim that it is about; each is None
    if the message is about none.  For TicketReady, the ticket that was granted for the message, and its claim.

    For CheckResults both are None, because its failure does not end the claim: the provider was told that there is no
    verdict, and may ask again.
    """
    if isinstance(message, CheckResults):
        return None, None
    if isinstance(
        message, TicketReady
    ):  # another ticket of the service may have been granted for it
        ticket = await claims.held_by(message_id)
        return ticket, ticket.claim_id if ticket else None
    ticket_id = ticket_of(message)
    return (None if ticket_id is None else await store.locked(ticket_id)), claim_of(message)
