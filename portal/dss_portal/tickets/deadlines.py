"""Ends tickets that stay too long in one stage: before their submission, in the queue, or claimed.  The ``deadlines``
in a service's descriptor take precedence over the portal's settings.

Each round ends about PAGE_NUMBERS tickets for each limit at most.  The next rounds end the others.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TypeAlias

from tortoise.connection import get_connection
from tortoise.queryset import QuerySet
from tortoise.transactions import in_transaction

from dss_broker.descriptor import MAX_DEADLINE_S, Deadlines, DescriptorInvalid, descriptor_from
from dss_portal.batches import PAGE_NUMBERS, for_each, for_some
from dss_portal.datastore import Datastore
from dss_portal.formats import duration
from dss_portal.intake import store as intakes
from dss_portal.models import Service, Status, Ticket
from dss_portal.settings import Settings
from dss_portal.tickets import quota, removal, store, submission
from dss_portal.tickets.lifecycle import RunOverdue, StageOverdue


@dataclass(frozen=True, kw_only=True)
class StageLimit:
    """The time limit for one stage: a ticket may be in ``status`` for that long after the time in its column ``since``.
    ``limit_s`` computes the limit in seconds from the service's own deadlines and the portal's settings.
    """

    status: Status
    since: str
    limit_s: Callable[[Deadlines, Settings], float]


Overdue: TypeAlias = tuple[QuerySet[Ticket], float]
"""Tickets that have exceeded a limit, and this limit in seconds."""

Find: TypeAlias = Callable[[Settings], Awaitable[list[Overdue]]]

UPLOAD = StageLimit(
    status=Status.INIT,
    since="created_at",
    limit_s=lambda own, settings: own.upload_s or settings.upload_deadline_s,
)
QUEUE = StageLimit(
    status=Status.READY,
    since="queued_at",
    limit_s=lambda own, settings: own.queue_s or settings.queue_deadline_s,
)
RUN = StageLimit(
    status=Status.CLAIMED,
    since="claimed_at",
    limit_s=lambda own, settings: own.run_s or settings.run_deadline_s,
)


_STAGES = (
    "SELECT DISTINCT status, service_id FROM ticket WHERE status IN ('init', 'ready', 'claimed')"
)


async def enforce(settings: Settings, datastore: Datastore) -> int:
    """End tickets and attempts that have exceeded a limit, and remove the files of tickets that were not submitted.
    Returns their number; an attempt counts even if its ticket is queued again.

    An error with one ticket is logged and does not stop the others; an outage of database or datastore is raised.
    """
    services = await _services_by_stage()
    rounds: dict[Find, Callable[[int, float], Awaitable[int]]] = {
        partial(_overdue, UPLOAD, services): partial(_give_up_upload, datastore),
        _abandoned: partial(_give_up_abandoned, datastore),
        partial(_overdue, QUEUE, services): _give_up_waiting,
        partial(_overdue, RUN, services): partial(_end_attempt, settings.max_attempts),
    }

    async def enforce_one(find: Find) -> int:
        return sum([await _end(*overdue, rounds[find]) for overdue in await find(settings)])

    return await for_each("deadlines", rounds, enforce_one)


def own_deadlines(service: Service) -> Deadlines:
    """The deadlines that the service's descriptor sets.  An invalid descriptor, which may have been stored before
    deadlines were checked, sets none.
    """
    try:
        return descriptor_from(service.descriptor).deadlines
    except DescriptorInvalid:
        return Deadlines()


async def _end(
    tickets: QuerySet[Ticket], limit_s: float, end: Callable[[int, float], Awaitable[int]]
) -> int:
    what = "ending what is overdue"
    return await for_some(what, tickets, "id", PAGE_NUMBERS, lambda number: end(number, limit_s))


async def _overdue(
    stage: StageLimit, services: Mapping[Status, Sequence[Service]], settings: Settings
) -> list[Overdue]:
    by_limit: dict[float, list[int]] = defaultdict(list)
    for service in services[stage.status]:
        by_limit[stage.limit_s(own_deadlines(service), settings)].append(service.id)
    found = []
    for limit_s, service_ids in by_limit.items():
        late = {f"{stage.since}__lt": store.now() - timedelta(seconds=min(limit_s, MAX_DEADLINE_S))}
        tickets = Ticket.filter(status=stage.status, service_id__in=service_ids, **late)
        if stage.status is Status.INIT:
            tickets = tickets.exclude(id__in=intakes.continuing())
        found.append((tickets, limit_s))
    return found


async def _services_by_stage() -> dict[Status, list[Service]]:
    """For each stage with a limit: the services that have a ticket in it."""
    rows = await get_connection("default").execute_query_dict(_STAGES)
    known = {s.id: s for s in await Service.filter(id__in={row["service_id"] for row in rows})}
    found: dict[Status, list[Service]] = {stage.status: [] for stage in (UPLOAD, QUEUE, RUN)}
    for row in rows:
        found[Status(row["status"])].append(known[row["service_id"]])
    return found


async def _abandoned(settings: Settings) -> list[Overdue]:
    quiet_s = settings.abandoned_upload_s
    quiet = Ticket.filter(quota.quiet_condition(min(quiet_s, MAX_DEADLINE_S)))
    return [(quiet.exclude(id__in=intakes.continuing()), quiet_s)]


async def _give_up_abandoned(datastore: Datastore, ticket_id: int, quiet_s: float) -> bool:
    async with in_transaction():
        ticket = await store.locked(ticket_id)
        if ticket is None or not quota.is_quiet(ticket, quiet_s):  # a file has arrived meanwhile
            return False
        if not await _end_upload(
            ticket_id,
            f"The ticket was not submitted, and nothing was uploaded for {duration(quiet_s)}, so it "
            "was given up; the files sent so far were removed.",
        ):
            return False
    await removal.remove_files(datastore, ticket_id)
    return True


async def _give_up_upload(datastore: Datastore, ticket_id: int, limit_s: float) -> bool:
    text = (
        f"The ticket was not submitted within {duration(limit_s)}, so it was given up; "
        "the files sent so far were removed."
    )
    async with in_transaction():
        if not await _end_upload(ticket_id, text):
            return False
    await removal.remove_files(datastore, ticket_id)
    return True


async def _end_upload(ticket_id: int, text: str) -> bool:
    if await intakes.is_continuing(ticket_id) or not await _time_out(ticket_id, Status.INIT, text):
        return False
    await store.forget_files(ticket_id)
    return True


async def _give_up_waiting(ticket_id: int, limit_s: float) -> bool:
    text = (
        f"Nobody took the ticket within {duration(limit_s)}, so it was given up. "
        "Please tell the operator, and retry it later."
    )
    async with in_transaction():
        return await _time_out(ticket_id, Status.READY, text)


async def _time_out(ticket_id: int, stage: Status, text: str) -> bool:
    ticket = await store.locked(ticket_id)
    if ticket is None or not await store.advance(ticket, StageOverdue(stage=stage)):
        return False
    await store.add_log(ticket_id, "error", text)
    return True


async def _end_attempt(max_attempts: int, ticket_id: int, limit_s: float) -> bool:
    """End an attempt that has run longer than ``limit_s``, and tell the holder of its claim to stop.  The ticket is
    queued again if it has had fewer than ``max_attempts`` attempts; otherwise it times out.  False if that attempt has
    already ended.
    """
    async with in_transaction():
        ticket = await store.locked(ticket_id)
        if ticket is None or not _still_runs(ticket, limit_s):
            return False
        claim_id, attempt = str(ticket.claim_id), ticket.attempt
        event = RunOverdue(claim_id=claim_id, max_attempts=max_attempts)
        if not await store.advance(ticket, event):
            return False
        queued = ticket.status is Status.READY
        rest = "the next one is queued" if queued else "the ticket was given up"
        text = f"Attempt {attempt} of {max_attempts} took longer than {duration(limit_s)}; {rest}."
        await store.add_log(ticket_id, "warning" if queued else "error", text)
        if queued:
            await submission.announce(ticket)
    return True


def _still_runs(ticket: Ticket, limit_s: float) -> bool:
    began = ticket.claimed_at
    return began is not None and began < store.now() - timedelta(
        seconds=min(limit_s, MAX_DEADLINE_S)
    )
