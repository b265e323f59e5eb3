"""Read-only queries for the admin pages."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tortoise.connection import get_connection
from tortoise.functions import Count
from tortoise.queryset import QuerySet

from dss_portal import tallies
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
    User,
)
from dss_portal.services import liveness
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
    ``title`` may only be shown to the owner.  ``version`` is the id of the service's version, ``version_name`` what its
    service.json calls it; ``is_removed``: it takes no tickets any more.
    """

    id: int
    email: str
    service: str
    version: int
    version_name: str
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
    return await _rows(await wanted.order_by("-id").limit(limit).values_list("id", flat=True))


async def unsubmitted(user_id: int, before: int, limit: int) -> list[TicketRow]:
    """At most ``limit`` of the user's tickets in state ``init`` with numbers below ``before``, newest first."""
    found = Ticket.filter(user_id=user_id, status=Status.INIT, id__lt=before)
    return await _rows(await found.order_by("-id").limit(limit).values_list("id", flat=True))


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


# $1: numbers of tickets.  $2: now, which ends the last state of a ticket.  One statement, because objects of all the
# rows that it reads take ten times as long.
_ROWS = """
SELECT ticket.id, user_account.email, service.name AS service, service.id AS version,
    service.version AS version_name,
    NOT service.current AS is_removed, ticket.status,
    ticket.created_at, ticket.title, ticket.verdict, ticket.delete_at,
    coalesce(spent.queued_s, 0)::float8 AS queued_s, coalesce(spent.running_s, 0)::float8 AS running_s,
    CASE WHEN ticket.status = 'claimed' THEN (
        SELECT least(1, greatest(0, coalesce(sum((chunk_end - chunk_start) * progress), 0)))::float8
        FROM ticket_progress WHERE ticket_id = ticket.id)
    WHEN ticket.status IN ('success', 'failed', 'timeout') THEN 1 ELSE 0 END AS progress
FROM ticket JOIN user_account ON user_account.id = ticket.user_id JOIN service ON service.id = ticket.service_id,
    LATERAL (
        SELECT sum(extract(epoch FROM until - at)) FILTER (WHERE state = 'ready') AS queued_s,
            sum(extract(epoch FROM until - at)) FILTER (WHERE state = 'claimed') AS running_s
        FROM (
            SELECT status AS state, at, coalesce(lead(at) OVER (ORDER BY id), $2) AS until
            FROM ticket_history WHERE ticket_id = ticket.id) AS change
    ) AS spent
WHERE ticket.id = ANY($1::int[]) ORDER BY ticket.id DESC
"""


async def _rows(numbers: Sequence[object]) -> list[TicketRow]:
    """The rows of the tickets with these numbers, newest first."""
    found = await get_connection("default").execute_query_dict(_ROWS, [list(numbers), now()])
    return [TicketRow(**{**row, "status": Status(row["status"])}) for row in found]


async def _tickets_by_state() -> dict[Status, int]:
    found: Counter[Status] = Counter()
    for (_, status), count in (await tallies.tickets()).items():
        found[status] += count
    return {status: found[status] for status in Status if status is not Status.DELETED}


async def _count_by_provider(
    links: "QuerySet[ProviderService] | QuerySet[ProviderAccess]",
) -> dict[int, int]:
    counted = links.annotate(count=Count("id")).group_by("provider_id")
    return {int(i): int(n) for i, n in await counted.values_list("provider_id", "count")}
