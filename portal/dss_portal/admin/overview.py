"""Read-only queries for the admin pages."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tortoise.functions import Count
from tortoise.queryset import QuerySet

from dss_portal.admin.store import providers
from dss_portal.models import (
    Claim,
    OutboxMessage,
    Provider,
    ProviderAccess,
    ProviderService,
    Service,
    Status,
    Ticket,
    TicketHistory,
    TicketProgress,
    User,
)
from dss_portal.services import liveness
from dss_portal.tickets import progress
from dss_portal.tickets.store import now


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Numbers for the overview.  ``tickets`` is by state, without deleted ones; ``workers`` counts running inference
    workers, ``users`` accounts that are not disabled, ``outbox`` messages that the broker does not have yet.
    """

    tickets: dict[Status, int]
    services: int
    workers: int
    users: int
    outbox: int


@dataclass(frozen=True, kw_only=True)
class ProviderRow:
    provider: Provider
    services: int
    users: int


@dataclass(frozen=True, kw_only=True)
class TicketRow:
    """A row of a list of tickets.  ``queued_s`` and ``running_s`` are sums over all attempts; ``progress`` is 0..1.
    ``title`` may only be shown to the owner.  ``is_removed``: the version of the service takes no tickets any more.
    """

    id: int
    email: str
    service: str
    is_removed: bool
    status: Status
    created_at: datetime
    queued_s: float
    running_s: float
    progress: float
    title: str
    verdict: str
    delete_at: datetime | None


async def counts() -> Counts:
    return Counts(
        tickets=await _tickets_by_state(),
        services=await Service.filter(current=True).count(),
        workers=await liveness.workers_at_work(),
        users=await User.filter(disabled=False).count(),
        outbox=await OutboxMessage.all().count(),
    )


async def provider_rows() -> list[ProviderRow]:
    """All providers, including removed ones, which can be added again."""
    offered = ProviderService.filter(current=True, service__current=True)
    services = await _count_by_provider(offered)
    users = await _count_by_provider(ProviderAccess.all())
    return [
        ProviderRow(provider=p, services=services.get(p.id, 0), users=users.get(p.id, 0))
        for p in await providers()
    ]


async def offers() -> list[tuple[Provider, list[Service]]]:
    """The providers that are not removed, by name, each with the services that it offers."""
    links = ProviderService.filter(current=True, service__current=True, provider__current=True)
    found: dict[int, list[Service]] = {}
    for link in await links.select_related("service").order_by("service__name", "service__id"):
        found.setdefault(link.provider_id, []).append(link.service)
    current = await Provider.filter(current=True).order_by("name")
    return [(provider, found.get(provider.id, [])) for provider in current]


async def newest_tickets(
    limit: int,
    *,
    status: Status | None = None,
    user_id: int | None = None,
    email_part: str = "",
    before: int | None = None,
) -> list[TicketRow]:
    """At most ``limit`` tickets, newest first: in state ``status``, or in all states except deleted; of ``user_id``, or
    of users whose e-mail addresses contain ``email_part`` (upper and lower case are equal), or of all users.  With
    ``before``, only tickets with smaller numbers.
    """
    wanted = Ticket.filter(status=status) if status else Ticket.exclude(status=Status.DELETED)
    if user_id is not None:
        wanted = wanted.filter(user_id=user_id)
    if email_part:
        wanted = wanted.filter(user__email__icontains=email_part)
    if before is not None:
        wanted = wanted.filter(id__lt=before)
    return await _rows(await wanted.order_by("-id").limit(limit).select_related("user", "service"))


async def unsubmitted(user_id: int, before: int, limit: int) -> list[TicketRow]:
    """At most ``limit`` of the user's tickets in state ``init`` with numbers below ``before``, newest first."""
    found = Ticket.filter(user_id=user_id, status=Status.INIT, id__lt=before)
    return await _rows(await found.order_by("-id").limit(limit).select_related("user", "service"))


async def history(ticket_id: int) -> list[TicketHistory]:
    return await TicketHistory.filter(ticket_id=ticket_id).order_by("id")


async def claims(ticket_id: int) -> list[Claim]:
    """All claims of a ticket, the oldest first, each with its user if it was made over HTTP."""
    found = Claim.filter(ticket_id=ticket_id).select_related("user")
    return await found.order_by("granted_at")


async def count_older(states: Iterable[Status], older_than: timedelta) -> int:
    """Number of tickets in these states that were created more than ``older_than`` ago."""
    before = now() - older_than
    return await Ticket.filter(status__in=list(states), created_at__lt=before).count()


def seconds_in(
    status: Status, changes: Sequence[tuple[Status, datetime]], until: datetime
) -> float:
    """Seconds for which a ticket was in ``status``.  ``changes`` are in order of time; the last state lasts until
    ``until``.
    """
    ends = [at for _, at in changes[1:]] + [until]
    return sum(
        (end - at).total_seconds()
        for (state, at), end in zip(changes, ends, strict=False)  # empty without a history
        if state is status
    )


async def _rows(tickets: Sequence[Ticket]) -> list[TicketRow]:
    numbers = [ticket.id for ticket in tickets]
    histories: dict[int, list[TicketHistory]] = {}
    for entry in await TicketHistory.filter(ticket_id__in=numbers).order_by("id"):
        histories.setdefault(entry.ticket_id, []).append(entry)
    chunks: dict[int, list[TicketProgress]] = {}
    for chunk in await TicketProgress.filter(ticket_id__in=numbers):
        chunks.setdefault(chunk.ticket_id, []).append(chunk)
    moment = now()
    return [_row(t, histories.get(t.id, []), chunks.get(t.id, []), moment) for t in tickets]


def _row(
    ticket: Ticket,
    entries: Sequence[TicketHistory],
    chunks: Sequence[TicketProgress],
    moment: datetime,
) -> TicketRow:
    changes = [(entry.status, entry.at) for entry in entries]
    return TicketRow(
        id=ticket.id,
        email=ticket.user.email,
        service=ticket.service.name,
        is_removed=not ticket.service.current,
        status=ticket.status,
        created_at=ticket.created_at,
        queued_s=seconds_in(Status.READY, changes, moment),
        running_s=seconds_in(Status.CLAIMED, changes, moment),
        progress=progress.shown(ticket.status, chunks),
        title=ticket.title,
        verdict=ticket.verdict,
        delete_at=ticket.delete_at,
    )


async def _tickets_by_state() -> dict[Status, int]:
    rows = (
        await Ticket.annotate(count=Count("id")).group_by("status").values_list("status", "count")
    )
    found = {str(status): int(count) for status, count in rows}
    return {s: found.get(s.value, 0) for s in Status if s is not Status.DELETED}


async def _count_by_provider(
    links: "QuerySet[ProviderService] | QuerySet[ProviderAccess]",
) -> dict[int, int]:
    counted = links.annotate(count=Count("id")).group_by("provider_id")
    return {int(i): int(n) for i, n in await counted.values_list("provider_id", "count")}
